"""Tell what a file is if it is not the table that its name says: for messages."""

from __future__ import annotations

import re

HEAD_BYTES = 512
STARTS = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`"),
    (b"PAR1", "Parquet: name it .parquet, or set input.format=parquet"),
    (b"ARROW1", "an Arrow file: name it .arrow, or set input.format=arrow"),
    (b"\x1f\x8b", "packed by gzip: name it so, as in .csv.gz or .jsonl.gz"),
    (b"PK\x03\x04", "a zip file, as Excel's .xlsx is: unpack it, or save the sheet as CSV in UTF-8"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd: unpack it"),
    (b"SQLite format 3", "a SQLite database: export the table as Parquet"),
)
UTF_16 = "text in UTF-16: save it in UTF-8"


def lookalike(head: bytes, name: str = "") -> str | None:
    """Return what a file is and what to do, by its first bytes; None if they say nothing.

    Args:
        head: Some of the first bytes.
        name: The format that the file should have, which is no answer.
    """
    for start, what in STARTS:
        if head.startswith(start) and name not in re.findall(r"\w+", what.lower())[:2]:
            return what
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or _every_second_is_zero(head):
        return UTF_16
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "a page of HTML, which a server sent in place of the file: download it again"
    return None


def _every_second_is_zero(head: bytes) -> bool:
    """Return whether ASCII stands in it as UTF-16 without a mark."""
    return len(head) >= 8 and any(not any(head[begin:64:2]) and all(head[1 - begin : 64 : 2]) for begin in (0, 1))
