"""Linear layers of 8-bit integers for CPUs: two to four times the products of floats, less what rounding costs.

Weights are rounded once, with a scale for each output; the tokens that come in at each call, with a scale for each
token, so that a result does not depend on the other tokens of a call. oneDNN multiplies; what follows a product, its
scales, bias and activation or residual, is one loop. What is between the products is bfloat16 where the CPU is
fast in it, else float32.

CPUs without VNNI multiply 8-bit integers in pairs, whose sums have 16 bits: 255 * 127 twice is more. Weights have 7
bits there, and sums are exact again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from vilt.common.compiled import compiled
from vilt.inference import bfloat16, compat
from vilt.inference.bits import rows_of
from vilt.inference.compat import MIDDLE
from vilt.inference.linear import activation

F, U, I = np.float32, np.uint32, np.int32  # noqa: E741
# Rows that are multiplied at a time. The products of 512 stay near the core. Where what is between is float32, on CPUs
# whose float products are slow, it saves more to read the weights less often: once for each multiplication.
ROWS, MORE_ROWS = 512, 2048


class Int8Linear(nn.Module):
    """A `vilt.inference.linear.Linear` for inference: floats in and out, products of integers."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / (2 ** (weight_bits() - 1) - 1)
        codes = (weight / scale[:, None]).round().to(torch.int8)
        self.rows = ROWS if between() == torch.bfloat16 else MORE_ROWS
        self.weight = compat.pack_int8(codes, self.rows)
        self.scale = scale
        bias = torch.zeros(len(weight)) if linear.bias is None else linear.bias.detach().float()
        self.bias = bias.numpy()
        self.eval()  # a new module is in training, where dropout follows

    def forward(self, x: Tensor, act: str | Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Compute as `Linear.forward` does."""
        out = self._products(x, act == "gelu", None)
        return out if act is None or act == "gelu" else activation(act)(out)

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """Compute as `Linear.add` does."""
        return self._products(x, False, residual)

    def _products(self, x: Tensor, gelu: bool, residual: Tensor | None) -> Tensor:
        """Return the layer's output, (..., out), of x, (..., in)."""
        out = x.new_empty(*x.shape[:-1], len(self.bias))
        inputs, outputs = rows_of(x.contiguous()), rows_of(out)
        added = outputs[:0] if residual is None else rows_of(residual.contiguous())
        codes = torch.empty((min(self.rows, len(inputs)), x.shape[-1]), dtype=torch.uint8)
        scales = np.empty(len(codes), F)
        for begin in range(0, len(inputs), self.rows):
            rows = slice(begin, begin + self.rows)
            part = codes[: len(inputs[rows])]
            _quantize(inputs[rows], part.numpy(), scales)
            product = compat.int8_linear(part, self.weight, self.scale)
            _finish(product.numpy(), scales, self.bias, gelu, added[rows], outputs[rows])
        return out


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


@compiled
def _quantize(x: np.ndarray, codes: np.ndarray, scales: np.ndarray) -> None:
    """Round each row to 8 bits.

    Args:
        x: float32 (rows, n), or uint16, the bits of bfloat16.
        codes: Written: uint8 (rows, n), of which code - 128 times the row's scale is nearest to x.
        scales: Written: float32 (rows,).
    """
    n = x.shape[1]
    values = np.empty(n + 1, F)  # one more for the largest
    bits = values.view(U)
    for r in range(len(x)):
        row, out = x[r], codes[r]
        most = U(0)
        if x.itemsize == 2:
            for i in range(n):
                bits[i] = U(row[i]) << U(16)
                most = max(most, U(row[i]) & U(0x7FFF))  # without signs, floats are in the order of their bits
            bits[n] = most << U(16)
        else:
            for i in range(n):
                values[i] = row[i]
            for i in range(n):
                most = max(most, bits[i] & U(0x7FFFFFFF))
            bits[n] = most
        scales[r] = values[n] / F(127)
        factor = F(127) / np.maximum(values[n], F(1e-30))
        for i in range(n):
            out[i] = np.uint8(I(values[i] * factor + F(MIDDLE + 0.5)))


@compiled
def _finish(
    product: np.ndarray, scales: np.ndarray, bias: np.ndarray, gelu: bool, added: np.ndarray, out: np.ndarray
) -> None:
    """Write product * scale + bias, through gelu if asked for, plus `added` if it has rows.

    Args:
        product: float32 (rows, n).
        scales: float32 (rows,).
        bias: float32 (n,).
        gelu: Whether gelu follows.
        added: float32 (rows, n), or uint16, the bits of bfloat16; or without rows.
        out: Written: the same kind as `added`.
    """
    n = product.shape[1]
    values, more = np.empty(n, F), np.empty(n, F)
    bits, more_bits = values.view(U), more.view(U)
    for r in range(len(product)):
        row, result, scale = product[r], out[r], scales[r]
        for i in range(n):
            values[i] = row[i] * scale + bias[i]
        if gelu:
            for i in range(n):  # erf as Eigen has it: a ratio of polynomials on [-4, 4]
                v = values[i]
                x = min(max(v * F(0.70710678), F(-4)), F(4))
                z = x * x
                p = F(-2.72614225801306e-10) * z + F(2.77068142495902e-08)
                p = (p * z + F(-2.10102402082508e-06)) * z + F(-5.69250639462346e-05)
                p = (p * z + F(-7.34990630326855e-04)) * z + F(-2.95459980854025e-03)
                p = (p * z + F(-1.60960333262415e-02)) * x
                q = F(-1.45660718464996e-05) * z + F(-2.13374055278905e-04)
                q = (q * z + F(-1.68282697438203e-03)) * z + F(-7.37332916720468e-03)
                values[i] = F(0.5) * v * (F(1) + p / (q * z + F(-1.42647390514189e-02)))
        if len(added):
            other = added[r]
            if out.itemsize == 2:
                for i in range(n):
                    more_bits[i] = U(other[i]) << U(16)
                for i in range(n):
                    values[i] += more[i]
            else:
                for i in range(n):
                    values[i] += other[i]
        if out.itemsize == 2:
            for i in range(n):  # to the nearest, or even
                result[i] = np.uint16((bits[i] + U(0x7FFF) + ((bits[i] >> U(16)) & U(1))) >> U(16))
        else:
            for i in range(n):
                result[i] = values[i]
