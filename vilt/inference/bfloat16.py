"""Whether a device computes with bfloat16, and whether that is faster than float32."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

from vilt.inference import compat, linear

LARGEST_SHARE = 0.8  # of float32's time, that bfloat16 may take to be worth its digits
SIZE, RUNS = 512, 6  # of the products that are timed: a quarter of a GFLOP each, the first of which warms up


def is_fast(device: torch.device) -> bool:
    """Return whether bfloat16 is native on a device and, on a CPU, measured to be faster than float32."""
    return is_native(device) and (device.type != "cpu" or pays())


def is_native(device: torch.device) -> bool:
    """Return whether a device computes with bfloat16 natively."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool({"avx512_bf16", "amx_bf16"} & compat.cpu_features())


@cache
def pays() -> bool:
    """Measure whether this CPU multiplies bfloat16 clearly faster than float32; it takes a twentieth of a second, once.

    What a CPU says of itself is not all. A virtual machine that hides AMX leaves AVX-512's instructions, with which
    bfloat16 takes twice as long as float32 on some; a limit that is set for oneDNN leaves none. The time is that of one
    core's work, so that a busy machine does not change the answer.
    """
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as one_core:
        try:
            seconds = one_core.submit(_product_seconds, (torch.float32, torch.bfloat16)).result()
        finally:
            torch.set_num_threads(torch.get_num_threads())  # that thread has changed what a new one begins with
    return seconds[torch.bfloat16] < LARGEST_SHARE * seconds[torch.float32]


def _product_seconds(dtypes: Sequence[torch.dtype]) -> dict[torch.dtype, float]:
    """Return the seconds of this thread for a product in each dtype, the least of several runs that take turns."""
    seconds = dict.fromkeys(dtypes, math.inf)
    layers = {dtype: linear.packed(linear.Linear(SIZE, SIZE, dtype=dtype)) for dtype in dtypes}
    rows = {dtype: torch.ones(SIZE, SIZE, dtype=dtype) for dtype in dtypes}
    with torch.inference_mode():
        for _ in range(RUNS):
            for dtype, layer in layers.items():
                started = time.thread_time()
                layer(rows[dtype])
                seconds[dtype] = min(seconds[dtype], time.thread_time() - started)
    return seconds
