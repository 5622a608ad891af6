"""ViT: the same weights in transformers and here give the same numbers."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import vilt
from tests.parity.family import random_masked_patches, random_pixels, random_vit
from tests.parity.models import randomise
from tests.parity.test_models import CONFIGS, TOLERANCE, difference, gradient_differences


@pytest.mark.parametrize("name", ["ViTForImageClassification", "ViTForMaskedImageModeling"])
def test_outputs_losses_and_gradients_over_random_configs(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    worst = {"output": 0.0, "loss": 0.0, "gradient": 0.0}
    for seed in range(CONFIGS):
        rng = Random(f"{name}{seed}")
        config = random_vit(rng, **({"num_labels": 1} if seed == 3 else {}))
        torch.manual_seed(seed)
        theirs = randomise(getattr(transformers, name)(config), seed)
        theirs.save_pretrained(tmp_path / str(seed), safe_serialization=seed % 2 == 0)  # safetensors and .bin
        ours = getattr(vilt, name).from_pretrained(str(tmp_path / str(seed)))
        inputs: dict[str, Any] = random_pixels(config, rng, batch=4)
        if name == "ViTForMaskedImageModeling":
            inputs["bool_masked_pos"] = random_masked_patches(config, 4)
        else:  # one label: numbers; else classes, or several of them
            several = config.num_labels == 1 or seed % 3 == 0
            shape = (4, config.num_labels)
            inputs["labels"] = torch.rand(shape) if several else torch.randint(0, config.num_labels, (4,))
        expected, got = theirs(**inputs), ours(**inputs)
        worst["output"] = max(worst["output"], difference(got[1], expected[1]))
        worst["loss"] = max(worst["loss"], difference(got.loss, expected.loss))
        got.loss.backward()
        expected.loss.backward()
        worst["gradient"] = max(worst["gradient"], *gradient_differences(ours, theirs))
    print(f"\n{name}: worst over {CONFIGS} random configs: {worst}")
    for what, error in worst.items():
        record_property(what, error)
        assert error <= TOLERANCE, what


@pytest.fixture
def models(tmp_path: Path) -> tuple[torch.nn.Module, torch.nn.Module, dict[str, torch.Tensor]]:
    """transformers' bare model, ours with the same weights, and an input for both."""
    rng = Random(1)
    config = random_vit(rng, num_hidden_layers=3, num_attention_heads=2, hidden_size=32, num_channels=3)
    theirs = randomise(transformers.ViTModel(config, use_mask_token=True), 1)
    theirs.save_pretrained(tmp_path)
    ours = vilt.ViTModel.from_pretrained(str(tmp_path), use_mask_token=True)
    return theirs, ours, random_pixels(config, rng, batch=3)


@pytest.mark.parametrize("shape", [(2,), (3, 2)])
def test_head_mask(models: Any, shape: tuple[int, ...]) -> None:
    theirs, ours, inputs = models
    mask = torch.rand(shape)
    assert difference(ours(**inputs, head_mask=mask)[0], theirs(**inputs, head_mask=mask)[0]) <= TOLERANCE


def test_masked_patches(models: Any) -> None:
    theirs, ours, inputs = models
    masked = random_masked_patches(theirs.config, 3)
    got, expected = (model(**inputs, bool_masked_pos=masked) for model in (ours, theirs))
    assert difference(got.pooler_output, expected.pooler_output) <= TOLERANCE
    with pytest.raises(ValueError, match="bool_masked_pos: the model has no mask token"):
        vilt.ViTModel(ours.config)(**inputs, bool_masked_pos=masked)


@pytest.mark.parametrize("size", [(0, 0), (2, 2), (-1, 3), (1, 0)])
def test_positions_for_other_sizes(models: Any, size: tuple[int, int]) -> None:
    theirs, ours, _ = models
    patch, side = theirs.config.patch_size, theirs.config.image_size
    pixels = torch.randn(2, 3, side + size[0] * patch, side + size[1] * patch + 1)
    got, expected = (model(pixels, interpolate_pos_encoding=True)[0] for model in (ours, theirs))
    assert difference(got, expected) <= TOLERANCE
    with pytest.raises(ValueError, match=r"pixel_values: \d+x\d+ pixels; the model reads \d+x\d+, and other"):
        ours(pixels)


def test_hidden_states_and_attentions(models: Any) -> None:
    """The last hidden state is the last layer's own, as documented; transformers 4.56.2 gives it after the norm."""
    theirs, ours, inputs = models
    asked = {**inputs, "output_hidden_states": True, "output_attentions": True}
    expected, got = theirs(**asked), ours(**asked)
    assert len(got.hidden_states) == len(expected.hidden_states) == 4
    assert len(got.attentions) == len(expected.attentions) == 3
    *states, last = got.hidden_states
    mine, others = [*states, ours.layernorm(last), *got.attentions], [*expected.hidden_states, *expected.attentions]
    assert max(difference(a, b) for a, b in zip(mine, others, strict=True)) <= TOLERANCE
    as_tuple, their_tuple = (model(**asked, return_dict=False) for model in (ours, theirs))
    assert isinstance(as_tuple, tuple)
    assert len(as_tuple) == len(their_tuple)
    assert difference(as_tuple[1], their_tuple[1]) <= TOLERANCE


