"""Every documented argument of the models' `forward`, beside transformers."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file

import vilt
from tests.parity.checkpoints import write_checkpoint
from tests.parity.models import random_config, random_inputs, randomise
from tests.parity.test_models import TOLERANCE, difference

Models = tuple[torch.nn.Module, torch.nn.Module, dict[str, torch.Tensor]]
CONFIG = {"num_hidden_layers": 3, "num_attention_heads": 2, "hidden_size": 32}


@pytest.fixture
def models(tmp_path: Path) -> Models:
    """transformers' model, ours with the same weights, and inputs for both."""
    rng = Random(1)
    config = random_config(rng, **CONFIG)
    theirs = randomise(transformers.ViltForQuestionAnswering(config), 1)
    theirs.save_pretrained(tmp_path)
    return theirs, vilt.ViltForQuestionAnswering.from_pretrained(str(tmp_path)), random_inputs(config, rng, batch=3)


def same_logits(models: Models, **changes: Any) -> None:
    theirs, ours, inputs = models
    inputs = {name: value for name, value in {**inputs, **changes}.items() if value is not None}
    assert difference(ours(**inputs).logits, theirs(**inputs).logits) <= TOLERANCE


@pytest.mark.parametrize("absent", ["attention_mask", "token_type_ids"])
def test_masks_and_types_may_be_left_out(models: Models, absent: str) -> None:
    same_logits(models, **{absent: None})


def test_pixel_mask_may_be_left_out(models: Models) -> None:
    size = models[0].config.image_size
    same_logits(models, pixel_values=torch.randn(3, 3, size, size), pixel_mask=None)


@pytest.mark.parametrize(
    "masked",
    [
        [(0, slice(1, 2), slice(1, 2))],  # one patch inside
        [(0, slice(1, 2), slice(1, 4)), (1, slice(2, 4), slice(3, 4))],  # in two of the pictures
        [(0, slice(0, 1), slice(2, 4))],  # the first row is shorter: fewer columns, so patches are drawn
        [(2, slice(3, 4), slice(0, 4)), (2, slice(0, 4), slice(3, 4))],  # a smaller picture
    ],
)
def test_pixel_mask_with_a_hole(models: Models, masked: list[tuple[int, slice, slice]]) -> None:
    """Pooled outputs: transformers shuffles patches and fills up with random ones that nothing reads."""
    theirs, ours, inputs = models
    patch = theirs.config.patch_size
    mask = torch.ones(3, 4, 4, dtype=torch.long)
    for where in masked:
        mask[where] = 0
    if masked[0][1] == slice(0, 1):  # of 14 patches as many as the largest grid has are drawn at random: no two agree
        mask = mask[:1]
    rows = len(mask)
    inputs = {name: value[:rows] for name, value in inputs.items()}
    inputs["pixel_values"] = torch.randn(rows, 3, 4 * patch, 4 * patch)
    inputs["pixel_mask"] = mask.repeat_interleave(patch, 1).repeat_interleave(patch, 2)
    torch.manual_seed(0)
    got, expected = (model(**inputs, output_hidden_states=True) for model in (ours, theirs))
    assert got.hidden_states[0].shape == expected.hidden_states[0].shape
    if rows == 3:
        assert difference(got.logits, expected.logits) <= TOLERANCE


@pytest.mark.parametrize("shape", [(2,), (3, 2)])
def test_head_mask(models: Models, shape: tuple[int, ...]) -> None:
    same_logits(models, head_mask=torch.rand(shape))


def test_inputs_embeds(models: Models) -> None:
    length = models[2]["input_ids"].shape[1]
    same_logits(models, input_ids=None, inputs_embeds=torch.randn(3, length, 32))


def embedded(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor | None]:
    """Image embeddings in place of pixels: transformers shuffles the patches of pictures, but not these."""
    mask = torch.ones(3, 7, dtype=torch.int64)
    mask[1, 4:] = 0
    return {**inputs, "pixel_values": None, "pixel_mask": mask, "image_embeds": torch.randn(3, 7, 32)}


