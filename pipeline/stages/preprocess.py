"""Preprocess: windows of the table -> micro-batches, bucketed by patch grid.

It runs inside the read tasks: as a stage of its own it asks for the same cores as reading, and on a small machine each
of the two can wait minutes for the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipeline.config.job import JobConfig
from pipeline.monitoring.metrics import FETCHED_BYTES, READ_BYTES
from pipeline.monitoring.stage_timing import Stopwatch, Watch
from pipeline.stages.bucketing import bucket, measure_images, pack
from pipeline.stages.image_cells import attach_images, images_of_rows
from pipeline.stages.micro_batch import MicroBatch, Prepared
from pipeline.stages.output_rows import carried_columns, expand_texts, to_table, tokenize
from pipeline.stages.preprocessors import preprocessor_of
from pipeline.tables.column_checks import Columns


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
            reading = clock.lap()
            images_of_row, fetched_bytes = images_of_rows(window, self.config, self.base)
            fetching = clock.lap()
            if self.watch:
                self.watch.meter.add(READ_BYTES, window.nbytes)
                self.watch.meter.add(FETCHED_BYTES, fetched_bytes)
                self.watch.spent(reading=reading, fetching=fetching)
            preprocessor, config = preprocessor_of(self.config), self.config
            rows = expand_texts(window, config.text_columns)
            images = attach_images(rows, images_of_row)
            measure_images(rows, images, preprocessor, self.images, config.limits.image_pixels)
            tokenize(rows, preprocessor)
            carried = carried_columns(window, config)
            list_column = config.text_columns[0] if self.columns.text_is_list else None
            for part in bucket(rows, self.tokens):
                packed = pack(part, images, preprocessor, config.limits.image_pixels)
                table = to_table(carried, part, packed.pair_index, list_column)
                input_rows = len({row.window_row for row in part})
                share = input_rows / window.num_rows
                prepared = Prepared(
                    input_rows=input_rows,
                    reading=reading * share,
                    fetching=fetching * share,
                    decoding=clock.lap(),
                    image_bytes=[len(images[i]) for i in dict.fromkeys(i for row in part for i in row.images)],
                )
                micro_batch = MicroBatch(table, packed.pairs, prepared).to_arrow()
                decoding = prepared.decoding + clock.lap()
                yield micro_batch  # returns once Ray Data takes more
                if self.watch:
                    self.watch.spent(decoding=decoding, waiting=clock.lap())

    def map_batch(self, window: pa.Table) -> Iterator[pa.Table]:
        """Preprocess one window, as `ray.data.Dataset.map_batches` calls it."""
        return self(iter([window]))