def test_a_pooler_that_the_checkpoint_lacks_begins_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = random_vit(Random(5))
    theirs = randomise(transformers.ViTForImageClassification(config), 5)
    theirs.save_pretrained(tmp_path)
    ours, inputs = vilt.ViTModel.from_pretrained(str(tmp_path)), random_pixels(config, Random(5), batch=2)
    assert "newly initialised: pooler.dense.weight, pooler.dense.bias. Train" in caplog.text
    out = ours(**inputs)
    assert out.pooler_output.shape == (2, config.hidden_size)
    assert difference(out.last_hidden_state, theirs.vit(**inputs).last_hidden_state) <= TOLERANCE
    caplog.clear()
    bare = vilt.ViTModel.from_pretrained(str(tmp_path), add_pooling_layer=False)
    assert bare(**inputs).pooler_output is None
    assert not caplog.text


def test_inputs_that_do_not_go_together(models: Any) -> None:
    _, ours, inputs = models
    with pytest.raises(ValueError, match="pixel_values: missing"):
        ours()
    with pytest.raises(ValueError, match="pixel_values: 1 channels; the model reads 3"):
        ours(inputs["pixel_values"][:, :1])
    config = vilt.ViTConfig(**{**ours.config.to_dict(), "encoder_stride": 2 * ours.config.patch_size})
    with pytest.raises(ValueError, match="bool_masked_pos: the loss needs encoder_stride"):
        vilt.ViTForMaskedImageModeling(config)(**inputs, bool_masked_pos=torch.ones(3, 1))


@pytest.mark.parametrize("name", ["ViTModel", "ViTForImageClassification", "ViTForMaskedImageModeling"])
def test_what_we_save_loads_in_transformers(tmp_path: Path, name: str) -> None:
    config = random_vit(Random(6), pooler_output_size=12, pooler_act="relu")
    randomise(getattr(transformers, name)(config), 6).save_pretrained(tmp_path / "theirs")
    ours = getattr(vilt, name).from_pretrained(str(tmp_path / "theirs"))
    ours.save_pretrained(str(tmp_path / "ours"))
    back, report = getattr(transformers, name).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report.values())
    inputs = random_pixels(config, Random(6), batch=2)
    assert difference(back(**inputs)[-1], ours(**inputs)[-1]) <= TOLERANCE


def test_a_checkpoint_of_another_kind_is_named(tmp_path: Path) -> None:
    vilt.ViTModel(vilt.ViTConfig(hidden_size=12, num_hidden_layers=1)).save_pretrained(str(tmp_path))
    with pytest.raises(ValueError, match="is a checkpoint of model_type 'vit'; ViltModel reads 'vilt'"):
        vilt.ViltModel.from_pretrained(str(tmp_path))


def vit_pictures() -> list[Image.Image]:
    rng = np.random.default_rng(3)
    sizes = ((40, 300), (224, 224), (500, 90))
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for h, w in sizes]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"size": {"height": 96, "width": 160}},
        {"resample": 3, "do_normalize": False},
        {"do_rescale": False, "image_mean": 0.2, "image_std": [0.1, 0.2, 0.3]},
        {"do_resize": False, "images": 1},
    ],
)
def test_vit_pixels_are_those_of_transformers(settings: dict[str, Any]) -> None:
    images = vit_pictures()[1 : 1 + settings.pop("images", 3)]
    for ours in (vilt.ViTImageProcessor(), vilt.ViTFeatureExtractor()):
        expected = transformers.ViTImageProcessor()(images, **settings, return_tensors="pt")
        got = ours(images, **settings, return_tensors="pt")
        assert set(got) == set(expected) == {"pixel_values"}
        assert (got.pixel_values - expected.pixel_values).abs().max() < 1e-5


def test_vit_settings_of_files(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text('{"size": 96, "image_mean": null, "resample": 3}')  # older files
    ours = vilt.ViTImageProcessor.from_pretrained(str(tmp_path))
    assert (ours.size, ours.resample, ours.image_mean) == ({"height": 96, "width": 96}, 3, (0.5, 0.5, 0.5))
    ours.save_pretrained(str(tmp_path))
    theirs = transformers.ViTImageProcessor.from_pretrained(tmp_path)
    got, expected = (own(vit_pictures()[0], return_tensors="np").pixel_values for own in (ours, theirs))
    assert np.abs(got - expected).max() < 1e-6

    with pytest.raises(ValueError, match="has no 'height'"):
        vilt.ViTImageProcessor(size={"shortest_edge": 3})
