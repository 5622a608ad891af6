"""Decoding and the model timed at once, as they share the cores of one machine: alone, each would be faster."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event

import pyarrow as pa

from pipeline.common.columns import PLACE
from pipeline.stages.micro_batch import MicroBatch
from pipeline.stages.preprocess import Settings, images_of_rows, micro_batches
from pipeline.tables.sampling import Timed
from vilt.inference.packing import ImageRows

SECONDS = 4.0  # that the model runs for, at least; and once over all micro-batches
READY_SECONDS = 120.0


def time_together(
    predict: Callable[[pa.Table], object],
    batches: Sequence[tuple[int, pa.Table]],
    rows: pa.Table,
    settings: Settings,
    image_rows: ImageRows,
    processes: int,
) -> tuple[Timed, Timed]:
    """What decoding and the model take while both go on: `processes` processes decode `rows` again and again, and
    `predict` reads the micro-batches, (rows of the input, table)."""
    context = multiprocessing.get_context("spawn")
    stop, workers = context.Event(), []
    try:
        for _ in range(processes):
            here, there = context.Pipe()
            worker = context.Process(target=_decode, args=(rows, settings, image_rows, stop, there), daemon=True)
            worker.start()
            workers.append((worker, here))
        for _, here in workers:
            if not here.poll(READY_SECONDS) or here.recv() != "ready":
                raise RuntimeError("a process that decodes did not start")
        model = _predict(predict, batches)
        stop.set()
        decoding = [piece for _, here in workers for piece in here.recv()]
    finally:
        stop.set()
        for worker, _ in workers:
            worker.join(READY_SECONDS)
    return Timed.of(decoding), Timed.of(model)


def _predict(predict: Callable[[pa.Table], object], batches: Sequence[tuple[int, pa.Table]]) -> list[tuple[int, float]]:
    """(rows, seconds) of each micro-batch."""
    out, begin = [], time.perf_counter()
    while time.perf_counter() - begin < SECONDS:
        for count, batch in batches:
            since = time.perf_counter()
            predict(batch)
            out.append((count, time.perf_counter() - since))
    return out


def _decode(rows: pa.Table, settings: Settings, image_rows: ImageRows, stop: Event, out: Connection) -> None:
    """In a process of its own: fetch once, then decode until told to stop, and send (rows, seconds) of each part."""
    size = settings.config.batch.window_rows
    windows = [rows.slice(first, size) for first in range(0, rows.num_rows, size)]
    fetched = [images_of_rows(window, settings) for window in windows]
    for _ in micro_batches(rows.slice(0, 1), fetched[0][:1], settings):
        pass
    out.send("ready")
    pieces: list[tuple[int, float]] = []
    while not stop.is_set():
        for window, images in zip(windows, fetched, strict=True):
            since = time.perf_counter()
            for batch in micro_batches(window, images, settings):
                seconds = time.perf_counter() - since
                [one] = MicroBatch.from_arrow(batch, image_rows)
                pieces.append((len(set(one.rows[PLACE].to_pylist())), seconds))
                if stop.is_set() and len(pieces) > 1:
                    break
                since = time.perf_counter()
    out.send(pieces)
