"""Image cells -> encoded bytes, or the reason why there are none."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.common.error_codes import RETRYABLE, Failure, values_or_failures
from pipeline.config.job import JobConfig
from pipeline.images.fetch import Fetched
from pipeline.images.http import too_large
from pipeline.stages.output_rows import OutputRow
from pipeline.stages.preprocessors import preprocessor_of
from pipeline.tables.regions import regions_of_rows


def image_cells(rows: pa.Table, config: JobConfig) -> list[list[Fetched | str]]:
    """Return what the image cells of each row hold: encoded bytes, URIs to fetch them from, or failures.

    Where the model reads regions, they are the encoded features of the row's regions.

    Args:
        rows: Rows with the columns that the config names.
        config: The job.
    """
    if config.region_columns:
        features, *mask = (rows[name] for name in config.region_columns)
        regions = regions_of_rows(features, mask[0] if mask else None, preprocessor_of(config).rows.width)
        return [[*row] for row in regions]
    columns = [values_or_failures(rows[name], "uri_not_allowed") for name in config.image_columns]
    rows_of_cells = [
        [*row[0]] if isinstance(row[0], list) else [*row]  # a list of images in one column, or one image a column
        for row in zip(*columns, strict=True)
    ]
    limit = config.limits.image_bytes
    return [[_bytes_uri_or_failure(cell, limit) for cell in cells] for cells in rows_of_cells]


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
