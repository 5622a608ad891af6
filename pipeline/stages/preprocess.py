"""A window of rows -> micro-batches: images fetched and decoded, or the features of regions, bucketed by grid, texts as
tokens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.common.columns import DETAIL, ERROR, PAIR, TEXT_INDEX, TEXTS
from pipeline.common.error_codes import RETRYABLE, Failure, values_or_failures
from pipeline.config.job import JobConfig
from pipeline.images.fetch import Fetched, Fetcher
from pipeline.images.http import too_large
from pipeline.monitoring.metrics import FETCHED_BYTES, Meter
from pipeline.stages.checkpoints import preprocessor_of
from pipeline.stages.micro_batch import MicroBatch
from pipeline.tables.regions import regions_of_rows
from pipeline.tables.table import Columns, with_row_id
from vilt.inference.packing import Pairs
from vilt.inference.preprocessor import AnyPreprocessor
from vilt.processing.decoding import ImageError
from vilt.processing.grids import Grid


@dataclass(frozen=True)
class Settings:
    """What every preprocessing task needs to know: the job, the table's folder and its columns, the tokens of a
    micro-batch, and how many images the model reads with a text."""

    config: JobConfig
    base: str
    columns: Columns
    tokens: int
    images: int


Text = str | Failure
BLANK = " "  # of rows whose texts come from elsewhere


@dataclass
class Item:
    """One row of the output on its way: its row in the window, its texts, one for each column of texts, and its images
    among the distinct ones of the window. Every text is read with every image."""

    row: int
    text_index: int | None
    texts: list[Text]
    images: list[int] = field(default_factory=list)
    tokens: list[np.ndarray | None] = field(default_factory=list)  # of each text, int64; None of a failure
    grids: list[Grid] = field(default_factory=list)  # of each image
    image_tokens: int = 0  # of all images
    failure: Failure | None = None  # of an image, or of all texts: nothing can be done for the row
    given: str | None = None  # the text as it stands in a list of texts

    @property
    def length(self) -> int:
        """Tokens of its pairs, as the model will read them."""
        read = [len(own) for own in self.tokens if own is not None]
        return sum(read) * len(self.grids) + len(read) * self.image_tokens

    @property
    def reason(self) -> Failure | None:
        """What the row reports: the failure of an image, else of a text."""
        return self.failure or next((text for text in self.texts if isinstance(text, Failure)), None)


def preprocess(window: pa.Table, settings: Settings) -> Iterator[pa.Table]:
    """A window of the table -> micro-batches, one Arrow row each. Every row leaves in exactly one of them.

    Rows are bucketed by the grids that the images' headers tell; pixels are decoded as each micro-batch is built,
    so that no more than one micro-batch of them is in memory.
    """
    yield from micro_batches(window, images_of_rows(window, settings), settings)


def micro_batches(window: pa.Table, fetched: list[list[Fetched]], settings: Settings) -> Iterator[pa.Table]:
    """As `preprocess`, of a window whose images are here. fetched: of each row, see `images_of_rows`."""
    config = settings.config
    preprocessor = preprocessor_of(config)
    items = _items({name: window[name] for name in config.text_columns}, window.num_rows)
    images = _attach_images(items, fetched)
    for item in items:
        if not item.failure:
            _measure(item, images, preprocessor, settings)
    _tokenize(items, preprocessor)
    rows = _carried(window, config)
    for part in _bucket(items, settings.tokens):
        places, pairs = _build(part, images, preprocessor, config.limits.image_pixels)
        yield MicroBatch(_rows(rows, part, places, settings), pairs).to_arrow()


def _items(columns: dict[str, pa.ChunkedArray], rows: int) -> list[Item]:
    """The rows of the output: one for each row of the window, or one for each text of its list; at least one."""
    if not columns:
        return [Item(row, None, [BLANK]) for row in range(rows)]
    items = []
    for row, values in enumerate(zip(*(values_or_failures(c, "text_invalid") for c in columns.values()), strict=True)):
        if isinstance(values[0], list):  # then there is but one column of texts
            for i, text in enumerate(values[0]):
                items.append(Item(row, i, [_text(text)], given=None if isinstance(text, Failure) else text))
            if not values[0]:
                items.append(Item(row, None, [Failure("text_empty", "the list of texts is empty")]))
        else:
            items.append(Item(row, None, [_text(value) for value in values]))
            if len(columns) > 1:
                items[-1].texts = [
                    Failure(text.reason, f"{name}: {text.detail}") if isinstance(text, Failure) else text
                    for name, text in zip(columns, items[-1].texts, strict=True)
                ]
    for item in items:
        if all(isinstance(text, Failure) for text in item.texts):
            item.failure = item.reason
    return items


def _text(value: object) -> Text:
    """A text that can be read, or why not."""
    if value is None:
        return Failure("text_null", "the text is null")
    if isinstance(value, str) and not value.strip():
        return Failure("text_empty", f"the text is {value!r}")
    return value  # type: ignore[return-value]


def _tokenize(items: list[Item], preprocessor: AnyPreprocessor) -> None:
    """Set the tokens of every text that will be read."""
    texts = [None if item.failure or isinstance(text, Failure) else text for item in items for text in item.texts]
    ids, lengths = preprocessor.tokens([text or "" for text in texts])
    each = zip(texts, np.split(ids, np.cumsum(lengths)[:-1]), strict=False)
    for item in items:
        item.tokens = [own if text else None for text, own in islice(each, len(item.texts))]


def images_of_rows(window: pa.Table, settings: Settings, meter: Meter | None = None) -> list[list[Fetched]]:
    """The encoded images of each row, or the features of its regions; or why there are none. meter: counts the bytes
    that are fetched."""
    limit, config = settings.config.limits.image_bytes, settings.config
    if config.region_columns:
        features, *mask = (window[name] for name in config.region_columns)
        return regions_of_rows(features, mask[0] if mask else None, preprocessor_of(config).rows.width)
    columns = [values_or_failures(window[name], "uri_not_allowed") for name in config.image_columns]
    cells = [
        [*row[0]] if isinstance(row[0], list) else [*row]  # a list of images in one column, or an image in each
        for row in zip(*columns, strict=True)
    ]
    found = [[_inline(cell, limit) for cell in row] for row in cells]
    uris = list(dict.fromkeys(cell for row in found for cell in row if isinstance(cell, str)))
    fetched = dict(zip(uris, Fetcher(settings.base, config).fetch(uris), strict=True))
    if meter:
        meter.add(FETCHED_BYTES, sum(len(image) for image in fetched.values() if isinstance(image, bytes)))
    return [[fetched[cell] if isinstance(cell, str) else cell for cell in row] for row in found]


def _inline(value: Any, limit: int) -> Fetched | str:
    """What an image cell holds: its bytes, the URI to fetch them from, or a failure."""
    if isinstance(value, dict):
        value = value["path"] if value["bytes"] is None else value["bytes"]
    if value is None:
        return Failure("image_null", "the image is null")
    return too_large(limit) if isinstance(value, bytes) and len(value) > limit else value


def _attach_images(items: list[Item], fetched: list[list[Fetched]]) -> list[bytes]:
    """Give every item its images or its failure; the distinct images of the window, each once."""
    place: dict[bytes, int] = {}
    for item in items:
        for number, image in enumerate(fetched[item.row], 1):
            if isinstance(image, Failure):
                failure = _of_image(image, number, len(fetched[item.row]))
                if not item.failure or failure.reason in RETRYABLE:  # of one that may pass, all texts of the row tell
                    item.failure = failure
            else:
                item.images.append(place.setdefault(image, len(place)))
    return list(place)


def _of_image(failure: Failure, number: int, count: int) -> Failure:
    """The failure, with the number of the image where a row has several."""
    return Failure(failure.reason, f"image {number}: {failure.detail}") if count > 1 else failure


def _measure(item: Item, images: list[bytes], preprocessor: AnyPreprocessor, settings: Settings) -> None:
    """Set the grids that the images' headers tell, or the failure."""
    if len(item.images) != settings.images:
        wrong = f"the row has {len(item.images)} images; the model reads {settings.images}"
        item.failure = Failure("image_count", wrong)
        return
    for number, image in enumerate(item.images, 1):
        try:
            item.grids.append(preprocessor.grid_of_bytes(images[image], settings.config.limits.image_pixels))
        except ImageError as error:
            failure = Failure(error.reason, error.detail)
            item.failure = item.failure or _of_image(failure, number, len(item.images))
    item.image_tokens = sum(grid.patches + preprocessor.rows.cls for grid in item.grids)


