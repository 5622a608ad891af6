"""What a read task makes of its windows, and how long each part of that took."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from pipeline.monitoring.metrics import READ_BYTES
from pipeline.monitoring.stage_timing import Stopwatch, Watch
from pipeline.stages.preprocess import Settings, images_of_rows, micro_batches


def preprocess_windows(windows: Iterator[pa.Table], settings: Settings, watch: Watch) -> Iterator[pa.Table]:
    """Windows of the table -> micro-batches, one Arrow row each, as `preprocess`; reported once each."""
    clock = Stopwatch()
    for window in windows:
        reading = clock.lap()
        fetched = images_of_rows(window, settings, watch.meter)
        watch.meter.add(READ_BYTES, window.nbytes)
        watch.spent(reading=reading, fetching=clock.lap())
        for batch in micro_batches(window, fetched, settings):
            decoding = clock.lap()
            yield batch  # until Ray Data takes more
            watch.spent(decoding=decoding, waiting=clock.lap())
