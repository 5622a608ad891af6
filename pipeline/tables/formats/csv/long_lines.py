"""Lines of CSV that are too long to parse, passed over one by one.

A line is passed over only if it is one row for certain: no quote is open where it begins or ends, and no quote before
its end stands where it might be a character like others. Of other rows that are too long nobody knows where the next
one begins: after a quote that is never closed, all rows up to some other quote would be one value, and lost.
"""

from __future__ import annotations

import re
from collections import deque
from typing import IO

import numpy as np

from pipeline.common.error_codes import Failure
from pipeline.tables.formats import row_format
from pipeline.tables.formats.csv.quotes import QUOTE, QuoteCheck

_LINE_END = re.compile(rb"[\r\n]")


class LongLines:
    """A file without the lines of more than `BLOCK_BYTES`, each of which ends a segment.

    `read` returns no bytes at the end of a segment; `next_segment` begins the next one, which begins with the header.

    Attributes:
        failure: Why the line is not read that ends the segment; None if it goes on, or ends the file.
        first: Whether this is the first segment.
    """

    def __init__(
        self, file: IO[bytes], quoted: bool, header: bool, check: QuoteCheck | None = None, head: bytes = b""
    ) -> None:
        """Describe what to read.

        Args:
            file: The file.
            quoted: Whether double quotes enclose values.
            header: Whether the first line names the columns.
            check: Looks at the quotes; None: the file was scanned with one.
            head: What was read of it already.
        """
        self.file, self.quoted, self.check = file, quoted, check
        self.failure: Failure | None = None
        self.first = True
        self._unread = head  # bytes that were read of the file, and not looked at
        self._header: bytes | None = None if header else b""
        self._ready: deque[memoryview] = deque()  # whole lines to return
        self._bytes = 0  # of them
        self._held: list[memoryview] = []  # the line that has no end yet
        self._size = 0  # its bytes
        self._begin = 0  # where it begins in the file
        self._open = False  # whether a quote is open there
        self._done = False

    def next_segment(self) -> bool:
        """Begin the next segment; return whether there is one."""
        if self.failure is None:
            return False
        self.failure, self.first = None, False
        self._ready.append(memoryview(self._header or b""))
        self._bytes = len(self._ready[0])
        return True

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer at the end of a segment: pyarrow wants the end of a row in each block.

        Raises:
            ValueError: A line is too long, and perhaps not one row.
        """
        while self._bytes < size and not self._done and self.failure is None:
            self._fill(self._read())
        parts, left = list[memoryview](), min(size, self._bytes)
        self._bytes -= left
        while left:
            part = self._ready.popleft()
            if len(part) > left:
                self._ready.appendleft(part[left:])
            parts.append(part[:left])
            left -= len(parts[-1])
        return b"".join(parts)

    def _read(self) -> bytes:
        block, self._unread = self._unread[: row_format.BLOCK_BYTES], self._unread[row_format.BLOCK_BYTES :]
        if not block:
            block = self.file.read(row_format.BLOCK_BYTES)
            if self.check:
                self.check.add(block or b"\n")
        return block

    def _fill(self, block: bytes) -> None:
        """Take the next bytes of the file; none at its end."""
        if not block:
            self._add(self._held)
            self._held, self._done = [], True
            return
        found = _LINE_END.search(block)
        if self._size + (found.end() if found else len(block)) > row_format.BLOCK_BYTES:
            self._pass_over(block)
            return
        newline = block.rfind(b"\n") + 1
        last = max(newline, block.rfind(b"\r", newline) + 1)  # most files have no CR behind the last LF
        view = memoryview(block)
        if last:
            lines = [*self._held, view[:last]]
            if self._header is None:
                self._header = _LINE_END.split(b"".join(lines), maxsplit=1)[0] + b"\n"
            if self.quoted:
                self._open ^= sum(map(_quotes, lines)) % 2 == 1
            self._add(lines)
            self._begin += self._size + last
            self._held, self._size = [], 0
        self._held.append(view[last:])
        self._size += len(block) - last

    def _add(self, lines: list[memoryview]) -> None:
        self._ready.extend(lines)
        self._bytes += sum(map(len, lines))

    def _pass_over(self, block: bytes) -> None:
        """Pass over the line that has begun, which ends the segment, and keep what follows it in the same block."""
        quotes, size = sum(map(_quotes, self._held)), self._size
        while block and not (found := _LINE_END.search(block)):
            quotes, size = quotes + _quotes(memoryview(block)), size + len(block)
            block = self._read()
        end = found.end() if block and found else 0
        odd = self._open or (quotes + block.count(b'"', 0, end)) % 2 or (self.check and self.check.suspicious)
        if self._header is None or (self.quoted and odd):
            raise ValueError(
                f"the line at byte {self._begin:,} has more than {row_format.BLOCK_BYTES:,} bytes, and the quotes "
                "before its end do not tell whether it is one row; write the table as JSON lines or Parquet"
            )
        most = row_format.BLOCK_BYTES
        detail = f"the line at byte {self._begin} has more than {most} bytes, the most that a row of CSV may have"
        self.failure, self._done = Failure("row_too_large", detail), not block
        self._held, self._size, self._begin = [], 0, self._begin + size + end
        self._unread = block[end:] + self._unread


def _quotes(data: memoryview) -> int:
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == QUOTE))
