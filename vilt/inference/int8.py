"""Linear layers of 8-bit integers for CPUs: twice the products of bfloat16, less what rounding to 8 bits costs.

Weights are rounded once, with a scale for each output; the tokens that come in at each call, with a scale for each
token, so that a result does not depend on the other tokens of a call. oneDNN multiplies; what follows a product, its
scales, bias and activation or residual, is one loop.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from vilt.common.compiled import compiled
from vilt.inference import compat
from vilt.inference.bits import bits_of
from vilt.inference.compat import MIDDLE
from vilt.inference.linear import activation

F, U, I = np.float32, np.uint32, np.int32  # noqa: E741
ROWS = 512  # that are multiplied at a time: their products stay near the core


class Int8Linear(nn.Module):
    """A `vilt.inference.linear.Linear` for inference: bfloat16 in and out, products of integers."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        codes = (weight / scale[:, None]).round().to(torch.int8)
        self.weight = compat.pack_int8(codes, ROWS)
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
        inputs, outputs = bits_of(x.contiguous()), bits_of(out)
        added = outputs[:0] if residual is None else bits_of(residual.contiguous())
        codes = torch.empty((min(ROWS, len(inputs)), x.shape[-1]), dtype=torch.uint8)
        scales = np.empty(len(codes), F)
        for begin in range(0, len(inputs), ROWS):
            rows = slice(begin, begin + ROWS)
            part = codes[: len(inputs[rows])]
            _quantize(inputs[rows], part.numpy(), scales)
            product = compat.int8_linear(part, self.weight, self.scale)
            _finish(product.numpy(), scales, self.bias, gelu, added[rows], outputs[rows])
        return out


def can_multiply(device: torch.device) -> bool:
    """Return whether a device multiplies 8-bit integers, and computes in bfloat16 what is between, natively."""
    if device.type != "cpu" or not compat.available(compat.INT8_LINEAR):
        return False
    has = compat.cpu_features()
    return bool({"avx512_vnni", "amx_int8"} & has) and "avx512_bf16" in has


@compiled
def _quantize(x: np.ndarray, codes: np.ndarray, scales: np.ndarray) -> None:
    """Round each row to 8 bits.

    Args:
        x: uint16 (rows, n), the bits of bfloat16.
        codes: Written: uint8 (rows, n), of which code - 128 times the row's scale is nearest to x.
        scales: Written: float32 (rows,).
    """
    n = x.shape[1]
    values = np.empty(n + 1, F)  # one more for the largest
    bits = values.view(U)
    for r in range(len(x)):
        row, out = x[r], codes[r]
        most = U(0)
        for i in range(n):
            bits[i] = U(row[i]) << U(16)
            most = max(most, U(row[i]) & U(0x7FFF))  # without their signs, floats are in the order of their bits
        bits[n] = most << U(16)
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
        added: uint16 (rows, n), the bits of bfloat16, or without rows.
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
            for i in range(n):
                more_bits[i] = U(other[i]) << U(16)
            for i in range(n):
                values[i] += more[i]
        for i in range(n):
            result[i] = np.uint16((bits[i] + U(0x7FFF) + ((bits[i] >> U(16)) & U(1))) >> U(16))  # the nearest, or even
