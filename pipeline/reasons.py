"""Why a row was not scored: one of a short list, written to the column `error`, with a detail beside it."""

from __future__ import annotations

from typing import NamedTuple

REASONS = {
    "image_null": "the image column is null",
    "image_missing": "the URI points to nothing",
    "image_forbidden": "the storage refused to give the image",
    "image_fetch_failed": "the storage failed in another way",
    "uri_not_allowed": "the URI is outside the table's folder and the allowed prefixes",
    "image_too_large": "more bytes than limits.image_bytes",
    "image_bomb": "more pixels than limits.image_pixels, by the image's own header",
    "image_unsupported": "no known image format",
    "image_truncated": "the image's data ends early",
    "image_corrupt": "the image's data are damaged",
    "image_aspect": "so long and thin that no grid of patches fits (about 20:1)",
    "text_null": "the text is null",
    "text_empty": "the text is empty or blank, or the list of texts is",
    "not_finite": "the model's output is not a finite number",
}


class Failure(NamedTuple):
    """A reason from `REASONS`, and what exactly was wrong."""

    reason: str
    detail: str
