"""Parts of a window: as many of its rows as fit the budget of bytes with their images and with each of their texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.common.columns import IMAGE_VERSION
from pipeline.common.error_codes import Failure
from pipeline.config.job import JobConfig
from pipeline.images.fetch import Fetched, Fetcher
from pipeline.images.versions import row_version
from pipeline.stages.image_cells import image_cells
from pipeline.stages.output_rows import carried_names
from pipeline.stages.text_values import text_counts
from pipeline.tables.schemas import is_list

TEXT_BYTES = 2**11  # about what a text takes on its way through preprocessing, beside its characters


@dataclass(frozen=True)
class WindowPart:
    """Rows of a window, and their images.

    Attributes:
        rows: The rows.
        images: The encoded images of each row, each of which may be a failure; of regions their features.
        failures: Row of the part -> why it is not read.
        fetched_bytes: Bytes that were fetched by URI.
    """

    rows: pa.Table
    images: list[list[Fetched]]
    failures: dict[int, Failure]
    fetched_bytes: int


def window_parts(window: pa.Table, config: JobConfig, base: str) -> Iterator[WindowPart]:
    """Yield the rows of a window in parts, each row in one. Mostly there is one part.

    Args:
        window: Rows with the columns that the config names.
        config: The job.
        base: The folder to which relative image URIs are relative.
    """
    sizes = _repeated_bytes(window, config)
    most = config.limits.carried_bytes
    fits = sizes <= most
    begin = 0
    for end in _ends(np.where(fits, sizes, 0), config.batch.window_bytes):
        rows, part_sizes = window.slice(begin, end - begin), sizes[begin:end]
        failures = {
            int(row): Failure(
                "row_too_large",
                f"{int(part_sizes[row]):,} bytes of carried columns, repeated for each text of the row, are more than "
                f"{most:,} (limits.carried_bytes)",
            )
            for row in np.flatnonzero(~fits[begin:end])
        }
        yield from _with_images(rows, failures, config, base)
        begin = end


def _ends(sizes: np.ndarray, most: int) -> Iterator[int]:
    """Yield where each part ends, if its rows are to take no more than `most` bytes, or to be one."""
    total = 0
    for row, size in enumerate(sizes.tolist()):
        if total and total + size > most:
            yield row
            total = 0
        total += size
    yield len(sizes)


def _repeated_bytes(window: pa.Table, config: JobConfig) -> np.ndarray:
    """Return the bytes that each row's carried columns take, repeated for each text of its list: int64 (rows,).

    They are an upper bound where there is no need to be exact.
    """
    lists = [name for name in config.text_columns if is_list(window.schema.field(name).type)]
    if not lists:
        return np.zeros(window.num_rows, np.int64)
    texts = np.concatenate([np.zeros(0, np.int64), *map(text_counts, window[lists[0]].chunks)])
    texts[texts > config.limits.texts_per_row] = 0  # rejected
    names = [name for name in carried_names(window.schema, config) if name != lists[0]]
    carried = window.select([name for name in names if not pa.types.is_dictionary(window.schema.field(name).type)])
    least = min(config.batch.window_bytes, config.limits.carried_bytes)
    if int(texts.max(initial=0)) * (carried.nbytes + window.num_rows * TEXT_BYTES) <= least:
        return np.zeros(window.num_rows, np.int64)
    return texts * np.array([carried.slice(row, 1).nbytes + TEXT_BYTES for row in range(window.num_rows)], np.int64)


def _with_images(rows: pa.Table, failures: dict[int, Failure], config: JobConfig, base: str) -> Iterator[WindowPart]:
    """Yield rows with their images, in parts whose fetched images fit the budget of bytes, or are those of one row."""
    cells = image_cells(rows, config)
    fetcher, fetched = Fetcher(base, config), dict[str, Fetched]()
    verify = config.input.verify is not None
    begin = 0
    while begin < len(cells):
        uris = dict.fromkeys(cell for row in cells[begin:] for cell in row if isinstance(cell, str))
        held = sum(len(image) for image in fetched.values() if isinstance(image, bytes))
        needed = {cell for cell in cells[begin] if isinstance(cell, str)}
        missing = [uri for uri in uris if uri not in fetched]
        found = fetcher.fetch_within(missing, config.batch.window_bytes - held, needed)
        fetched_bytes = sum(len(image) for image in found.values() if isinstance(image, bytes))
        fetched |= found
        end = begin + 1
        while end < len(cells) and all(cell in fetched for cell in cells[end] if isinstance(cell, str)):
            end += 1
        part = rows.slice(begin, end - begin)
        if verify:
            versions = [row_version(row, fetcher.versions) for row in cells[begin:end]]
            part = part.append_column(IMAGE_VERSION, pa.array(versions, pa.string()))
        yield WindowPart(
            part,
            [[fetched[cell] if isinstance(cell, str) else cell for cell in row] for row in cells[begin:end]],
            {row - begin: failure for row, failure in failures.items() if begin <= row < end},
            fetched_bytes,
        )
        later = dict.fromkeys(cell for row in cells[end:] for cell in row if isinstance(cell, str))
        fetched = _within({uri: fetched[uri] for uri in later if uri in fetched}, config.batch.window_bytes)
        begin = end


def _within(images: dict[str, Fetched], most: int) -> dict[str, Fetched]:
    """Return the first of the images, no more than `most` bytes; the others are fetched again when they are needed."""
    sizes = [len(image) if isinstance(image, bytes) else 0 for image in images.values()]
    fits = np.cumsum(np.array(sizes, np.int64)) <= most
    return {uri: image for (uri, image), fit in zip(images.items(), fits, strict=True) if fit}
