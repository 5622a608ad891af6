"""VisualBERT: the same weights in transformers and here give the same numbers."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
import transformers

import vilt
from tests.parity.family import random_choices, random_regions, random_visual_bert
from tests.parity.models import randomise
from tests.parity.test_models import CONFIGS, TOLERANCE, difference, gradient_differences

CLASSES = (
    "VisualBertForPreTraining",
    "VisualBertForQuestionAnswering",
    "VisualBertForMultipleChoice",
    "VisualBertForVisualReasoning",
    "VisualBertForRegionToPhraseAlignment",
)
CHOICES = 3
Inputs = dict[str, torch.Tensor]


def inputs_of(name: str, config: transformers.VisualBertConfig, rng: Random) -> tuple[Inputs, Inputs]:
    """The inputs of a class, and its labels."""
    if name == "VisualBertForMultipleChoice":
        return random_choices(config, rng, 4, CHOICES), {"labels": torch.randint(0, CHOICES, (4,))}
    inputs = random_regions(config, rng, batch=4)
    length, regions = inputs["input_ids"].shape[1], inputs["visual_embeds"].shape[1]
    if name == "VisualBertForPreTraining":
        words = torch.randint(0, config.vocab_size, (4, length + regions))
        words = words.masked_fill(torch.rand(words.shape) < 0.5, -100)
        return inputs, {"labels": words, "sentence_image_labels": torch.randint(0, 2, (4,))}
    if name == "VisualBertForQuestionAnswering":
        return inputs, {"labels": torch.rand(4, config.num_labels).softmax(-1)}
    if name == "VisualBertForRegionToPhraseAlignment":
        inputs["region_to_phrase_position"] = torch.randint(-1, length + regions, (4, 5))
        real = inputs["visual_attention_mask"][:, None]
        return inputs, {"labels": torch.rand(4, 5, regions) * real}
    return inputs, {"labels": torch.randint(0, config.num_labels, (4,))}


@pytest.mark.parametrize("name", CLASSES)
def test_outputs_losses_and_gradients_over_random_configs(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    worst = {"output": 0.0, "loss": 0.0, "gradient": 0.0}
    for seed in range(CONFIGS):
        rng = Random(f"{name}{seed}")
        config = random_visual_bert(rng)
        torch.manual_seed(seed)
        theirs = randomise(getattr(transformers, name)(config), seed)
        theirs.save_pretrained(tmp_path / str(seed), safe_serialization=seed % 2 == 0)  # safetensors and .bin
        ours = getattr(vilt, name).from_pretrained(str(tmp_path / str(seed)))
        inputs, labels = inputs_of(name, config, rng)
        for asked in (inputs, {**inputs, **labels}):
            expected, got = theirs(**asked), ours(**asked)
            tensors = [key for key, value in expected.items() if isinstance(value, torch.Tensor) and key != "loss"]
            worst["output"] = max(worst["output"], *(difference(got[key], expected[key]) for key in tensors))
        worst["loss"] = max(worst["loss"], difference(got.loss, expected.loss))
        got.loss.backward()
        expected.loss.backward()
        worst["gradient"] = max(worst["gradient"], *gradient_differences(ours, theirs))
    print(f"\n{name}: worst over {CONFIGS} random configs: {worst}")
    for what, error in worst.items():
        record_property(what, error)
        assert error <= TOLERANCE, what


Models = tuple[torch.nn.Module, torch.nn.Module, Inputs]


@pytest.fixture
def models(tmp_path: Path) -> Models:
    """transformers' bare model, ours with the same weights, and inputs for both."""
    rng = Random(1)
    config = random_visual_bert(rng, num_hidden_layers=3, num_attention_heads=2, hidden_size=32)
    theirs = randomise(transformers.VisualBertModel(config), 1)
    theirs.save_pretrained(tmp_path)
    return theirs, vilt.VisualBertModel.from_pretrained(str(tmp_path)), random_regions(config, rng, batch=3)


def same(models: Models, **changes: Any) -> None:
    theirs, ours, inputs = models
    inputs = {name: value for name, value in {**inputs, **changes}.items() if value is not None}
    expected, got = theirs(**inputs), ours(**inputs)
    assert difference(got.last_hidden_state, expected.last_hidden_state) <= TOLERANCE
    assert difference(got.pooler_output, expected.pooler_output) <= TOLERANCE


@pytest.mark.parametrize(
    "absent",
    [
        "attention_mask",
        "token_type_ids",
        "position_ids",
        "visual_attention_mask",
        "visual_token_type_ids",
        "image_text_alignment",
    ],
)
def test_what_may_be_left_out(models: Models, absent: str) -> None:
    same(models, **{absent: None})


def test_text_alone(models: Models) -> None:
    same(models, **{name: None for name in models[2] if name.startswith(("visual", "image"))})


