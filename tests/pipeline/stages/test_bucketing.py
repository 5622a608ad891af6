"""Buckets of rows by patch grid, and the pairs of one bucket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.error_codes import Failure
from pipeline.config.limits import LimitsConfig
from pipeline.stages.bucketing import bucket, measure_images, pack
from pipeline.stages.output_rows import OutputRow
from vilt.inference.pairs import ImageRows
from vilt.processing.errors import ImageError
from vilt.processing.grids import Grid

LIMITS = LimitsConfig(image_pixels=99)
TEXT_NULL = Failure("text_null", "the text is null")


@dataclass
class Known:
    """A preprocessor of images like b"2x3": a header. b"2x3!" is broken behind it, b"?" has none."""

    decoded: int = 0

    @property
    def rows(self) -> ImageRows:
        return ImageRows(2)

    def grid_of_bytes(self, data: bytes, max_pixels: int) -> Grid:
        if data == b"?":
            raise ImageError("image_unsupported", "no header")
        rows, cols = map(int, data.strip(b"!").split(b"x"))
        if rows * cols > max_pixels:
            raise ImageError("image_bomb", "too many pixels")
        return Grid(rows, cols)

    def patches_of_bytes(self, data: bytes, max_pixels: int, seconds: float) -> np.ndarray:
        assert seconds > 0
        self.decoded += 1
        if data.endswith(b"!"):
            raise ImageError("image_corrupt", "damaged")
        return np.full((self.grid_of_bytes(data, max_pixels).patches, 2), data[0], np.uint8)


def row(window_row: int, *ids: list[int] | None, images: tuple[int, ...] = (0,), **more: Any) -> OutputRow:
    tokens = [None if one is None else np.array(one, np.int64) for one in ids]
    texts = [TEXT_NULL if one is None else "text" for one in ids]
    return OutputRow(window_row, None, texts, images=[*images], token_ids=tokens, **more)


def measured(rows: list[OutputRow], images: list[bytes], count: int = 1, most: int = 99) -> list[OutputRow]:
    measure_images(rows, images, Known(), count, most)  # type: ignore[arg-type]
    return rows


def test_grids_and_their_failures() -> None:
    images = [b"2x3", b"?", b"10x10"]
    rows = [row(0, [1]), row(1, [1], images=(1,)), row(2, [1], images=(2,)), row(3, [1], images=(0, 0)), row(4, None)]
    rows[4].failure = TEXT_NULL
    good, *bad = measured(rows, images)
    assert (good.grids, good.image_tokens, good.failure, good.tokens) == ([Grid(2, 3)], 7, None, 8)
    assert [one.failure for one in bad] == [
        Failure("image_unsupported", "no header"),
        Failure("image_bomb", "too many pixels"),
        Failure("image_count", "the row has 2 images; the model reads 1"),
        TEXT_NULL,
    ]
    assert bad[3].grids == []


def test_a_failure_names_the_image_of_several() -> None:
    [one] = measured([row(0, [1], images=(0, 1, 2))], [b"2x2", b"?", b"50x50"], count=3)
    assert one.failure == Failure("image_unsupported", "image 2: no header")
    [one] = measured([row(0, [1, 2], images=(0, 1))], [b"2x2", b"1x3"], count=2)
    assert one.tokens == 2 * 2 + 5 + 4, "the text is read with each image"


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.booleans()), max_size=8),
    st.integers(1, 60),
)
def test_every_row_is_in_one_micro_batch_and_lists_stay_together(
    window: list[tuple[int, int, int, bool]], budget: int
) -> None:
    """A window row: rows and columns of its image, its texts, and whether it failed."""
    images = [f"{rows}x{cols}".encode() for rows, cols, _, _ in window]
    rows = [
        row(i, [1] * (1 + j), images=(i,), failure=TEXT_NULL if failed else None)
        for i, (_, _, texts, failed) in enumerate(window)
        for j in range(texts)
    ]
    found = bucket(measured(rows, images), budget)
    assert sorted(map(id, rows)) == sorted(id(one) for batch in found for one in batch)
    seen: set[int] = set()
    for batch in found:
        here = {one.window_row for one in batch}
        assert not here & seen
        seen |= here
        assert sum(one.tokens for one in batch) <= budget or len(here) == 1
    order = [one for batch in found for one in batch]
    patches = [one.grids[0].patches for one in order if not one.failure]
    assert patches == sorted(patches)
    failed = [bool(one.failure) for one in order]
    assert failed == sorted(failed), "those that failed come last"


def test_pairs_of_a_bucket() -> None:
    images = [b"1x2", b"2x2", b"1x3!"]
    rows = [
        row(0, [1, 2], [3], images=(1,)),
        row(1, [4], None, images=(0,)),
        row(2, [5], [6], images=(2,)),
        row(3, [7], [8], images=(1,)),
    ]
    preprocessor = Known()
    measured(rows, images)
    pairs, index = pack(rows, images, preprocessor, LIMITS)  # type: ignore[arg-type]
    assert preprocessor.decoded == 3, "each image once"
    assert index.tolist() == [[0, 1], [2, -1], [-1, -1], [3, 4]]
    assert rows[2].failure == Failure("image_corrupt", "damaged")
    assert (pairs.token_ids.tolist(), pairs.text_lengths.tolist()) == ([1, 2, 3, 4, 7, 8], [2, 1, 1, 1, 1])
    assert (pairs.image_index.tolist(), pairs.grids) == ([0, 0, 1, 0, 0], [Grid(2, 2), Grid(1, 2)])
    assert pairs.patches.tolist() == [[ord("2")] * 2] * 4 + [[ord("1")] * 2] * 2
    assert pairs.image_types.tolist() == [1, 1]


def test_several_images_of_a_text_have_a_modality_each() -> None:
    rows = measured([row(0, [1], images=(0, 1)), row(1, [2], images=(1, 1))], [b"1x1", b"1x2"], count=2)
    pairs, index = pack(rows, [b"1x1", b"1x2"], Known(), LIMITS)  # type: ignore[arg-type]
    assert index.tolist() == [[0], [2]]
    assert (pairs.image_index.tolist(), pairs.image_types.tolist()) == ([0, 1, 2, 1], [1, 2, 1])
    assert pairs.token_ids.tolist() == [1, 1, 2, 2]


def test_a_bucket_without_a_pair() -> None:
    rows = [row(0, None, failure=TEXT_NULL)]
    pairs, index = pack(rows, [], Known(), LIMITS)  # type: ignore[arg-type]
    assert (len(pairs), pairs.patches.shape, index.tolist()) == (0, (0, 2), [[-1]])
