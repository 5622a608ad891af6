"""How a checkpoint fits a model, and the one line if it does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vilt.checkpoints.loading import MOST_MISSING, Fit, check_fit, check_layers, compare, fill, loaded, on_meta, renamed


def zeros(*names: str) -> dict[str, Tensor]:
    return {name: torch.zeros(2) for name in names}


@pytest.mark.parametrize(
    ("stored", "model", "found"),
    [
        (["vilt.a", "head"], ["vilt.a", "head"], ["vilt.a", "head"]),
        (["a", "b"], ["a", "b"], ["a", "b"]),
        (["vilt.a", "head"], ["a"], ["a", "head"]),
        (["a", "head"], ["vilt.a", "head"], ["vilt.a", "head"]),
    ],
)
def test_names_with_and_without_the_prefix(stored: list[str], model: list[str], found: list[str]) -> None:
    assert list(renamed(zeros(*stored), zeros(*model), "vilt")) == found


def test_what_fits_and_what_does_not() -> None:
    stored = {**zeros("vilt.a", "vilt.LayerNorm.gamma", "old", "vilt.x.position_ids"), "vilt.b": torch.zeros(3, 2)}
    model = {**zeros("vilt.a", "vilt.LayerNorm.weight", "head"), "vilt.b": torch.zeros(2, 3, device="meta")}
    fit = compare(stored, model, "vilt")
    assert list(fit.tensors) == ["vilt.a", "vilt.LayerNorm.weight"]
    assert fit.missing == ["head"]
    assert fit.unexpected == ["old"], "positions are 0, 1, 2, ..., and today's names count"
    assert fit.mismatched == [("vilt.b", (3, 2), (2, 3))]


FIT = Fit({}, ["a", "b"], [], [("c", (1,), (2,)), ("d", (1,), (2,))])
NAMES = {name: torch.zeros(2, device="meta") for name in "abcd"}


def test_faults_are_one_line() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        check_fit(FIT, NAMES, "m/", strict=True, ignore_mismatched=False)
    assert str(caught.value) == (
        "the weights in 'm/' do not fit: missing a; missing b; c is (1,), the config says (2,) and 1 more"
    )
    with pytest.raises(ValueError, match=r"do not fit: c is \(1,\), the config says \(2,\); d is \(1,\), the config"):
        check_fit(FIT, NAMES, "m/", strict=False, ignore_mismatched=False)
    check_fit(FIT, NAMES, "m/", strict=False, ignore_mismatched=True)


def test_a_config_that_asks_for_far_more_than_is_stored() -> None:
    huge = {"a": torch.zeros(MOST_MISSING + 1, device="meta")}
    with pytest.raises(ValueError, match=r"^the weights in 'm/' do not fit: the config asks for 2,147,483,649 numbers"):
        check_fit(Fit({}, ["a"], [], []), huge, "m/", strict=False, ignore_mismatched=True)


@pytest.mark.parametrize("named", [-1, 1001, "12", 2.0, None])
def test_layers_that_the_file_does_not_hold(named: Any) -> None:
    tensors = zeros("vilt.encoder.layer.0.a", "vilt.encoder.layer.11.a", "encoder.layers.3.a")
    check_layers(tensors, SimpleNamespace(num_hidden_layers=12), "m/")
    with pytest.raises(
        ValueError,
        match=r"^the weights in 'm/' do not fit: num_hidden_layers is .*, and the file "
        r"has 2$",
    ):
        check_layers(tensors, SimpleNamespace(num_hidden_layers=named), "m/")


def test_modules_without_memory() -> None:
    assert next(on_meta(lambda: nn.Linear(10**6, 10**6), "m/").parameters()).is_meta
    with pytest.raises(ValueError, match=r"^the config of 'm/' makes no model: ") as caught:
        on_meta(lambda: nn.Linear(-1, 2), "m/")
    assert "\n" not in str(caught.value)


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.vilt = nn.Linear(2, 2)
        self.register_buffer("steps", torch.zeros(1, dtype=torch.int64))


def test_a_module_made_from_tensors() -> None:
    tensors = {"weight": torch.full((2, 2), 0.5, dtype=torch.float16), "bias": torch.ones(2)}
    stored = {**{f"vilt.{name}": tensor for name, tensor in tensors.items()}, "steps": torch.tensor([7])}
    module = loaded(Toy, stored, "vilt", "m/")
    assert not module.training
    state = module.state_dict()
    assert (state["vilt.weight"].dtype, state["steps"].item()) == (torch.float32, 7)
    assert state["vilt.bias"].data_ptr() == tensors["bias"].data_ptr(), "float32 is not copied"
    del stored["vilt.bias"]
    with pytest.raises(ValueError, match=r"^the weights in 'm/' do not fit: missing vilt\.bias$"):
        loaded(Toy, stored, "vilt", "m/")


def test_tensors_are_copied_in_the_models_dtype_or_another() -> None:
    model = nn.Linear(2, 2)
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    fill(model, {"weight": weight})
    assert torch.equal(model.weight, weight.float())
    fill(model, {"weight": weight}, torch.bfloat16)
    assert model.weight.dtype == model.bias.dtype == torch.bfloat16