def test_image_embeds(models: Models) -> None:
    same_logits(models, **embedded(models[2]))


def test_hidden_states_and_attentions(models: Models) -> None:
    theirs, ours, inputs = models
    asked = {**embedded(inputs), "output_hidden_states": True, "output_attentions": True}
    expected, got = theirs(**asked), ours(**asked)
    assert len(got.hidden_states) == len(expected.hidden_states) == 4
    assert len(got.attentions) == len(expected.attentions) == 3
    ours_all, theirs_all = ((*out.hidden_states, *out.attentions) for out in (got, expected))
    for a, b in zip(ours_all, theirs_all, strict=True):
        assert difference(a, b) <= TOLERANCE
    as_tuple, their_tuple = (model(**asked, return_dict=False) for model in (ours, theirs))
    assert isinstance(as_tuple, tuple)
    assert len(as_tuple) == len(their_tuple)
    assert difference(as_tuple[0], their_tuple[0]) <= TOLERANCE


def test_image_token_type_idx(tmp_path: Path) -> None:
    rng = Random(2)
    config = random_config(rng, modality_type_vocab_size=3)
    theirs = randomise(transformers.ViltModel(config), 2)
    theirs.save_pretrained(tmp_path)
    ours, inputs = vilt.ViltModel.from_pretrained(str(tmp_path)), random_inputs(config, rng, batch=3)
    for index in (None, 1, 2):
        got, expected = (model(**inputs, image_token_type_idx=index).pooler_output for model in (ours, theirs))
        assert difference(got, expected) <= TOLERANCE


def test_max_image_length_keeps_that_many_patches_by_a_fixed_seed(models: Models) -> None:
    _, ours, inputs = models
    ours.vilt.config.max_image_length = 2
    torch.manual_seed(0)
    first = ours(**inputs, output_hidden_states=True)
    assert first.hidden_states[0].shape[1] == inputs["input_ids"].shape[1] + 1 + 2
    torch.manual_seed(1)
    assert torch.equal(ours(**inputs).logits, first.logits)


def test_max_image_length_draws_at_random_in_training(models: Models) -> None:
    _, ours, inputs = models
    ours.vilt.config.max_image_length = 2
    ours.train()  # without dropout, so that only the draw differs
    drawn = set()
    for seed in range(8):
        torch.manual_seed(seed)
        drawn.add(ours(**inputs).logits.sum().item())
        torch.manual_seed(seed)
        assert ours(**inputs).logits.sum().item() in drawn
    assert len(drawn) > 2


@pytest.mark.parametrize("most", [-1, 3, 1000])
def test_max_image_length_gives_the_published_shape(models: Models, most: int) -> None:
    theirs, ours, inputs = models
    shapes = []
    for model in (theirs, ours):
        model.vilt.config.max_image_length = most
        shapes.append(model(**inputs, output_hidden_states=True).hidden_states[0].shape)
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pixel_values": None}, "pixel_values or image_embeds: give one of them, not none"),
        ({"inputs_embeds": torch.zeros(3, 4, 32)}, "input_ids or inputs_embeds: give one of them, not both"),
        ({"pixel_values": torch.zeros(2, 3, 64, 64), "pixel_mask": None}, "3 texts and 2 images do not pair up"),
        ({"input_ids": torch.zeros(3, 50, dtype=torch.int64), "attention_mask": None}, "a text has 50 tokens"),
    ],
)
def test_inputs_that_do_not_go_together(models: Models, changes: dict[str, Any], message: str) -> None:
    _, ours, inputs = models
    with pytest.raises(ValueError, match=message):
        ours(**{**inputs, "token_type_ids": None, **changes})


