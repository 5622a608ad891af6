"""Outputs are ordered dicts and dataclasses at once, as those of transformers: gathering, exporting, trees, slices."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections import OrderedDict
from random import Random
from typing import Any

import pytest
import torch
import torch.utils._pytree as pytree
import transformers
from torch.nn.parallel.scatter_gather import gather

import vilt
from tests.parity.family import random_pixels, random_regions, random_visual_bert, random_vit
from tests.parity.models import random_config, random_inputs
from tests.parity.test_models import TOLERANCE, difference

SHAPE = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16}
FAMILIES = {
    "ViltForQuestionAnswering": (random_config, random_inputs),
    "ViTForMaskedImageModeling": (random_vit, random_pixels),
    "ViTModel": (random_vit, random_pixels),
    "VisualBertForPreTraining": (random_visual_bert, random_regions),
}
Out = Any


@pytest.fixture(params=FAMILIES)
def models(request: pytest.FixtureRequest) -> tuple[Any, Any, dict[str, torch.Tensor]]:
    """Ours and theirs with the same weights, and inputs."""
    make_config, make_inputs = FAMILIES[request.param]
    config = make_config(Random(4), **SHAPE)
    theirs = getattr(transformers, request.param)(config).eval()
    ours = getattr(vilt, request.param)(getattr(vilt, type(config).__name__)(**config.to_dict())).eval()
    ours.load_state_dict(theirs.state_dict())
    inputs = make_inputs(config, Random(4), 2)
    if "pixel_mask" in inputs:  # transformers shuffles the patches of pictures, but not these
        del inputs["pixel_mask"], inputs["pixel_values"]
        inputs |= {"image_embeds": torch.randn(2, 7, 16), "pixel_mask": torch.ones(2, 7)}
    return ours, theirs, inputs


def outputs(models: tuple[Any, Any, dict[str, torch.Tensor]], **arguments: object) -> list[Out]:
    ours, theirs, inputs = models
    with torch.no_grad():
        return [model(**inputs, **arguments) for model in (ours, theirs)]


def test_a_dict_and_a_dataclass_and_a_tuple(models: Any) -> None:
    seen = []
    for out in outputs(models, output_hidden_states=True):
        assert isinstance(out, OrderedDict)
        assert dataclasses.is_dataclass(out)
        names = list(out)
        assert names == list(out.keys()) == list({**out})
        assert [type(value) for value in out.values()] == [type(value) for _, value in out.items()]
        assert out[names[0]] is out[0] is out.to_tuple()[0] is getattr(out, names[0])
        assert len(out) == len(out.to_tuple()) == len(out[:])
        first, *rest = out.to_tuple()
        assert out[1:] == tuple(rest)
        assert out[-1] is out.to_tuple()[-1]
        assert first is out[:1][0]
        with pytest.raises(IndexError):
            out[len(names)]
        with pytest.raises(KeyError):
            out["nothing"]
        assert "nothing" not in out
        assert out.get("nothing") is None
        setattr(out, names[0], None)  # None is not written into the dict, as published
        out[names[0]] = first
        assert out[0] is first
        fields = [field.name for field in dataclasses.fields(out)]
        seen.append((names, fields, len(out)))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("change", ["pop", "update", "setdefault", "__delitem__"])
def test_what_would_change_the_names_is_refused(models: Any, change: str) -> None:
    for out in outputs(models):
        with pytest.raises(Exception, match=r"fixed names|cannot use"):
            getattr(out, change)(next(iter(out)))


def test_trees(models: Any) -> None:
    ours, theirs = outputs(models, output_attentions=True)
    leaves = [pytree.tree_leaves(out) for out in (ours, theirs)]
    assert len(leaves[0]) == len(leaves[1])
    assert max(map(difference, *leaves)) <= TOLERANCE
    doubled = pytree.tree_map(lambda tensor: tensor * 2, ours)
    assert type(doubled) is type(ours)
    assert difference(doubled[0], theirs[0] * 2) <= TOLERANCE
    assert list(doubled) == list(theirs)
    spec = pytree.tree_structure(ours)
    assert type(pytree.tree_unflatten(pytree.tree_leaves(ours), spec)) is type(ours)
    assert pytree.treespec_loads(pytree.treespec_dumps(spec)) == spec


def test_gathered_by_data_parallel(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`DataParallel` makes the output of all devices from those of each: pairs of names and values."""

    def joined(target: object, dim: int, *tensors: torch.Tensor) -> torch.Tensor:
        del target
        return torch.cat(tensors, dim)

    monkeypatch.setattr(torch.nn.parallel._functions.Gather, "apply", joined)  # the machine may have no two devices
    for out in outputs(models, output_hidden_states=True):
        both = gather([out, out], "cpu")
        assert type(both) is type(out)
        assert list(both) == list(out)
        assert torch.equal(both[0], torch.cat([out[0], out[0]]))
        assert len(both.hidden_states) == len(out.hidden_states)
        assert both.hidden_states[1].shape[0] == 4


def test_copies_and_pickles(models: Any) -> None:
    for out in outputs(models):
        for made in (copy.copy(out), copy.deepcopy(out), pickle.loads(pickle.dumps(out))):
            assert type(made) is type(out)
            assert list(made) == list(out)
            assert torch.equal(made[0], out[0])


def test_torch_export() -> None:
    config = random_config(Random(4), **{**SHAPE, "num_hidden_layers": 1})
    model = vilt.ViltForQuestionAnswering(vilt.ViltConfig(**config.to_dict())).eval()
    inputs = {
        "input_ids": torch.ones(1, 5, dtype=torch.long),
        "attention_mask": torch.ones(1, 5, dtype=torch.long),
        "image_embeds": torch.randn(1, 7, 16),
        "pixel_mask": torch.ones(1, 7, dtype=torch.long),
    }
    with torch.no_grad():
        exported = torch.export.export(model, (), inputs)
        assert difference(exported.module()(**inputs).logits, model(**inputs).logits) <= TOLERANCE
