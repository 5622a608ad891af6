r"""Double quotes in CSV: whether every one opens a value, closes it, or is one of a pair within it.

pyarrow takes what follows a closing quote for more of the value, as in `"a \"b\" c"`, where Spark and MySQL escape
quotes by a backslash: the value would be wrong without a word.
"""

from __future__ import annotations

import re
from typing import IO

import numpy as np

QUOTE = ord('"')
BOM = b"\xef\xbb\xbf"
LINE_BYTES = 2**25  # more than the rows that pyarrow takes
SHOWN_BYTES = 40


class QuoteCheck:
    """Looks at the bytes of a file as they pass: is there any quote that need not be what RFC 4180 has?

    Attributes:
        suspicious: Whether there was one. In a value without quotes around it, it is a character like others, which
            `check_quotes` tells.
    """

    def __init__(self, delimiter: str) -> None:
        self.suspicious = False
        self._ends = np.zeros(256, bool)
        self._ends[[ord(delimiter), ord("\r"), ord("\n"), QUOTE]] = True
        self._held = b"\n"  # the last byte that was looked at, and the one after it, whose next is not known yet
        self._quotes = 0
        self._begun = False

    def add(self, block: bytes) -> None:
        """Look at the next bytes."""
        if not self._begun:
            block, self._begun = block.removeprefix(BOM), True
        codes = np.frombuffer(self._held + block, np.uint8)
        at = np.flatnonzero(codes[1:-1] == QUOTE) + 1
        opens = (np.arange(len(at)) + self._quotes) % 2 == 0
        neighbours = np.where(opens, codes[at - 1], codes[at + 1])
        self.suspicious = self.suspicious or not self._ends[neighbours].all()
        self._quotes += len(at)
        self._held = codes[-2:].tobytes()


def check_quotes(file: IO[bytes], delimiter: str, header: bool) -> None:
    """Read a file, and check that the delimiter or the end of the line follows each quote that closes a value.

    Args:
        file: The file.
        delimiter: What stands between values.
        header: Whether the first line names the columns.

    Raises:
        ValueError: Something else follows; the message names the row.
    """
    field_end = re.compile(b"[\r\n" + re.escape(delimiter.encode()) + b"]")
    row, inside = -1 if header else 0, False
    first = True
    while line := file.readline(LINE_BYTES):
        if len(line) == LINE_BYTES:
            raise ValueError(f"a line has {LINE_BYTES:,} bytes or more; lines end with LF, or CR and LF")
        line, first = line.removeprefix(BOM) if first else line, False
        row += not inside and bool(line.strip(b"\r\n"))
        at = 0
        while at < len(line):
            if not inside and line[at] == QUOTE:
                inside, at = True, at + 1
            if not inside:
                end = field_end.search(line, at)
                at = end.end() if end else len(line)
                continue
            at = line.find(b'"', at)
            if at < 0:
                break
            inside = line[at + 1 : at + 2] == b'"'
            if not inside and at + 1 < len(line) and not field_end.match(line, at + 1):
                raise ValueError(_fault(row, line, at))
            at += 2
    return


def _fault(row: int, line: bytes, at: int) -> str:
    """Return what is wrong with the quote at a place in a line."""
    shown = line[max(0, at - SHOWN_BYTES // 2) : at + SHOWN_BYTES // 2].decode(errors="replace").strip()
    escaped = line[at - 1 : at] == b"\\"
    how = '; this one is escaped by a backslash: Spark writes two with .option("escape", "\\"")' if escaped else ""
    where = f"row {row:,}" if row > 0 else "the first line"
    return (
        f"{where} goes on after the quote that ends a value, at {shown!r}: a quote within a value is written twice{how}"
    )
