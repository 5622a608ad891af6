"""Linear layers that take in what follows them, and whose weights are laid out once for the CPU that reads them.

On a CPU the kernels of oneDNN want a weight in blocks. A plain `F.linear` makes them anew in every call or, in float32,
goes to another library, which on some processors is half as fast; `packed` makes them once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "selu": F.selu,
    "tanh": torch.tanh,
}
FUSED = {"gelu": ("gelu", "none"), "gelu_new": ("gelu", "tanh"), "relu": ("relu", "")}  # as oneDNN's kernels name them
ROWS = 2048  # that the blocks are made for


def activation(name: str | Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The function that `hidden_act` names, or is. Raises ValueError with the known names."""
    if callable(name):
        return name
    if name not in ACTIVATIONS:
        raise ValueError(f"hidden_act {name!r} is not one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


class Linear(nn.Linear):
    """A linear layer with an activation after it, or a residual added to it."""

    def forward(self, x: Tensor, act: str | Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """(..., in) -> act(x W^T + b), (..., out)."""
        out = super().forward(x)
        return out if act is None else activation(act)(out)

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """(..., in), (..., out) -> residual + x W^T + b."""
        return residual + super().forward(x)


class PackedLinear(nn.Module):
    """The same for inference on a CPU, its weight in blocks."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), ROWS)
        self.bias = None if linear.bias is None else linear.bias.detach()
        self.eval()  # a new module is in training, where dropout follows

    def forward(self, x: Tensor, act: str | Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """As `Linear.forward`."""
        name, algorithm = FUSED.get(act, ("none", "")) if isinstance(act, str) else ("none", "")
        out = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, name, [], algorithm)
        return out if act is None or name != "none" else activation(act)(out)

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """As `Linear.add`."""
        return torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.weight, self.bias, "add")


def replace(module: nn.Module, kind: Callable[[nn.Linear], nn.Module]) -> None:
    """Replace every `Linear` below `module`, in place."""
    for name, child in module.named_children():
        if isinstance(child, Linear):
            setattr(module, name, kind(child))
        else:
            replace(child, kind)


def packed(linear: nn.Linear) -> nn.Module:
    """A `PackedLinear`, where its CPU has such kernels for its dtype; else the same."""
    return PackedLinear(linear) if can_pack(linear.weight) else linear


def can_pack(weight: Tensor) -> bool:
    """Whether oneDNN has kernels for this dtype here."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return weight.dtype == torch.float32 or (
        weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
