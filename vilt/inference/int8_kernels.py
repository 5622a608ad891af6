"""What is before and after a product of 8-bit integers: rounding, then scales, bias and activation or residual."""

from __future__ import annotations

import numpy as np

from vilt.common.compiled import compiled
from vilt.inference.compat import MIDDLE

F, U, I = np.float32, np.uint32, np.int32  # noqa: E741


@compiled
def quantize(x: np.ndarray, codes: np.ndarray, scales: np.ndarray) -> None:
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
def finish(
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
