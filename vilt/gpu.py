"""The switches of the GPU path, one for each way to be faster, with the default that was measured to pay."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType

import torch


@dataclass(frozen=True)
class GpuOptions:
    """How an `Engine` uses a GPU; without one nothing of it matters. What each is worth: benchmarks/README.md.

    pinned: copy through page-locked memory, so that copies overlap with kernels; 1.7 times the pairs/s.
    fused: bfloat16 through `vilt.fused.FusedEncoder`; 1.3 times.
    attention: within it our own kernel of packed attention in place of torch's; 1.03 times.
    compiled: bfloat16 blocks through `torch.compile`, see `vilt.compiled_encoder`, in place of `fused`; slower than it.
    graphs: `fused` as CUDA graphs of bounded shapes, see `vilt.graphs`; 3.8 times for batches of 2,048 tokens, slower
        from 65,536 on.
    """

    pinned: bool = True
    fused: bool = True
    attention: bool = True
    compiled: bool = False
    graphs: bool = False

    def __post_init__(self) -> None:
        if self.fused and self.compiled:
            raise ValueError("fused and compiled are two ways to run the same blocks: give one of them")


DEFAULT = GpuOptions()


def is_gpu(device: torch.device | str) -> bool:
    """Return whether a device is an NVIDIA or AMD GPU."""
    return torch.device(device).type == "cuda"


@cache
def kernels() -> ModuleType | None:
    """Return our Triton kernels, or None where Triton is missing, and on AMD's GPUs, where they were never tried."""
    if torch.version.hip:
        return None
    try:
        from vilt import gpu_kernels
    except ImportError:
        return None
    return gpu_kernels
