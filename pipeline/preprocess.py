"""A window of rows -> micro-batches: images fetched and decoded, bucketed by grid, texts as tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.config import JobConfig
from pipeline.fetch import Fetched, Fetcher, too_large
from pipeline.reasons import Failure, values_or_failures
from pipeline.schema import DETAIL, ERROR, PAIR, TEXT_INDEX, MicroBatch
from pipeline.tables import Columns, with_row_id
from vilt.decoding import ImageError, decode, read_size
from vilt.grids import Grid
from vilt.packing import Pairs
from vilt.predictor import Preprocessor


@dataclass(frozen=True)
class Settings:
    """What every preprocessing task needs to know: the job, the table's folder and its columns, and the tokens of a
    micro-batch."""

    config: JobConfig
    base: str
    columns: Columns
    tokens: int


NO_GRID = Grid(0, 0)


@dataclass
class Item:
    """One pair on its way: its row in the window, its text, and its image among the distinct ones of the window."""

    row: int
    text_index: int | None
    text: str | None = None
    image: int = -1
    tokens: np.ndarray | None = None  # int64, [CLS] ... [SEP]
    grid: Grid = NO_GRID
    failure: Failure | None = None

    @property
    def length(self) -> int:
        """Tokens of the pair, as the model will read it."""
        return len(self.tokens) + 1 + self.grid.patches  # type: ignore[arg-type]


def preprocess(window: pa.Table, settings: Settings) -> Iterator[pa.Table]:
    """A window of the table -> micro-batches, one Arrow row each. Every pair leaves in exactly one of them.

    Pairs are bucketed by the grids that the images' headers tell; pixels are decoded as each micro-batch is built,
    so that no more than one micro-batch of them is in memory.
    """
    spec, limits = settings.config.input, settings.config.limits
    preprocessor = _preprocessor(settings.config.model)
    texts = values_or_failures(window[spec.text], "text_invalid")
    items = [item for row, value in enumerate(texts) for item in _items(row, value)]
    images = _attach_images(items, _image_bytes(window[spec.image], settings))
    for item in items:
        if not item.failure:
            _measure(item, images[item.image], preprocessor, limits.image_pixels)
    ready = [item for item in items if not item.failure]
    ids, lengths = preprocessor.tokenizer.ragged([item.text or "" for item in ready])
    for item, tokens in zip(ready, np.split(ids, np.cumsum(lengths)[:-1]), strict=False):
        item.tokens = tokens
    rows = _carried(window, settings.config)
    failed = [item for item in items if item.failure]
    parts = _bucket(ready, settings.tokens) or [[]]
    for part in parts:
        pairs = _build(part, images, preprocessor, limits.image_pixels)
        everyone = part + failed if part is parts[-1] else part
        if everyone:
            yield MicroBatch(_rows(rows, everyone, settings), pairs).to_arrow()


@lru_cache(maxsize=4)
def _preprocessor(model: str) -> Preprocessor:
    """One a worker process, not one a task."""
    return Preprocessor.from_pretrained(model)


def _items(row: int, value: object) -> list[Item]:
    """The pairs of one row: one for its text, or one for each text of its list; at least one."""
    if isinstance(value, Failure):
        return [Item(row, None, failure=value)]
    texts: Sequence[Any] = value if isinstance(value, list) else [value]
    numbered = isinstance(value, list)
    items = [Item(row, i if numbered else None, text) for i, text in enumerate(texts)]
    for item, text in zip(items, texts, strict=True):
        if text is None:
            item.failure = Failure("text_null", "the text is null")
        elif not text.strip():
            item.failure = Failure("text_empty", f"the text is {text!r}")
    return items or [Item(row, None, failure=Failure("text_empty", "the list of texts is empty"))]


def _image_bytes(column: pa.ChunkedArray, settings: Settings) -> list[Fetched]:
    """The encoded image of each row, or why there is none."""
    limit = settings.config.limits.image_bytes
    found = [_inline(value, limit) for value in values_or_failures(column, "uri_not_allowed")]
    uris = {i: value for i, value in enumerate(found) if isinstance(value, str)}
    fetcher = Fetcher(settings.base, settings.config.input.allow, limit)
    fetched = dict(zip(uris, fetcher.fetch(list(uris.values())), strict=True))
    return [fetched[i] if isinstance(value, str) else value for i, value in enumerate(found)]


def _inline(value: Any, limit: int) -> Fetched | str:
    """What an image cell holds: its bytes, the URI to fetch them from, or a failure."""
    if isinstance(value, dict):
        value = value["path"] if value["bytes"] is None else value["bytes"]
    if value is None:
        return Failure("image_null", "the image is null")
    return too_large(limit) if isinstance(value, bytes) and len(value) > limit else value


def _attach_images(items: list[Item], fetched: list[Fetched]) -> list[bytes]:
    """Give every item its image or its failure; the distinct images of the window, each once."""
    place: dict[bytes, int] = {}
    for item in items:
        image = fetched[item.row]
        if isinstance(image, Failure):
            item.failure = item.failure or image
        else:
            item.image = place.setdefault(image, len(place))
    return list(place)


def _measure(item: Item, image: bytes, preprocessor: Preprocessor, max_pixels: int) -> None:
    """Set the grid that the image's header tells, or the failure."""
    try:
        item.grid = preprocessor.grid(*read_size(image, max_pixels))
    except ImageError as error:
        item.failure = Failure(error.reason, error.detail)


