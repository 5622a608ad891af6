"""The figures of micro-batches, on one of their rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.stages.batch_stats import BatchStats
from pipeline.stages.micro_batch import MicroBatch, Prepared
from vilt.inference.pairs import Pairs
from vilt.processing.grids import Grid

PAIRS = Pairs(
    np.arange(5), np.array([2, 3, 0]), np.zeros((8, 3), np.uint8), [Grid(2, 3), Grid(1, 2)], np.array([0, 1, 1])
)
BATCH = MicroBatch(pa.table({"id": [1, 2]}), PAIRS, Prepared(2, 0.25, 0.5, 1.5, [100, 200]))


def test_what_is_known_before_the_model_reads() -> None:
    stats = BatchStats.of(BATCH)
    assert (stats.pairs, stats.tokens, stats.grids) == (3, 2 + 7 + 3 + 3 + 0 + 3, ["2x3", "1x2"])
    assert stats.pair_tokens == [9, 6, 3]
    assert (stats.input_rows, stats.reading, stats.fetching, stats.decoding) == (2, 0.25, 0.5, 1.5)
    assert (stats.image_bytes, stats.seconds, stats.device) == ([100, 200], 0.0, "")
    assert BatchStats.of(BATCH, with_pair_tokens=False).pair_tokens == []


def test_figures_travel_with_the_rows() -> None:
    one, two = BatchStats.of(BATCH), BatchStats(pairs=7, seconds=0.5, precision="bfloat16", device="cuda:0", began=9.0)
    tables = [one.attach(pa.table({"id": [1, 2, 3]})), two.attach(pa.table({"id": [4]}))]
    assert [table["__stats"].null_count for table in tables] == [2, 0]
    assert BatchStats.read(tables) == [one, two]
    merged = pa.concat_tables(tables)
    assert BatchStats.read([merged]) == [one, two]
    assert BatchStats.read([merged.slice(0, 1), merged.slice(1)]) == [one, two]
    assert BatchStats.read([merged.slice(1, 2)]) == []
