"""The same weights in transformers and here give the same numbers."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch
import torch.nn.functional as F
import transformers

import vilt
from tests.parity.models import random_config, random_inputs, randomise

CLASSES = (
    "ViltForImageAndTextRetrieval",
    "ViltForQuestionAnswering",
    "ViltForMaskedLM",
    "ViltForTokenClassification",
    "ViltForImagesAndTextClassification",
)
TOLERANCE = 1e-4
CONFIGS = 15  # random configs for each class


@pytest.mark.parametrize("name", CLASSES)
def test_logits_losses_and_gradients_over_random_configs(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    worst = {"logits": 0.0, "loss": 0.0, "gradient": 0.0}
    for seed in range(CONFIGS):
        rng = Random(f"{name}{seed}")
        config = random_config(rng)
        if name == "ViltForImagesAndTextClassification":
            config.num_images = rng.choice((2, 3))
            config.modality_type_vocab_size = config.num_images + 1
        torch.manual_seed(seed)
        theirs = randomise(getattr(transformers, name)(config), seed)
        theirs.save_pretrained(tmp_path / str(seed), safe_serialization=seed % 2 == 0)  # safetensors and .bin
        ours = getattr(vilt, name).from_pretrained(str(tmp_path / str(seed)))
        inputs = random_inputs(config, rng, batch=4)
        if name == "ViltForImagesAndTextClassification":
            inputs |= stacked([random_inputs(config, rng, batch=4) for _ in range(config.num_images)])
        labels = make_labels(name, config, inputs)
        expected, got = theirs(**inputs, **labels), ours(**inputs, **labels)
        worst["logits"] = max(worst["logits"], difference(got.logits, expected.logits))
        if labels:
            worst["loss"] = max(worst["loss"], difference(got.loss, expected.loss))
            got.loss.backward()
            expected.loss.backward()
            worst["gradient"] = max(worst["gradient"], *gradient_differences(ours, theirs))
    print(f"\n{name}: worst over {CONFIGS} random configs: {worst}")
    for what, error in worst.items():
        record_property(what, error)
        assert error <= TOLERANCE, what


def stacked(images: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Several images for each text, padded to one size: (B, images, 3, H, W) and masks (B, images, H, W)."""
    height, width = (max(i["pixel_mask"].shape[side] for i in images) for side in (1, 2))
    out = {}
    for name in ("pixel_values", "pixel_mask"):
        room = [(0, width - i[name].shape[-1], 0, height - i[name].shape[-2]) for i in images]
        out[name] = torch.stack([F.pad(i[name], space) for i, space in zip(images, room, strict=True)], 1)
    return out


def make_labels(name: str, config: transformers.ViltConfig, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    batch, length = inputs["input_ids"].shape
    if name == "ViltForQuestionAnswering":
        return {"labels": torch.rand(batch, config.num_labels)}
    if name == "ViltForMaskedLM":
        labels = torch.randint(0, config.vocab_size, (batch, length))
        return {"labels": labels.masked_fill(torch.rand(batch, length) < 0.5, -100)}
    if name == "ViltForTokenClassification":
        return {"labels": torch.randint(0, config.num_labels, (batch, length))}
    if name == "ViltForImagesAndTextClassification":
        return {"labels": torch.randint(0, config.num_labels, (batch,))}
    return {}


def gradient_differences(ours: torch.nn.Module, theirs: torch.nn.Module) -> list[float]:
    """The largest error of each parameter's gradient over the largest gradient; both have the same parameters."""
    own, expected = dict(ours.named_parameters()), dict(theirs.named_parameters())
    assert list(own) == list(expected)
    for name, parameter in expected.items():
        assert (own[name].grad is None) == (parameter.grad is None), name
    return [
        difference(own[name].grad, parameter.grad) / max(1.0, parameter.grad.abs().max().item())
        for name, parameter in expected.items()
        if parameter.grad is not None
    ]


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    return (a - b).abs().max().item()


def test_hidden_states_of_the_bare_model(tmp_path: Path) -> None:
    rng = Random(7)
    config = random_config(rng)
    theirs = randomise(transformers.ViltModel(config), 7)
    theirs.save_pretrained(tmp_path)
    inputs = random_inputs(config, rng, batch=5)
    expected, got = theirs(**inputs), vilt.ViltModel.from_pretrained(str(tmp_path))(**inputs)
    assert difference(got.pooler_output, expected.pooler_output) <= TOLERANCE
    text = inputs["input_ids"].shape[1]
    real = inputs["attention_mask"].bool()
    of_texts = (out.last_hidden_state[:, :text][real] for out in (got, expected))
    assert difference(*of_texts) <= TOLERANCE
    sizes = inputs["pixel_mask"][:, :: config.patch_size, :: config.patch_size].sum((1, 2))
    for ours_row, their_row, size in zip(got.last_hidden_state, expected.last_hidden_state, sizes, strict=True):
        real = slice(text, text + 1 + int(size))  # the image [CLS] and the picture's own patches; then filler
        # transformers shuffles the patches of the largest picture: compare in the order of the first value.
        a, b = (row[real][row[real][:, 0].argsort()] for row in (ours_row, their_row))
        assert difference(a, b) <= TOLERANCE


def test_what_we_save_loads_in_transformers(tmp_path: Path) -> None:
    rng = Random(3)
    config = random_config(rng, num_labels=5)
    randomise(transformers.ViltForQuestionAnswering(config), 3).save_pretrained(tmp_path / "theirs")
    ours = vilt.ViltForQuestionAnswering.from_pretrained(str(tmp_path / "theirs"))
    ours.save_pretrained(str(tmp_path / "ours"))
    back, report = transformers.ViltForQuestionAnswering.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report.values())
    inputs = random_inputs(config, rng, batch=3)
    assert difference(back(**inputs).logits, ours(**inputs).logits) <= TOLERANCE
