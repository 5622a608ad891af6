"""Buckets of rows by patch grid, and the pairs of one bucket in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from pipeline.common.error_codes import Failure
from pipeline.config.limits import LimitsConfig
from pipeline.stages.image_cells import numbered
from pipeline.stages.output_rows import OutputRow
from vilt.common.counts import counted
from vilt.inference.pairs import Pairs
from vilt.inference.preprocessor import AnyPreprocessor
from vilt.processing.errors import ImageError
from vilt.processing.grids import Grid


class PackedRows(NamedTuple):
    """The pairs of a micro-batch, and where those of each row begin.

    Attributes:
        pairs: The pairs, as the model reads them.
        pair_index: int64 (rows, text columns and negatives), the first pair of each text; -1 if the text has none.
    """

    pairs: Pairs
    pair_index: np.ndarray


def measure_images(
    rows: list[OutputRow], images: list[bytes], preprocessor: AnyPreprocessor, images_per_row: int, max_pixels: int
) -> None:
    """Set the patch grids that the images' headers give, or the failure, of every row that has not failed yet."""
    for row in rows:
        if row.failure:
            continue
        if len(row.images) != images_per_row:
            wrong = f"the row has {counted(len(row.images), 'image')}; the model reads {images_per_row}"
            row.failure = Failure("image_count", wrong)
            continue
        for number, image in enumerate(row.images, 1):
            try:
                row.grids.append(preprocessor.grid_of_bytes(images[image], max_pixels))
            except ImageError as error:
                row.failure = row.failure or numbered(Failure(error.reason, error.detail), number, len(row.images))
        row.image_tokens = sum(grid.patches + preprocessor.rows.cls for grid in row.grids)


def bucket(rows: list[OutputRow], token_budget: int, negatives: Sequence[np.ndarray] = ()) -> list[list[OutputRow]]:
    """Sort rows by patch grid and split them into micro-batches of at most `token_budget` tokens.

    The output rows of one window row stay together, even if they alone exceed the budget. Rows that have failed come
    last.

    Args:
        rows: The rows of a window, those of one window row in turn.
        token_budget: Most tokens of a micro-batch.
        negatives: int64 token ids of each text that is read once with each image of a micro-batch.
    """
    micro_batches: list[list[OutputRow]] = []
    total, images = 0, list[int]()
    same_window_row = (list(group) for _, group in groupby(rows, attrgetter("window_row")))
    for group in sorted(same_window_row, key=_sort_key):
        tokens = sum(row.tokens for row in group)
        first = next((row for row in group if not row.failure), None)
        more = first.tokens_with(negatives) if first else 0
        shared = bool(first and first.images == images)
        if not micro_batches or total + tokens + (0 if shared else more) > token_budget:
            micro_batches.append([])
            total, shared = 0, False
        micro_batches[-1] += group
        total += tokens + (0 if shared else more)
        images = first.images if first else []
    return micro_batches


def _sort_key(group: list[OutputRow]) -> tuple[Any, ...]:
    readable = [row for row in group if not row.failure]
    if not readable:
        return (math.inf,)
    first = readable[0]
    return first.grids[0].patches, first.grids, first.images, sum(row.tokens for row in group)


def pack(
    rows: list[OutputRow],
    images: list[bytes],
    preprocessor: AnyPreprocessor,
    limits: LimitsConfig,
    negatives: Sequence[np.ndarray] = (),
) -> PackedRows:
    """Decode the images of a micro-batch, each once, and build the pairs of the rows whose images are whole.

    Rows whose images turn out to be broken get their failure.

    Args:
        rows: The rows of the micro-batch.
        images: The distinct encoded images of the window.
        preprocessor: What the model preprocesses with.
        limits: What an image may cost.
        negatives: int64 token ids of each text that is read once with each image.
    """
    decoded = DecodedImages.of(rows, images, preprocessor, limits)
    _fail_broken(rows, decoded.failures)
    return _build_pairs(rows, decoded, preprocessor, negatives)


