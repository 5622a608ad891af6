"""A micro-batch crosses Ray Data as one row, and comes out as it went in."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.stages.micro_batch import BATCH, MicroBatch, Prepared
from vilt.inference.pairs import ImageRows, Pairs
from vilt.processing.grids import Grid

WIDTH = 5


@st.composite
def batches(draw: st.DrawFn, dtype: type = np.uint8) -> MicroBatch:
    """Micro-batches of up to three images and four pairs; images of several modalities; texts without tokens."""
    grids = draw(st.lists(st.builds(Grid, st.integers(1, 3), st.integers(1, 3)), max_size=3))
    lengths = draw(st.lists(st.integers(0, 3), max_size=4 if grids else 0))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    pairs = Pairs(
        token_ids=rng.integers(0, 1000, sum(lengths)),
        text_lengths=np.array(lengths, np.int64),
        patches=rng.integers(0, 255, (sum(grid.patches for grid in grids), WIDTH)).astype(dtype),
        grids=grids,
        image_index=rng.integers(0, max(1, len(grids)), len(lengths)),
        image_types=rng.integers(1, 3, len(grids)),
    )
    sizes = draw(st.lists(st.integers(0, 2**40), max_size=3))
    rows = pa.table({"id": range(len(lengths)), "text": pa.array(["é"] * len(lengths), pa.string())})
    return MicroBatch(rows, pairs, Prepared(len(lengths), 0.25, 0.5, 1.5, sizes))


def check(found: MicroBatch, batch: MicroBatch) -> None:
    assert found.rows.equals(batch.rows)
    assert found.prepared == batch.prepared
    assert list(found.pairs.grids) == list(batch.pairs.grids)
    for name in ("token_ids", "text_lengths", "patches", "image_index", "image_types"):
        got, wanted = getattr(found.pairs, name), getattr(batch.pairs, name)
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)


@settings(max_examples=30)
@given(batches())
def test_what_goes_in_comes_out(batch: MicroBatch) -> None:
    table = batch.to_arrow()
    assert (table.num_rows, table.schema) == (1, BATCH)
    [found] = MicroBatch.from_arrow(table, ImageRows(WIDTH))
    check(found, batch)
    assert found.pairs.image_cls


@settings(max_examples=30)
@given(st.lists(batches(np.float32), min_size=1, max_size=3), st.data())
def test_blocks_may_be_merged_and_sliced(parts: list[MicroBatch], data: st.DataObject) -> None:
    """Regions of floats, without an image [CLS]."""
    whole = pa.concat_tables([part.to_arrow() for part in parts])
    whole = data.draw(st.sampled_from([whole, whole.combine_chunks()]))
    begin = data.draw(st.integers(0, len(parts) - 1))
    found = list(MicroBatch.from_arrow(whole.slice(begin), ImageRows(WIDTH, np.float32, cls=False)))
    for one, batch in zip(found, parts[begin:], strict=True):
        check(one, batch)
        assert not one.pairs.image_cls


def test_pixels_are_not_copied_on_the_far_side() -> None:
    pairs = Pairs(np.array([1]), np.array([1]), np.ones((4, WIDTH), np.uint8), [Grid(2, 2)], np.array([0]))
    table = MicroBatch(pa.table({"id": [1]}), pairs).to_arrow()
    [found] = MicroBatch.from_arrow(table, ImageRows(WIDTH))
    stored = table["patches"].chunk(0).buffers()[2]
    assert stored.address <= found.pairs.patches.ctypes.data < stored.address + stored.size
