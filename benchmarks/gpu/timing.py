"""Times on a GPU, and what it can do at best."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

Run = Callable[[], object]


def wait(device: torch.device) -> None:
    """Wait until a device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(run: Run, device: torch.device, budget: float = 1.0, warm_ups: int = 2) -> float:
    """Return the median time of a run, the device's work included, over at least 3 runs and `budget` seconds."""
    for _ in range(warm_ups):
        run()
    wait(device)
    times: list[float] = []
    while len(times) < 3 or sum(times) < budget:
        started = time.perf_counter()
        run()
        wait(device)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def kernel_seconds(run: Run, device: torch.device, budget: float = 0.15, warm_ups: int = 3) -> float:
    """Return the mean time of a kernel that is launched many times in a row, so that launching does not count."""
    for _ in range(warm_ups):
        run()
    wait(device)
    started = time.perf_counter()
    run()
    wait(device)
    count = max(3, int(budget / (time.perf_counter() - started)))
    started = time.perf_counter()
    for _ in range(count):
        run()
    wait(device)
    return (time.perf_counter() - started) / count


def matrix_rates(device: torch.device, size: int, budget: float = 1.0) -> dict[str, float]:
    """Return FLOP/s of a square bfloat16 product of random numbers: the best single run, and run after run."""
    a, b = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    work = 2.0 * size**3
    best = min(seconds(lambda: a @ b, device, 0.0) for _ in range(7))
    return {"bfloat16, best": work / best, "bfloat16, sustained": work / kernel_seconds(lambda: a @ b, device, budget)}


def copy_rates(device: torch.device, size: int) -> dict[str, float]:
    """Return bytes/s of copies: within the device, reading and writing counted, and from the host."""
    x, y = (torch.randint(0, 99, (size,), dtype=torch.uint8, device=device) for _ in range(2))
    rates = {"within the device": 2 * size / kernel_seconds(lambda: y.copy_(x), device)}
    pageable = torch.randint(0, 99, (size,), dtype=torch.uint8)
    rates["from pageable memory"] = size / kernel_seconds(lambda: y.copy_(pageable), device)
    if device.type == "cuda":
        locked = pageable.pin_memory()
        rates["from page-locked memory"] = size / kernel_seconds(lambda: y.copy_(locked, non_blocking=True), device)
        rates["pageable to page-locked memory"] = size / kernel_seconds(lambda: locked.copy_(pageable), device)
    return rates
