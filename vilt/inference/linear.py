"""Linear layers that take in what follows them, and whose weights are laid out once for the CPU that reads them.

On a CPU the kernels of oneDNN want a weight in blocks. A plain `F.linear` makes them anew in every call or, in float32,
goes to another library, which on some processors is half as fast; `packed` makes them once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vilt.inference import compat

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "selu": F.selu,
    "tanh": torch.tanh,
}
ROWS = 2048  # that the blocks are made for


def activation(name: str | Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the function that `hidden_act` names, or is. Raises ValueError with the known names."""
    if callable(name):
        return name
    if name not in ACTIVATIONS:
        raise ValueError(f"hidden_act {name!r} is not one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


class Linear(nn.Linear):
    """A linear layer with an activation after it, or a residual added to it."""

    def forward(self, x: Tensor, act: str | Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return act(x W^T + b), (..., out), of x, (..., in)."""
        out = super().forward(x)
        return out if act is None else activation(act)(out)

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """Return residual + x W^T + b, (..., out), of x, (..., in)."""
        return residual + super().forward(x)


class PackedLinear(nn.Module):
    """The same for inference on a CPU, its weight in blocks."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = compat.pack(linear.weight.detach(), ROWS)
        self.bias = None if linear.bias is None else linear.bias.detach()
        self.eval()  # a new module is in training, where dropout follows

    def forward(self, x: Tensor, act: str | Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Compute as `Linear.forward` does."""
        fused = act if isinstance(act, str) and act in compat.FUSED else None
        out = compat.packed_linear(x, self.weight, self.bias, fused)
        return out if act is None or fused else activation(act)(out)

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """Compute as `Linear.add` does."""
        return compat.packed_linear_add(x, self.weight, self.bias, residual)


def replace(module: nn.Module, kind: Callable[[nn.Linear], nn.Module]) -> None:
    """Replace every `Linear` below `module`, in place."""
    for name, child in module.named_children():
        if isinstance(child, Linear):
            setattr(module, name, kind(child))
        else:
            replace(child, kind)


def packed(linear: nn.Linear) -> nn.Module:
    """Return a `PackedLinear` if the CPU has such kernels for its dtype, else the same layer."""
    return PackedLinear(linear) if compat.can_pack(linear.weight) else linear
