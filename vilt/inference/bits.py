"""Tensors as numpy arrays of the same memory; numpy has no bfloat16."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def bits_of(x: Tensor) -> np.ndarray:
    """Return bfloat16 (..., n) as uint16 (rows, n), the same memory."""
    return x.view(torch.uint16).view(-1, x.shape[-1]).numpy()


def rows_of(x: Tensor) -> np.ndarray:
    """Return float32 (..., n) as float32 (rows, n), bfloat16 as the bits of it, uint16; the same memory."""
    return bits_of(x) if x.dtype == torch.bfloat16 else x.view(-1, x.shape[-1]).numpy()
