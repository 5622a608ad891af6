"""Linear layers of 8-bit floats, for GPUs that multiply them natively.

On an H100 the products take 0.6 to 0.8 of the time of bfloat16's, and rounding takes more than that saves: see
benchmarks/README.md.

As in `vilt.inference.int8`, weights are rounded once with a scale for each output, and the tokens that come in with a
scale for each token, so that a result does not depend on the other tokens of a call.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vilt.inference import compat
from vilt.inference.gpu.options import kernels
from vilt.inference.linear import activation

LARGEST = torch.finfo(torch.float8_e4m3fn).max


class Float8Linear(nn.Module):
    """A `vilt.inference.linear.Linear` for inference: bfloat16 in and out."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        codes, scale = rounded(linear.weight.detach())
        self.weight, self.scale = codes.t(), scale.t()  # plain tensors: a change of dtype leaves them
        self.bias = None if linear.bias is None else linear.bias.detach().bfloat16()
        self.eval()  # a new module is in training, where dropout follows

    def forward(self, x: Tensor, act: str | Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Compute as `Linear.forward` does."""
        codes, scale = rounded(x.flatten(0, -2))
        out = compat.scaled_mm(codes, self.weight, scale, self.scale, self.bias)
        out = out.unflatten(0, x.shape[:-1])
        return out if act is None else activation(act)(out)

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """Compute as `Linear.add` does."""
        return residual + self(x)


def rounded(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes, float8 (rows, n), and scales, float32 (rows, 1), whose product is near x, (rows, n)."""
    ours = kernels() if x.is_cuda else None
    if ours is not None:
        return ours.round_to_float8(x.contiguous())
    scale = x.abs().amax(1, keepdim=True).float().clamp(min=torch.finfo(torch.float32).tiny) / LARGEST
    return (x / scale).to(torch.float8_e4m3fn), scale


def can_multiply(device: torch.device) -> bool:
    """Return whether a GPU multiplies 8-bit floats natively, as Ada, Hopper and later ones do."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)
