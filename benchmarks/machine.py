"""What this machine can do at best, and what ran on it."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version
from pathlib import Path

import torch


def matrix_rate(dtype: torch.dtype, device: str = "cpu") -> float:
    """GFLOP/s of a square matrix product, the best of many runs: by torch, or by oneDNN with a weight in blocks."""
    size = 2048 if device == "cpu" else 8192
    a = torch.randn(size, size).to(device, dtype)
    products = [lambda: a @ a]
    if device == "cpu":
        blocks = torch.ops.mkldnn._reorder_linear_weight(a, size)
        products.append(lambda: torch.ops.mkldnn._linear_pointwise(a, blocks, None, "none", [], ""))
    best = min(_seconds(product, device) for product in products for _ in range(20))
    return 2 * size**3 / best / 1e9


def _seconds(product: object, device: str) -> float:
    started = time.perf_counter()
    product()  # type: ignore[operator]
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
