"""The softmax of attention in bfloat16 on a CPU, in place: torch's takes four times as long."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from vilt.common.compiled import compiled
from vilt.inference.bits import bits_of

F, U, I = np.float32, np.uint32, np.int32  # noqa: E741
LOG2_E = 1.4426950408889634


def softmax_(x: Tensor, factor: float) -> None:
    """Write softmax(factor * x) over the last dimension of bfloat16 (..., n), contiguous, computed in float32."""
    _softmax(bits_of(x), F(factor * LOG2_E))


@compiled
def _softmax(x: np.ndarray, factor: np.float32) -> None:
    """Write the softmax of uint16 (rows, n), the bits of bfloat16; `factor` is positive."""
    n = x.shape[1]
    values, whole = np.empty(n + 1, F), np.empty(n, I)  # one more for the largest
    bits, order = values.view(U), values.view(I)
    for r in range(len(x)):
        row = x[r]
        most = I(-(2**31) + 1)
        for i in range(n):  # a loop that read and wrote two views of one memory would not run on vectors
            value = I(I(row[i]) << I(16))  # numba makes 64 bits of what is not told otherwise
            order[i] = value
            most = max(most, I(value ^ ((value >> I(31)) & I(0x7FFFFFFF))))  # integers in the order of the floats
        order[n] = most ^ ((most >> I(31)) & I(0x7FFFFFFF))
        top = values[n]
        for i in range(n):  # 2 ** t as 2 ** whole * 2 ** (t - whole), the latter by a polynomial on [-0.5, 0.5]
            t = max((values[i] - top) * factor, F(-100))
            whole[i] = I(t - F(0.5))
            t -= F(whole[i])
            p = F(1.5403530e-4) * t + F(1.3333558e-3)
            p = ((p * t + F(9.6181291e-3)) * t + F(5.5504109e-2)) * t + F(2.4022651e-1)
            values[i] = (p * t + F(6.9314718e-1)) * t + F(1)
        for i in range(n):
            order[i] += whole[i] << I(23)
        total = F(0)
        for i in range(n):
            total += values[i]
        scale = (F(1) + (top - top)) / total  # what is not finite stays so
        for i in range(n):
            values[i] *= scale
        for i in range(n):
            row[i] = np.uint16((bits[i] + U(0x7FFF) + ((bits[i] >> U(16)) & U(1))) >> U(16))  # the nearest, or even
