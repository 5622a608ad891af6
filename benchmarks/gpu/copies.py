"""Measure what copies from and to the host cost, page-locked or not, and several texts an image."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch

from benchmarks.gpu import data, timing
from benchmarks.gpu.report import Report
from vilt.inference.engine import Engine
from vilt.inference.pairs import Pairs


def run(report: Report) -> None:
    """Do all of it."""
    rates = timing.copy_rates(report.device, 2**20 if report.tiny else 2**28)
    report.say("", "Copies, GB/s: " + ", ".join(f"{name} {rate / 1e9:.1f}" for name, rate in rates.items()) + ".")
    folder = data.checkpoint("vilt", report.tiny)
    count = 6 if report.tiny else 1280
    budget = 512 if report.tiny else 65536
    gpu = report.device.type == "cuda"
    report.table("host to host, micro-batches of " + f"{budget:,} tokens", "texts an image", "pairs/s", "images/s")
    for texts in (1, 5):
        parts = data.micro_batches(data.inputs("vilt", count if texts == 1 else count // 2, report.tiny, texts), budget)
        for pinned in (False, True) if gpu else (False,):
            engine = data.open_as(folder, report.device, "bfloat16", pinned=pinned)
            name = "page-locked" if pinned else "pageable"
            report.attempt(
                f"copies {name} {texts}", lambda n=name, t=texts, e=engine, p=parts: _row(report, n, t, e, p)
            )
            if gpu and pinned:
                report.attempt(
                    f"copies two threads {texts}",
                    lambda n=name, t=texts, e=engine, p=parts: _row(report, f"{n}, two threads", t, e, p, 2),
                )
    if gpu:
        engine = data.open_as(folder, report.device, "bfloat16", pinned=True)
        report.attempt(
            "copies one call",
            lambda: _row(report, "page-locked, one call", 1, engine, [data.inputs("vilt", count, report.tiny)]),
        )


def _row(report: Report, name: str, texts: int, engine: Engine, parts: list[Pairs], threads: int = 1) -> None:
    def own_stream() -> None:
        if threads > 1:
            torch.cuda.set_stream(torch.cuda.Stream(report.device))

    def score(part: Pairs) -> None:
        engine.of_pairs("score", part)

    with ThreadPoolExecutor(threads, initializer=own_stream) as pool:
        took = timing.seconds(lambda: list(pool.map(score, parts)), report.device, 0.0 if report.tiny else 0.8)
    rate = sum(map(len, parts)) / took
    report.row(name, texts, f"{rate:,.0f}", f"{rate / texts:,.0f}")
