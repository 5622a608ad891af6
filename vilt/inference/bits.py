"""bfloat16 tensors as numpy arrays of their bits; numpy has no bfloat16."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def bits_of(x: Tensor) -> np.ndarray:
    """Return bfloat16 (..., n) as uint16 (rows, n), the same memory."""
    return x.view(torch.uint16).view(-1, x.shape[-1]).numpy()
