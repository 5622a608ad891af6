"""The activations that a config may name, as modules, so that people find and replace them in a model's tree."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class FunctionActivation(nn.Module):
    """A function of a tensor as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return self.function(x)


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), a fast approximation of GELU."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return x * torch.sigmoid(1.702 * x)


class ClippedGELU(nn.Module):
    """GELU between two numbers."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return nn.functional.gelu(x).clip(self.low, self.high)


class LaplaceActivation(nn.Module):
    """Half of 1 + erf((x - mu) / (sigma sqrt 2)), of arXiv 2209.10655."""

    def forward(self, x: Tensor, mu: float = 0.707107, sigma: float = 0.282095) -> Tensor:
        """Apply it."""
        return 0.5 * (1.0 + torch.erf((x - mu) / (sigma * math.sqrt(2.0))))


class ReLUSquared(nn.Module):
    """The square of ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return torch.relu(x).square()


def _tanh_gelu() -> nn.Module:
    return nn.GELU(approximate="tanh")


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_10": lambda: ClippedGELU(-10, 10),
    "gelu_accurate": _tanh_gelu,
    "gelu_fast": _tanh_gelu,
    "gelu_new": _tanh_gelu,
    "gelu_python": nn.GELU,
    "gelu_pytorch_tanh": _tanh_gelu,
    "hardswish": nn.Hardswish,
    "laplace": LaplaceActivation,
    "leaky_relu": nn.LeakyReLU,
    "linear": nn.Identity,
    "mish": nn.Mish,
    "prelu": nn.PReLU,
    "quick_gelu": QuickGELU,
    "relu": nn.ReLU,
    "relu2": ReLUSquared,
    "relu6": nn.ReLU6,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "tanh": nn.Tanh,
}


def activation(name: str | Callable[[Tensor], Tensor]) -> Any:
    """Return a module for what `hidden_act` names, or is.

    Raises:
        ValueError: No activation has the name; the message lists those that there are.
    """
    if isinstance(name, str):
        if name not in ACTIVATIONS:
            raise ValueError(f"hidden_act {name!r} is not one of {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[name]()
    return name if isinstance(name, nn.Module) else FunctionActivation(name)
