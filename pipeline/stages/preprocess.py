"""Preprocess: windows of the table -> micro-batches, bucketed by patch grid.

It runs inside the read tasks: as a stage of its own it asks for the same cores as reading, and on a small machine each
of the two can wait minutes for the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipeline.common.error_codes import Failure
from pipeline.config.job import JobConfig
from pipeline.monitoring.metrics import FETCHED_BYTES, READ_BYTES
from pipeline.monitoring.stage_timing import Stopwatch, Watch
from pipeline.stages.bucketing import bucket, measure_images, pack
from pipeline.stages.image_cells import attach_images
from pipeline.stages.micro_batch import MicroBatch, Prepared
from pipeline.stages.output_rows import (
    TextColumns,
    carried_columns,
    expand_texts,
    negatives_of,
    to_table,
    tokenize,
    without_unread,
)
from pipeline.stages.preprocessors import preprocessor_of
from pipeline.stages.window_parts import WindowPart, window_parts
from pipeline.tables.column_checks import Columns

REPORT_SECONDS = 1.0  # of work, between two reports of a read task


@dataclass(frozen=True)
class Preprocess:
    """A callable that turns windows of the table into micro-batches; Ray ships it to the read tasks.

    Attributes:
        config: The job.
        base: The table's folder, to which relative image URIs are relative.
        columns: The columns that are read.
        tokens: Most tokens of a micro-batch.
        images: How many images the model reads with a text.
        watch: Where timings and byte counts are reported; None reports nothing.
    """

    config: JobConfig
    base: str
    columns: Columns
    tokens: int
    images: int
    watch: Watch | None = None

    def __call__(self, windows: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """Yield micro-batches, one Arrow row each. Every row of a window leaves in exactly one of them.

        Images are bucketed by their headers and decoded as each micro-batch is built, so that no more than one
        micro-batch of pixels is in memory.
        """
        clock = Stopwatch()
        for window in windows:
            yield from self._window(window, clock)
            del window  # before the next one is read: two of large images may not fit in memory

    def _window(self, window: pa.Table, clock: Stopwatch) -> Iterator[pa.Table]:
        """Yield the micro-batches of a window. clock: has run since the window began to be read."""
        reading = clock.lap()
        if self.watch:
            self.watch.meter.add(READ_BYTES, window.nbytes)
        window, unread = without_unread(window)
        begin = 0
        for part in window_parts(window, self.config, self.base):
            fetching, share = clock.lap(), part.rows.num_rows / window.num_rows
            if self.watch:
                self.watch.meter.add(FETCHED_BYTES, part.fetched_bytes)
                self.watch.spent(reading=reading * share, fetching=fetching)
            failures = part.failures | {
                row - begin: failure for row, failure in unread.items() if begin <= row < begin + part.rows.num_rows
            }
            yield from self._micro_batches(part, failures, clock, reading * share, fetching)
            begin += part.rows.num_rows

    def _micro_batches(
        self, part: WindowPart, failures: dict[int, Failure], clock: Stopwatch, reading: float, fetching: float
    ) -> Iterator[pa.Table]:
        """Yield the micro-batches of a part of a window.

        Args:
            part: The rows and their images.
            failures: Row of the part -> why it is not read.
            clock: Has just been read.
            reading: Seconds that reading the rows took.
            fetching: Seconds that fetching their images took.
        """
        preprocessor, config = preprocessor_of(self.config), self.config
        rows = expand_texts(part.rows, config.text_columns, config.limits, failures, config.texts_in_columns)
        images = attach_images(rows, part.images)
        for row in rows:
            row.failure = failures.get(row.window_row, row.failure)
        measure_images(rows, images, preprocessor, self.images, config.limits.image_pixels)
        tokenize(rows, preprocessor)
        carried = carried_columns(part.rows, config)
        texts_of = TextColumns(config.text_columns, self.columns.text_is_list, config.texts_in_columns)
        held = {"decoding": 0.0, "waiting": 0.0}  # a second of work is one report: one actor counts for all processes
        negatives = negatives_of(preprocessor, config.negatives)
        for bucketed in bucket(rows, self.tokens, negatives):
            packed = pack(bucketed, images, preprocessor, config.limits, negatives)
            table = to_table(carried, bucketed, packed.pair_index, texts_of)
            input_rows = len({row.window_row for row in bucketed})
            share = input_rows / part.rows.num_rows
            prepared = Prepared(
                input_rows=input_rows,
                reading=reading * share,
                fetching=fetching * share,
                decoding=clock.lap(),
                image_bytes=[len(images[i]) for i in dict.fromkeys(i for row in bucketed for i in row.images)],
            )
            micro_batch = MicroBatch(table, packed.pairs, prepared).to_arrow()
            decoding = prepared.decoding + clock.lap()
            yield micro_batch  # returns once Ray Data takes more
            held["decoding"] += decoding
            held["waiting"] += clock.lap()
            if self.watch and sum(held.values()) >= REPORT_SECONDS:
                self.watch.spent(**held)
                held = dict.fromkeys(held, 0.0)
        if self.watch and any(held.values()):
            self.watch.spent(**held)

    def map_batch(self, window: pa.Table) -> Iterator[pa.Table]:
        """Preprocess one window, as `ray.data.Dataset.map_batches` calls it."""
        return self(iter([window]))
