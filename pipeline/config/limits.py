"""Section `limits`: what one row may cost. The defaults are beyond what any honest table holds."""

from __future__ import annotations

from pydantic import Field

from pipeline.config.base import Section
from vilt.common.json_text import MAX_DEPTH
from vilt.processing.image_files.decoding import MAX_PIXELS
from vilt.processing.limits import DECODE_SECONDS, MAX_TEXT_BYTES

IMAGE_BYTES = 64 * 2**20
ROW_BYTES = 2**26  # whose values may take 20 times as many as Python objects
TEXTS_PER_ROW = 10_000


class LimitsConfig(Section):
    """Limits of a row. A row that exceeds one is rejected with a reason."""

    image_bytes: int = Field(IMAGE_BYTES, ge=1, description="most bytes of an encoded image")
    image_pixels: int = Field(MAX_PIXELS, ge=1, description="most pixels of a decoded image")
    uri_characters: int = Field(2**14, ge=1, description="most characters of a URI; data: URIs are limited as images")
    fetch_seconds: float = Field(30.0, gt=0, description="most seconds to fetch an image, retries included")
    decode_seconds: float = Field(
        DECODE_SECONDS,
        gt=0,
        description="most seconds of a core to decode an image that is large, or of a format whose headers do not tell "
        "how long it takes; it is decoded in a process of its own, which is stopped then",
    )
    text_bytes: int = Field(MAX_TEXT_BYTES, ge=1, description="most bytes of a text")
    texts_per_row: int = Field(TEXTS_PER_ROW, ge=1, description="most texts in the list of one row")
    row_bytes: int = Field(
        ROW_BYTES,
        ge=1,
        description="most bytes of a JSON line, and of a text or JSON that is a member of a tar",
    )
    carried_bytes: int = Field(
        2**29,
        ge=1,
        le=2**30,
        description="most bytes of the columns that are carried into the output, for all texts of a row together",
    )
    json_depth: int = Field(MAX_DEPTH, ge=1, le=60, description="most levels of lists and objects in JSON")
