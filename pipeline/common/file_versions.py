"""The version of a file as its storage tells it: another string once the file has changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

ETAGS = ("ETag", "etag")
TIMES = ("LastModified", "last_modified", "Last-Modified", "mtime", "updated", "blob_id", "created")


def version_of_info(info: Mapping[str, Any]) -> str | None:
    """Return the version of a file, of what fsspec or the headers of an HTTP answer tell of it.

    Returns:
        The etag; without one the time of the last change and the size, or what is known of them; None if neither is.
    """
    etag = next((info[key] for key in ETAGS if info.get(key)), None)
    if etag is not None:
        return _as_utf8(str(etag).strip('"'))
    time = next((info[key] for key in TIMES if info.get(key)), None)
    size = next((info[key] for key in ("size", "Content-Length") if info.get(key) is not None), None)
    return _as_utf8(" ".join(str(one) for one in (time, size) if one is not None)) or None


def _as_utf8(text: str) -> str:
    """Return a text that a column of a table can hold: bytes of a header that are not UTF-8 are written out."""
    return text.encode(errors="backslashreplace").decode()


def version_of_stat(stat: os.stat_result) -> str:
    """Return the version of a local file."""
    return f"{stat.st_mtime_ns} {stat.st_size}"
