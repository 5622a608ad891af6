"""Measure what this machine can do at best, and what ran on it."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch


def matrix_rate(dtype: torch.dtype, device: str = "cpu") -> float:
    """GFLOP/s of a square matrix product, the best of many runs: by torch, or by oneDNN with a weight in blocks. Of
    int8: with inputs as oneDNN likes them best."""
    size = 2048 if device == "cpu" else 8192
    if dtype == torch.int8:
        integers = _int8_product(size)
        best = min(_seconds(integers, device) for _ in range(20))
        return 2 * size**3 / best / 1e9
    a = torch.randn(size, size).to(device, dtype)
    products = [lambda: a @ a]
    if device == "cpu":
        blocks = torch.ops.mkldnn._reorder_linear_weight(a, size)
        products.append(lambda: torch.ops.mkldnn._linear_pointwise(a, blocks, None, "none", [], ""))
    best = min(_seconds(product, device) for product in products for _ in range(20))
    return 2 * size**3 / best / 1e9


def _int8_product(size: int) -> Callable[[], object]:
    codes = torch.randint(0, 256, (size, size), dtype=torch.uint8)
    weight = torch.ops.onednn.qlinear_prepack(torch.randint(-128, 128, (size, size), dtype=torch.int8), [size, size])
    scale, zero = torch.ones(size), torch.zeros(size, dtype=torch.int64)
    settings = (None, 1.0, 0, torch.float32, "none", [], "")
    return lambda: torch.ops.onednn.qlinear_pointwise(codes, 1.0, 128, weight, scale, zero, *settings)


def _seconds(product: Callable[[], object], device: str) -> float:
    started = time.perf_counter()
    product()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def describe() -> str:
    """One line: processor, threads, versions."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "pillow", "ray"))
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    processor = names[0] if names else platform.processor()
    return f"{processor}, {torch.get_num_threads()} threads{gpu}; Python {platform.python_version()}, {packages}"
