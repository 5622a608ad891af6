"""Image cells -> encoded bytes, or the reason why there are none."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.common.error_codes import RETRYABLE, Failure, values_or_failures
from pipeline.config.job import JobConfig
from pipeline.images.fetch import Fetched, Fetcher
from pipeline.images.http import too_large
from pipeline.stages.output_rows import OutputRow
from pipeline.stages.preprocessors import preprocessor_of
from pipeline.tables.regions import regions_of_rows


def images_of_rows(window: pa.Table, config: JobConfig, base: str) -> tuple[list[list[Fetched]], int]:
    """Return the encoded images of each row, or the features of its regions; and how many bytes were fetched by URI.

    Args:
        window: Rows with the columns that the config names.
        config: The job.
        base: The folder to which relative URIs are relative.

    Returns:
        For each row a list of bytes (or of encoded features), each of which may be a `Failure` instead.
    """
    if config.region_columns:
        features, *mask = (window[name] for name in config.region_columns)
        return regions_of_rows(features, mask[0] if mask else None, preprocessor_of(config).rows.width), 0
    columns = [values_or_failures(window[name], "uri_not_allowed") for name in config.image_columns]
    rows_of_cells = [
        [*row[0]] if isinstance(row[0], list) else [*row]  # a list of images in one column, or one image a column
        for row in zip(*columns, strict=True)
    ]
    limit = config.limits.image_bytes
    inline = [[_bytes_uri_or_failure(cell, limit) for cell in cells] for cells in rows_of_cells]
    uris = list(dict.fromkeys(cell for cells in inline for cell in cells if isinstance(cell, str)))
    fetched = dict(zip(uris, Fetcher(base, config).fetch(uris), strict=True))
    fetched_bytes = sum(len(image) for image in fetched.values() if isinstance(image, bytes))
    return [[fetched[cell] if isinstance(cell, str) else cell for cell in cells] for cells in inline], fetched_bytes


def _bytes_uri_or_failure(cell: Any, limit: int) -> Fetched | str:
    """Return what a cell holds: encoded bytes, a URI to fetch them from, or why it holds neither."""
    if isinstance(cell, dict):
        cell = cell["path"] if cell["bytes"] is None else cell["bytes"]
    if cell is None:
        return Failure("image_null", "the image is null")
    return too_large(limit) if isinstance(cell, bytes) and len(cell) > limit else cell


def attach_images(rows: list[OutputRow], images_of_row: list[list[Fetched]]) -> list[bytes]:
    """Set each row's images, or its failure; return the distinct images of the window.

    A failure that may pass takes precedence over that of a text, so that a retry sees every text of the row again.
    """
    index: dict[bytes, int] = {}
    for row in rows:
        images = images_of_row[row.window_row]
        for number, image in enumerate(images, 1):
            if isinstance(image, Failure):
                failure = numbered(image, number, len(images))
                if not row.failure or failure.reason in RETRYABLE:
                    row.failure = failure
            else:
                row.images.append(index.setdefault(image, len(index)))
    return list(index)


def numbered(failure: Failure, number: int, count: int) -> Failure:
    """Return the failure with the number of the image in its detail if the row has several images."""
    return Failure(failure.reason, f"image {number}: {failure.detail}") if count > 1 else failure
