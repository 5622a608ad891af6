"""Error codes: why a row was not scored, as the column `error` says it, with a detail in `error_detail`."""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa

REASONS = {
    "row_too_large": "more bytes than limits.row_bytes in JSON or in a member of a tar; or more than "
    "limits.carried_bytes in the carried columns, repeated for each text of the row",
    "row_too_deep": "JSON with more levels of lists and objects than limits.json_depth",
    "image_null": "the image column is null",
    "image_missing": "the URI points to nothing",
    "image_forbidden": "the storage refused to give the image",
    "image_opted_out": "the host says noai or noimageai in X-Robots-Tag: it is not for AI (input.robots)",
    "image_fetch_failed": "the storage or the network failed in another way, each time it was asked",
    "fetch_throttled": "the storage asked to slow down, each time it was asked",
    "fetch_timeout": "the image did not arrive within limits.fetch_seconds",
    "uri_not_allowed": "the URI is outside the table's folder and the allowed prefixes, not at a public address, or "
    "longer than limits.uri_characters",
    "image_too_large": "more bytes than limits.image_bytes",
    "image_bomb": "more pixels than limits.image_pixels, by the image's own header",
    "image_unsupported": "no known image format, or pixels that are no 8 or 16-bit numbers",
    "image_truncated": "the image's data ends early",
    "image_corrupt": "the image's data are damaged",
    "image_slow": "made to take long: thousands of scans, millions of chunks or comments, or limits.decode_seconds are "
    "over; no honest file takes so long",
    "image_aspect": "so long and thin that no grid of patches fits (about 20:1)",
    "image_count": "the row has more or fewer images than the model reads",
    "regions_null": "the features of the regions are null",
    "regions_empty": "the row has no region, or its mask leaves none",
    "regions_shape": "a region has more or fewer features than the model reads, or the mask is not one for each region",
    "regions_not_finite": "a region's features hold a null or a number that is not finite",
    "text_null": "the text is null",
    "text_invalid": "the text is not UTF-8",
    "text_too_long": "more bytes than limits.text_bytes",
    "texts_too_many": "more texts in the row's list than limits.texts_per_row",
    "text_empty": "the text is empty or blank, or the list of texts is",
    "not_finite": "the model's output is not a finite number",
}
RETRYABLE = frozenset({"image_fetch_failed", "fetch_throttled", "fetch_timeout"})  # may pass in a moment
TRIED_BY_NEXT_RUN = RETRYABLE | {"image_missing", "image_forbidden"}  # may pass by another day


class Failure(NamedTuple):
    """An error code from `REASONS`, and what exactly was wrong."""

    reason: str
    detail: str


def values_or_failures(column: pa.Array | pa.ChunkedArray, reason: str) -> list[Any]:
    """Return the Python values of a column.

    Parquet files may hold strings that are not UTF-8: a failure takes the place of such a value, or of the element of
    a list.

    Args:
        column: A column of any type.
        reason: The error code of the failures.
    """
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        return [value_or_failure(value, reason) for value in column]


def value_or_failure(value: pa.Scalar, reason: str) -> Any:
    """Return the Python value of a scalar, or a failure, as `values_or_failures` does."""
    try:
        return value.as_py()
    except UnicodeDecodeError as error:
        if isinstance(value, pa.ListScalar):  # large lists, too
            return [value_or_failure(element, reason) for element in value.values]
        return Failure(reason, str(error))
