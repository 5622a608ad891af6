"""The switches of the GPU path, one for each way to be faster; defaults are what was measured to pay."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType

import torch


@dataclass(frozen=True)
class GpuOptions:
    """An `Engine`'s options for a GPU; on CPUs they change nothing. Speeds are of an H100, see benchmarks/README.md.

    Attributes:
        pinned: Copy through page-locked memory, so that copies overlap with kernels: 1.4 times the pairs/s.
        fused: Run bfloat16 through `vilt.inference.gpu.fused.FusedEncoder`: 1.3 times.
        attention: Use our Triton kernel for packed attention inside `fused`, not torch's: 1.04 times.
        compiled: Run bfloat16 blocks through `torch.compile` instead of `fused`, see `vilt.inference.gpu.compiled`;
            slower than `fused`.
        graphs: Run `fused` as CUDA graphs of bounded shapes, see `vilt.inference.gpu.graphs`: 3.9 times for batches of
            2,048 tokens, slower from 65,536 on.

    Raises:
        ValueError: Both `fused` and `compiled` are set.
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
    """Return the module of Triton kernels; None if Triton is missing, and on AMD GPUs, which they were not tried on."""
    if torch.version.hip:
        return None
    try:
        from vilt.inference.gpu import kernels as triton_kernels
    except ImportError:
        return None
    return triton_kernels
