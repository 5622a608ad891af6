"""Copies from arrays of the host to tensors of a device, through page-locked memory so that kernels run meanwhile.

A copy from pageable memory makes the host wait until the GPU has finished everything queued before. A copy from
page-locked memory is queued like a kernel, and the host prepares the next batch meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vilt.inference.packing import as_tensor

CHUNK = 2**25  # bytes of rows that are copied at a time: the host fills a chunk while the device reads the one before


class Uploader:
    """Copies arrays to one device.

    Args:
        device: The device.
        pinned: Whether to copy through page-locked memory; ignored unless the device is a GPU.
    """

    def __init__(self, device: torch.device, pinned: bool) -> None:
        self.device = device
        self.pinned = pinned and device.type == "cuda"
        self.stream = torch.cuda.Stream(device) if self.pinned else None

    def rows(self, array: np.ndarray) -> Tensor:
        """Return the rows (n, width) of an array on the device, ready for the current stream."""
        source = as_tensor(array)
        if self.stream is None or not len(array):
            return source.to(self.device)
        each = max(1, CHUNK // max(1, array[0].nbytes))
        current = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self.stream):
            out = torch.empty(source.shape, dtype=source.dtype, device=self.device)
            for target, part in zip(out.split(each), source.split(each), strict=True):
                locked = torch.empty(part.shape, dtype=part.dtype, pin_memory=True)  # torch keeps and reuses it
                target.copy_(locked.copy_(part), non_blocking=True)
        current.wait_stream(self.stream)
        out.record_stream(current)
        return out

    def indices(self, arrays: Sequence[np.ndarray]) -> list[Tensor]:
        """Return int64 arrays (n,) on the device, copied in one piece when memory is page-locked."""
        if not self.pinned:
            return [torch.from_numpy(array).to(self.device) for array in arrays]
        lengths = [len(array) for array in arrays]
        locked = torch.empty(sum(lengths), dtype=torch.int64, pin_memory=True)
        if arrays:
            np.concatenate(arrays, out=locked.numpy())
        return list(locked.to(self.device, non_blocking=True).split(lengths))
