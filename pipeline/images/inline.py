"""Images that stand in the table's cell itself, as text: data URIs."""

from __future__ import annotations

import binascii
import re
from urllib.parse import unquote_to_bytes

from pipeline.common.error_codes import Failure

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{512,}={0,2}")  # as long as this, and no dot or slash of a path's extension
SHOWN_CHARS = 40


def decode_inline(cell: str, max_bytes: int) -> bytes | Failure | None:
    """Return the image in a data URI, or why it cannot be read; None if the text is a URI to fetch.

    Args:
        cell: The text in the image column.
        max_bytes: Most bytes of an image.
    """
    if cell[:5].lower() == "data:":
        head, comma, data = cell[5:].partition(",")
        if not comma:
            return Failure("image_corrupt", f"{cell[:SHOWN_CHARS]!r}... is a data URI without a comma")
        try:
            content = unquote_to_bytes(data)
            if head.lower().endswith(";base64"):
                content = binascii.a2b_base64(content)
        except (binascii.Error, ValueError) as error:
            return Failure("image_corrupt", f"{cell[:SHOWN_CHARS]!r}... is a damaged data URI: {error}")
        if len(content) > max_bytes:
            return Failure("image_too_large", f"more than {max_bytes} bytes (limits.image_bytes)")
        return content
    if _BASE64.fullmatch("".join(cell[:4096].split())):
        return Failure(
            "image_missing",
            f"{cell[:SHOWN_CHARS]!r}... looks like an image in base64, not like a URI; decode the column to binary, or "
            "write data:image/jpeg;base64, in front",
        )
    return None
