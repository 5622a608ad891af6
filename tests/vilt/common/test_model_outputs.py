"""What models return: a dataclass, an ordered dict and a tuple at once."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
import torch.utils._pytree as pytree

from vilt.common.model_outputs import BaseModelOutput, HeadOutput, MaskedImageModelingOutput, ModelOutput

LOGITS, LOSS = torch.ones(2, 3), torch.tensor(0.5)


def test_values_that_are_none_do_not_count() -> None:
    out = HeadOutput(logits=LOGITS)
    assert (list(out), out.loss, len(out)) == (["logits"], None, 1)
    assert out[0] is out["logits"] is out.logits is LOGITS
    assert out.to_tuple() == (LOGITS,)
    assert HeadOutput(LOSS, LOGITS)[:2] == (LOSS, LOGITS)
    with pytest.raises(KeyError):
        out["loss"]
    assert {**HeadOutput(LOSS, LOGITS)}.keys() == {"loss", "logits"}


def test_values_are_set_by_name_and_by_key() -> None:
    out = HeadOutput(logits=LOGITS)
    out.logits = LOSS
    assert out["logits"] is LOSS
    out["logits"] = LOGITS
    assert out.logits is LOGITS


@pytest.mark.parametrize("change", ["pop", "update", "setdefault", "__delitem__"])
def test_names_are_fixed(change: str) -> None:
    with pytest.raises(TypeError, match=r"^HeadOutput has fixed names: set a value, or make a dict of it$"):
        getattr(HeadOutput(logits=LOGITS), change)("logits")


@pytest.mark.parametrize(
    "items", [{"loss": LOSS, "logits": LOGITS}, [("loss", LOSS), ("logits", LOGITS)], iter([("logits", LOGITS)])]
)
def test_made_from_a_dict_or_from_pairs(items: Any) -> None:
    """As `DataParallel` makes them."""
    out = HeadOutput(items)
    assert out.logits is LOGITS
    assert list(out) in (["loss", "logits"], ["logits"])


def test_a_first_value_that_is_a_tuple_of_tensors_is_a_value() -> None:
    states = (LOGITS, LOGITS)
    assert HeadOutput(hidden_states=states).hidden_states is states
    assert BaseModelOutput(LOGITS, states).to_tuple() == (LOGITS, states)


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda out: pickle.loads(pickle.dumps(out))])
def test_copies(copied: Any) -> None:
    out = copied(HeadOutput(LOSS, LOGITS, (LOGITS,)))
    assert isinstance(out, HeadOutput)
    assert list(out) == ["loss", "logits", "hidden_states"]
    assert torch.equal(out.logits, LOGITS)


def test_trees() -> None:
    values, form = pytree.tree_flatten(HeadOutput(LOSS, LOGITS))
    assert len(values) == 2
    again = pytree.tree_unflatten([value + 1 for value in values], form)
    assert isinstance(again, HeadOutput)
    assert torch.equal(again.logits, LOGITS + 1)


def test_every_output_has_the_fields_that_it_documents() -> None:
    def subclasses(kind: type) -> list[type]:
        return [kind, *(below for one in kind.__subclasses__() for below in subclasses(one))]

    for kind in subclasses(ModelOutput)[1:]:
        assert kind().to_tuple() == ()


def test_an_older_name() -> None:
    assert MaskedImageModelingOutput(reconstruction=LOGITS).logits is LOGITS