def _bucket(items: list[Item], budget: int) -> list[list[Item]]:
    """Items in order of their grids, cut into parts of at most `budget` tokens; those of one row stay together.

    Rows of which nothing can be read come last.
    """
    parts: list[list[Item]] = []
    total = 0
    for row in sorted((list(same) for _, same in groupby(items, attrgetter("row"))), key=_order):
        length = sum(item.length for item in row)
        if not parts or total + length > budget:
            parts.append([])
            total = 0
        parts[-1] += row
        total += length
    return parts


def _order(row: list[Item]) -> tuple[Any, ...]:
    """Where the items of a row stand among those of others."""
    readable = [item for item in row if not item.failure]
    if not readable:
        return (math.inf,)
    first = readable[0]
    return first.grids[0].patches, first.grids, first.images, sum(item.length for item in row)


def _build(
    part: list[Item], images: list[bytes], preprocessor: AnyPreprocessor, max_pixels: int
) -> tuple[list[list[int]], Pairs]:
    """Decode the images of a part, each once, and make the pairs of the items whose images are whole; the others get a
    failure. Also, for each item and each of its texts, the place of the first pair, -1 where there is none."""
    patches: dict[int, np.ndarray | Failure] = {}
    for item in part:
        for number, image in enumerate(() if item.failure else item.images, 1):
            if image not in patches:
                try:
                    patches[image] = preprocessor.patches_of_bytes(images[image], max_pixels)
                except ImageError as error:
                    patches[image] = Failure(error.reason, error.detail)
            if isinstance(found := patches[image], Failure):
                item.failure = item.failure or _of_image(found, number, len(item.images))
    place: dict[tuple[int, int], int] = {}  # (image, modality) -> its place among the images of the pairs
    grids: list[Grid] = []
    tokens: list[np.ndarray] = []
    index: list[int] = []
    places: list[list[int]] = []
    for item in part:
        places.append([])
        for own in item.tokens:
            if own is None or item.failure:
                places[-1].append(-1)
                continue
            places[-1].append(len(index))
            for kind, (image, grid) in enumerate(zip(item.images, item.grids, strict=True), 1):
                if (image, kind) not in place:
                    grids.append(grid)
                tokens.append(own)
                index.append(place.setdefault((image, kind), len(place)))
    rows = preprocessor.rows
    return places, Pairs(
        np.concatenate([np.empty(0, np.int64), *tokens]),
        np.array([len(own) for own in tokens], dtype=np.int64),
        np.concatenate([np.empty((0, rows.width), rows.dtype), *(patches[i] for i, _ in place)]),
        grids,
        np.array(index, dtype=np.int64),
        np.array([kind for _, kind in place], dtype=np.int64),
        rows.cls,
    )


