"""Linear layers of 8-bit integers for CPUs: two to four times the products of floats, less what rounding costs.

Weights are rounded once, with a scale for each output; the tokens that come in at each call, with a scale for each
token, so that a result does not depend on the other tokens of a call. oneDNN multiplies; what follows a product, its
scales, bias and activation or residual, is one loop. What is between the products is bfloat16 where the CPU is
fast in it, else float32.

CPUs without VNNI multiply 8-bit integers in pairs, whose sums have 16 bits: 255 * 127 twice is more. Weights have 7
bits there, and sums are exact again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from vilt.inference import bfloat16, compat
from vilt.inference.bits import rows_of
from vilt.inference.compat import MIDDLE
from vilt.inference.int8_kernels import finish, quantize
from vilt.inference.linear import activation

# Rows that are rounded, multiplied and finished at a time: what is between stays near the core. Without VNNI of
# AVX-512 it saves more to read the weights less often.
ROWS, MORE_ROWS = 256, 1024


@dataclass(frozen=True)
class Rounded:
    """Tokens in 8 bits, what `Int8Linear` multiplies.

    Attributes:
        codes: uint8 (T, n), of which code - 128 times the token's scale is near its float.
        scales: float32 (T,).
    """

    codes: Tensor
    scales: Tensor

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def shape(self) -> torch.Size:
        """Return (T, n)."""
        return self.codes.shape

    def __getitem__(self, rows: slice | Tensor) -> Rounded:
        return Rounded(self.codes[rows], self.scales[rows])

    @classmethod
    def empty(cls, rows: int, n: int) -> Rounded:
        """Make room for tokens."""
        return cls(torch.empty((rows, n), dtype=torch.uint8), torch.empty(rows))

    def write(self, x: Tensor) -> Rounded:
        """Round the tokens x, (T, n), into this memory."""
        quantize(rows_of(x.contiguous()), self.codes.numpy(), self.scales.numpy())
        return self


class Int8Linear(nn.Module):
    """A `vilt.inference.linear.Linear` for inference: floats in, if they are not rounded yet, and floats out."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / (2 ** (weight_bits() - 1) - 1)
        codes = (weight / scale[:, None]).round().to(torch.int8)
        self.weight = compat.pack_int8(codes, rows_at_a_time())
        self.scale = scale
        bias = torch.zeros(len(weight)) if linear.bias is None else linear.bias.detach().float()
        self.bias = bias.numpy()
        self.eval()  # a new module is in training, where dropout follows

    def forward(self, x: Tensor | Rounded, act: str | Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Compute as `Linear.forward` does."""
        out = self._empty(x)
        self._write(x, out, act == "gelu", None)
        return out if act is None or act == "gelu" else activation(act)(out)

    def add(self, x: Tensor | Rounded, residual: Tensor, out: Tensor | None = None) -> Tensor:
        """Compute as `Linear.add` does; write it to `out` if that is given, which is contiguous."""
        out = self._empty(x) if out is None else out
        self._write(x, out, False, residual)
        return out

    def _empty(self, x: Tensor | Rounded) -> Tensor:
        """Make room for the output, (..., out), of x, (..., in)."""
        dtype = x.dtype if isinstance(x, Tensor) else between()
        return torch.empty(*x.shape[:-1], len(self.bias), dtype=dtype)

    def _write(self, x: Tensor | Rounded, out: Tensor, gelu: bool, residual: Tensor | None) -> None:
        """Write the layer's output, (..., out), of x, (..., in)."""
        outputs = rows_of(out)
        added = outputs[:0] if residual is None else rows_of(residual.contiguous())
        inputs = x.flatten(0, -2) if isinstance(x, Tensor) else x
        for rows in blocks(len(inputs)):
            part = rounded(inputs[rows])
            product = compat.int8_linear(part.codes, self.weight, self.scale)
            finish(product.numpy(), part.scales.numpy(), self.bias, gelu, added[rows], outputs[rows])


def blocks(rows: int) -> Iterator[slice]:
    """Yield the rows that are computed at a time."""
    step = rows_at_a_time()
    for begin in range(0, rows, step):
        yield slice(begin, begin + step)


def rows_at_a_time() -> int:
    """Return how many rows are computed at a time on this CPU."""
    return ROWS if weight_bits() == 8 and "avx512_vnni" in compat.cpu_features() else MORE_ROWS


def rounded(x: Tensor | Rounded) -> Rounded:
    """Round tokens (T, n), unless they are."""
    return x if isinstance(x, Rounded) else Rounded.empty(*x.shape).write(x)


def can_multiply(device: torch.device) -> bool:
    """Return whether a device multiplies 8-bit integers exactly, with weights of 8 or 7 bits."""
    return device.type == "cpu" and weight_bits() > 0


@cache
def weight_bits() -> int:
    """Return how many bits weights may have for exact sums of products with 8-bit inputs: 8, 7, or 0 for none."""
    if not compat.available(compat.INT8_LINEAR):
        return 0
    return next((bits for bits in (8, 7) if _is_exact(2 ** (bits - 1) - 1)), 0)


def _is_exact(most: int) -> bool:
    """Return whether sums of products are exact for the largest inputs and weights of up to `most`."""
    codes = torch.randint(0, 256, (64, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    weight = torch.randint(-most, most + 1, (64, 256), dtype=torch.int8, generator=torch.Generator().manual_seed(1))
    codes[:2], codes[2:4], weight[:2], weight[2:4] = 255, 0, most, -most
    sums = compat.int8_linear(codes, compat.pack_int8(weight, len(codes)), torch.ones(len(weight)))
    return torch.equal(sums.double(), (codes.double() - MIDDLE) @ weight.double().T)


def between() -> torch.dtype:
    """Return the dtype of what is between the products: bfloat16 if this CPU is measured to be fast in it.

    Attention's own products are between: in a bfloat16 that is slower than float32 they would cost what integers save.
    """
    fast = bfloat16.is_fast(torch.device("cpu")) and compat.onednn_has_bfloat16()
    return torch.bfloat16 if fast else torch.float32