def _bucket(items: list[Item], budget: int) -> list[list[Item]]:
    """Items in order of their grid, cut into parts of at most `budget` tokens."""
    parts: list[list[Item]] = []
    total = 0
    for item in sorted(items, key=lambda i: (i.grid.patches, i.grid, i.image, len(i.tokens))):  # type: ignore[arg-type]
        if not parts or total + item.length > budget:
            parts.append([])
            total = 0
        parts[-1].append(item)
        total += item.length
    return parts


def _build(part: list[Item], images: list[bytes], preprocessor: Preprocessor, max_pixels: int) -> Pairs:
    """Decode the images of a part, each once, and join the pairs whose image is whole; the others get a failure."""
    patches: dict[int, np.ndarray | Failure] = {}
    grids: dict[int, Grid] = {}
    for item in part:
        if item.image not in patches:
            try:
                patches[item.image], grids[item.image] = preprocessor.patches(decode(images[item.image], max_pixels))
            except ImageError as error:
                patches[item.image] = Failure(error.reason, error.detail)
        if isinstance(found := patches[item.image], Failure):
            item.failure = found
    whole = [item for item in part if not item.failure]
    place = {image: i for i, image in enumerate(grids)}
    pixels = 3 * preprocessor.patch_size**2
    return Pairs(
        np.concatenate([np.empty(0, np.int64), *(item.tokens for item in whole)]),
        np.array([len(item.tokens) for item in whole], dtype=np.int64),  # type: ignore[arg-type]
        np.concatenate([np.empty((0, pixels), np.uint8), *(patches[image] for image in grids)]),
        list(grids.values()),
        np.array([place[item.image] for item in whole], dtype=np.int64),
    )


def _carried(window: pa.Table, config: JobConfig) -> pa.Table:
    """The columns that go on to the output: the user's, without the image unless asked for, and `row_id`."""
    spec = config.input
    rows = with_row_id(window, spec.id)
    read_only = {spec.image, spec.text, spec.id} - set(spec.columns) if spec.columns is not None else set()
    dropped = read_only if config.output.keep_image else read_only | {spec.image}
    return rows.drop_columns([name for name in rows.column_names if name in dropped])


def _rows(rows: pa.Table, items: list[Item], settings: Settings) -> pa.Table:
    """The rows of `items`, each with its own text, its error, and the place of its pair (null with an error)."""
    table = rows.take(pa.array([item.row for item in items], pa.int64()))
    if settings.columns.text_is_list:
        text = settings.config.input.text
        if text in table.column_names:
            texts = pa.array([item.text for item in items], pa.string())
            table = table.set_column(table.column_names.index(text), text, texts)
        table = table.append_column(TEXT_INDEX, pa.array([item.text_index for item in items], pa.int32()))
    failures = [item.failure or (None, None) for item in items]
    table = table.append_column(ERROR, pa.array([reason for reason, _ in failures], pa.string()))
    table = table.append_column(DETAIL, pa.array([detail for _, detail in failures], pa.string()))
    places = np.cumsum([not item.failure for item in items]) - 1
    pairs = pa.array(places, pa.int64(), mask=np.array([bool(item.failure) for item in items]))
    return table.append_column(PAIR, pairs)