def carried_names(config: JobConfig, names: Sequence[str]) -> list[str]:
    """Return which of the columns that are read go on to the output.

    They are the user's, without images and regions unless asked for, and without those that only the job needs.
    """
    spec = config.input
    images = {*config.image_columns, *config.region_columns}
    used = {*images, *config.text_columns, spec.id}
    read_only = used - set(spec.columns) if spec.columns is not None else set()
    dropped = read_only if config.output.keep_image else read_only | images
    return [name for name in names if name not in dropped]


def _carried(window: pa.Table, config: JobConfig) -> pa.Table:
    """Return the columns that go on to the output, and `row_id`."""
    rows = with_row_id(window, config.input.id)
    return rows.select(carried_names(config, rows.column_names))


def _rows(rows: pa.Table, items: list[Item], places: list[list[int]], settings: Settings) -> pa.Table:
    """The rows of `items`, each with its own text, its error, and the places of its pairs."""
    table = rows.take(pa.array([item.row for item in items], pa.int64()))
    if settings.columns.text_is_list:
        text = settings.config.text_columns[0]
        if text in table.column_names:
            given = pa.array([item.given for item in items], pa.string())
            table = table.set_column(table.column_names.index(text), text, given)
        table = table.append_column(TEXT_INDEX, pa.array([item.text_index for item in items], pa.int32()))
    texts = Counter(item.row for item in items)
    table = table.append_column(TEXTS, pa.array([texts[item.row] for item in items], pa.int32()))
    failures = [item.reason or (None, None) for item in items]
    table = table.append_column(ERROR, pa.array([reason for reason, _ in failures], pa.string()))
    table = table.append_column(DETAIL, pa.array([detail for _, detail in failures], pa.string()))
    for number, column in enumerate(zip(*places, strict=True)):
        table = table.append_column(f"{PAIR}{number}", pa.array(column, pa.int64()))
    return table
