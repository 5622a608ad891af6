"""Activations by name: the same numbers as transformers', one module each."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.activations import ACT2FN

from vilt.common.activations import ACTIVATIONS, FunctionActivation, activation

X = torch.linspace(-12, 12, 241)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_numbers_of_transformers(name: str) -> None:
    """Of newer names those of torch."""
    expected = ACT2FN[name](X) if name in ACT2FN else getattr(nn.functional, name)(X)
    torch.testing.assert_close(activation(name)(X), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_model_has_its_module(name: str) -> None:
    first, second = activation(name), activation(name)
    assert isinstance(first, nn.Module)
    assert first is not second


def test_names_that_are_not_known() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        activation("gelo")
    assert str(caught.value) == f"hidden_act 'gelo' is not one of {', '.join(ACTIVATIONS)}"


def test_modules_and_functions() -> None:
    module = nn.Tanh()
    assert activation(module) is module
    made = activation(torch.square)
    assert isinstance(made, FunctionActivation)
    assert torch.equal(made(X), X * X)