def test_outputs_that_the_config_asks_for(tmp_path: Path) -> None:
    rng = Random(4)
    config = random_config(rng, **CONFIG, output_hidden_states=True, output_attentions=True, return_dict=False)
    theirs = randomise(transformers.ViltForQuestionAnswering(config), 4)
    theirs.save_pretrained(tmp_path)
    ours = vilt.ViltForQuestionAnswering.from_pretrained(str(tmp_path))
    inputs = embedded(random_inputs(config, rng, batch=3))
    expected, got = theirs(**inputs), ours(**inputs)
    assert [type(part) for part in got] == [type(part) for part in expected]
    assert difference(got[0], expected[0]) <= TOLERANCE
    assert len(ours(**inputs, output_attentions=False)) == len(theirs(**inputs, output_attentions=False)) == 2
    assert ours(**inputs, return_dict=True).logits.shape == expected[0].shape


def test_a_decoder_tied_to_the_word_embeddings(tmp_path: Path) -> None:
    rng = Random(5)
    config = random_config(rng, tie_word_embeddings=True)
    theirs = randomise(transformers.ViltForMaskedLM(config), 5)
    theirs.tie_weights()
    theirs.save_pretrained(tmp_path)
    inputs = random_inputs(config, rng, batch=3)
    ours = vilt.ViltForMaskedLM.from_pretrained(str(tmp_path))
    assert difference(ours(**inputs).logits, theirs(**inputs).logits) <= TOLERANCE


def test_a_tied_decoder_in_the_file_gives_way_to_the_table_of_words(tmp_path: Path) -> None:
    shape = {"num_attention_heads": 2, "hidden_size": 16, "tie_word_embeddings": True}
    theirs = write_checkpoint(tmp_path, "ViltForMaskedLM", seed=5, **shape)
    tensors = {name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    tensors["mlm_score.decoder.weight"] = torch.randn_like(tensors["mlm_score.decoder.weight"])
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    expected = transformers.ViltForMaskedLM.from_pretrained(tmp_path).mlm_score.decoder.weight
    assert torch.equal(expected, tensors["vilt.embeddings.text_embeddings.word_embeddings.weight"])
    assert torch.equal(vilt.ViltForMaskedLM.from_pretrained(tmp_path).mlm_score.decoder.weight, expected)
    assert torch.equal(vilt.open_predictor(tmp_path).heads["fill"].decoder.weight, expected)


def test_selu_and_functions_as_activation() -> None:
    """The documentation names "selu"; transformers 4.56.2 does not know it."""
    for name, function in (("selu", torch.nn.functional.selu), ("relu", torch.nn.functional.relu)):
        models = []
        for act in (name, function):
            config = vilt.ViltConfig(hidden_size=16, num_attention_heads=2, num_hidden_layers=2, hidden_act=act)
            torch.manual_seed(0)
            models.append(vilt.ViltModel(config).eval())
        inputs = {"input_ids": torch.ones(1, 3, dtype=torch.int64), "pixel_values": torch.randn(1, 3, 64, 64)}
        a, b = (model(**inputs).pooler_output for model in models)
        assert torch.equal(a, b)


def test_pictures_of_one_channel(tmp_path: Path) -> None:
    rng = Random(6)
    config = random_config(rng, num_channels=1)
    theirs = randomise(transformers.ViltForQuestionAnswering(config), 6)
    theirs.save_pretrained(tmp_path)
    inputs = random_inputs(config, rng, batch=2)
    inputs["pixel_values"] = inputs["pixel_values"][:, :1].contiguous()
    ours = vilt.ViltForQuestionAnswering.from_pretrained(str(tmp_path))
    assert difference(ours(**inputs).logits, theirs(**inputs).logits) <= TOLERANCE
    ours.save_pretrained(str(tmp_path / "again"))
    again = transformers.ViltForQuestionAnswering.from_pretrained(tmp_path / "again")
    assert difference(ours(**inputs).logits, again(**inputs).logits) <= TOLERANCE