def test_inputs_embeds(models: Models) -> None:
    same(models, input_ids=None, inputs_embeds=torch.randn(3, models[2]["input_ids"].shape[1], 32))


def test_an_alignment_that_is_padded_too_long(models: Models) -> None:
    alignment = models[2]["image_text_alignment"]
    same(models, image_text_alignment=torch.cat([alignment, alignment], 1))


@pytest.mark.parametrize("shape", [(2,), (3, 2)])
def test_head_mask(models: Models, shape: tuple[int, ...]) -> None:
    same(models, head_mask=torch.rand(shape))


def test_hidden_states_and_attentions(models: Models) -> None:
    theirs, ours, inputs = models
    asked = {**inputs, "output_hidden_states": True, "output_attentions": True}
    expected, got = theirs(**asked), ours(**asked)
    assert len(got.hidden_states) == len(expected.hidden_states) == 4
    pairs = zip((*got.hidden_states, *got.attentions), (*expected.hidden_states, *expected.attentions), strict=True)
    assert max(difference(a, b) for a, b in pairs) <= TOLERANCE
    as_tuple, their_tuple = (model(**asked, return_dict=False) for model in (ours, theirs))
    assert isinstance(as_tuple, tuple)
    assert len(as_tuple) == len(their_tuple) == 4
    assert difference(as_tuple[1], their_tuple[1]) <= TOLERANCE


def test_bypass_transformer(tmp_path: Path) -> None:
    """transformers 4.56.2 cannot run its own: the layers that it documents, put together from its modules."""
    rng = Random(2)
    config = random_visual_bert(rng, bypass_transformer=True)
    theirs = randomise(transformers.VisualBertModel(config), 2)
    theirs.save_pretrained(tmp_path)
    ours, inputs = vilt.VisualBertModel.from_pretrained(str(tmp_path)), random_regions(config, rng, batch=3)
    length = inputs["input_ids"].shape[1]
    both = torch.cat([inputs["attention_mask"], inputs["visual_attention_mask"]], 1)
    x = theirs.embeddings(**{name: value for name, value in inputs.items() if "attention_mask" not in name})
    text_mask, both_mask = ((1.0 - mask[:, None, None]) * -1e30 for mask in (inputs["attention_mask"], both))
    text = theirs.encoder(x[:, :length], attention_mask=text_mask)[0]
    [expected] = theirs.additional_layer(torch.cat([text, x[:, length:]], 1), both_mask)
    got = ours(**inputs)
    assert difference(got.last_hidden_state, expected) <= TOLERANCE
    assert difference(got.pooler_output, theirs.pooler(expected)) <= TOLERANCE


def test_special_visual_initialize() -> None:
    for special in (True, False):
        config = vilt.VisualBertConfig(hidden_size=24, num_hidden_layers=1, special_visual_initialize=special)
        model = vilt.VisualBertModel(config)
        tables = model.embeddings
        assert torch.equal(tables.visual_position_embeddings.weight, tables.position_embeddings.weight) is special
        assert torch.equal(tables.visual_token_type_embeddings.weight, tables.token_type_embeddings.weight) is special


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_ids": None}, "input_ids or inputs_embeds: give one of them, not none"),
        ({"input_ids": torch.zeros(3, 50, dtype=torch.int64)}, "a text has 50 tokens; the model reads at most"),
        ({"visual_embeds": torch.zeros(3, 2, 3)}, "visual_embeds: features of 3 numbers; the model reads"),
        ({"image_text_alignment": torch.zeros(3, 0, 1)}, "image_text_alignment: of 0 regions; there are"),
    ],
)
def test_inputs_that_do_not_go_together(models: Models, changes: dict[str, Any], message: str) -> None:
    _, ours, inputs = models
    with pytest.raises(ValueError, match=message):
        ours(**{**inputs, **changes})


def test_labels_that_do_not_fit(models: Models) -> None:
    config, inputs = models[1].config, models[2]
    with pytest.raises(ValueError, match="labels: of 2 tokens; text and regions have"):
        vilt.VisualBertForPreTraining(config)(**inputs, labels=torch.zeros(3, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="region_to_phrase_position: missing"):
        vilt.VisualBertForRegionToPhraseAlignment(config)(**inputs)


@pytest.mark.parametrize("name", ["VisualBertModel", *CLASSES])
def test_what_we_save_loads_in_transformers(tmp_path: Path, name: str) -> None:
    rng = Random(3)
    config = random_visual_bert(rng)
    randomise(getattr(transformers, name)(config), 3).save_pretrained(tmp_path / "theirs")
    ours = getattr(vilt, name).from_pretrained(str(tmp_path / "theirs"))
    ours.save_pretrained(str(tmp_path / "ours"))
    back, report = getattr(transformers, name).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report.values())
    inputs = inputs_of(name, config, rng)[0]
    assert difference(back(**inputs)[0], ours(**inputs)[0]) <= TOLERANCE