@dataclass(frozen=True)
class DecodedImages:
    """The patches of the images of a micro-batch, in one array from the beginning: gathering them later costs a sixth.

    Attributes:
        patches: (patches of all images, width), in the order in which rows name the images.
        rows_of: Image -> its rows of `patches`.
        failures: Image -> why it has no patches.
    """

    patches: np.ndarray
    rows_of: dict[int, slice]
    failures: dict[int, Failure]

    @classmethod
    def of(
        cls, rows: list[OutputRow], images: list[bytes], preprocessor: AnyPreprocessor, limits: LimitsConfig
    ) -> DecodedImages:
        """Decode every image that a row needs, each once."""
        layout = preprocessor.rows
        grids = {
            image: grid for row in rows if not row.failure for image, grid in zip(row.images, row.grids, strict=True)
        }
        patches = np.empty((sum(grid.patches for grid in grids.values()), layout.width), layout.dtype)
        decoded, end = cls(patches, {}, {}), 0
        for image, grid in grids.items():
            try:
                found = preprocessor.patches_of_bytes(images[image], limits.image_pixels, limits.decode_seconds)
            except ImageError as error:
                decoded.failures[image] = Failure(error.reason, error.detail)
                continue
            begin, end = end, end + grid.patches
            patches[begin:end] = found
            decoded.rows_of[image] = slice(begin, end)
        return decoded

    def gather(self, images: list[int]) -> np.ndarray:
        """Return the patches of these images end to end: a view if they lie so, else a copy."""
        rows, end = [self.rows_of[image] for image in images], 0
        for part in rows:
            if part.start != end:
                return np.concatenate([self.patches[part] for part in rows])
            end = part.stop
        return self.patches[:end]


def _fail_broken(rows: list[OutputRow], failures: dict[int, Failure]) -> None:
    for row in rows:
        for number, image in enumerate(() if row.failure else row.images, 1):
            if image in failures:
                row.failure = row.failure or numbered(failures[image], number, len(row.images))


def _build_pairs(
    rows: list[OutputRow],
    decoded: DecodedImages,
    preprocessor: AnyPreprocessor,
    negatives: Sequence[np.ndarray],
) -> PackedRows:
    image_slots: dict[tuple[int, int], int] = {}  # (image, modality) -> its index among the images of the pairs
    grids: list[Grid] = []
    token_ids: list[np.ndarray] = []
    image_index: list[int] = []
    pair_index: list[list[int]] = []

    def first_pair(row: OutputRow, ids: np.ndarray | None) -> int:
        """Add the pairs of a text and the images of a row; return the number of the first, or -1."""
        if ids is None or row.failure:
            return -1
        first = len(image_index)
        for modality, (image, grid) in enumerate(zip(row.images, row.grids, strict=True), 1):
            if (image, modality) not in image_slots:
                grids.append(grid)
            token_ids.append(ids)
            image_index.append(image_slots.setdefault((image, modality), len(image_slots)))
        return first

    of_images: dict[tuple[int, ...], list[int]] = {(): [-1] * len(negatives)}  # images -> first pairs of negatives
    for row in rows:
        pairs_of_row = [first_pair(row, ids) for ids in row.token_ids]
        key = () if row.failure else tuple(row.images)
        if key not in of_images:
            of_images[key] = [first_pair(row, ids) for ids in negatives]
        pair_index.append([*pairs_of_row, *of_images[key]])
    pairs = Pairs(
        token_ids=np.concatenate([np.empty(0, np.int64), *token_ids]),
        text_lengths=np.array([len(ids) for ids in token_ids], dtype=np.int64),
        patches=decoded.gather([image for image, _ in image_slots]),
        grids=grids,
        image_index=np.array(image_index, dtype=np.int64),
        image_types=np.array([modality for _, modality in image_slots], dtype=np.int64),
        image_cls=preprocessor.rows.cls,
    )
    return PackedRows(pairs, np.array(pair_index, dtype=np.int64).reshape(len(rows), -1))
