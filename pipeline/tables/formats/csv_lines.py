r"""Lines of CSV that are too long to parse, passed over one by one.

A line is passed over only if it is one row for certain: no quote is open where it begins or ends, and no quote before
its end stands where it might be a character like others. Of other rows that are too long nobody knows where the next
one begins: after a quote that is never closed, all rows up to some other quote would be one value, and lost.
"""

from __future__ import annotations

import re
from typing import IO

from pipeline.common.error_codes import Failure
from pipeline.tables.formats import row_format
from pipeline.tables.formats.csv_quotes import QuoteCheck

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
        self.file, self.quoted, self.check, self._head = file, quoted, check, head
        self.failure: Failure | None = None
        self.first = True
        self._header: bytes | None = None if header else b""
        self._out = b""  # bytes of the segment to return
        self._after = b""  # lines of the next one
        self._held: list[bytes] = []  # the line that has no end yet
        self._size = 0  # its bytes
        self._open = False  # whether a quote is open where it begins
        self._line = 1  # its number
        self._done = False

    def next_segment(self) -> bool:
        """Begin the next segment; return whether there is one."""
        if self.failure is None:
            return False
        self.failure, self._out, self._after = None, (self._header or b"") + self._after, b""
        self.first = False
        return True

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer at the end of a segment: pyarrow wants the end of a row in each block.

        Raises:
            ValueError: A line is too long, and perhaps not one row.
        """
        while len(self._out) < size and not self._done and self.failure is None:
            self._fill(self._read())
        out, self._out = self._out[:size], self._out[size:]
        return out

    def _read(self) -> bytes:
        block, self._head = self._head[: row_format.BLOCK_BYTES], self._head[row_format.BLOCK_BYTES :]
        return block or self.file.read(row_format.BLOCK_BYTES)

    def _fill(self, block: bytes) -> None:
        """Take the next bytes of the file; none at its end."""
        if self.check:
            self.check.add(block or b"\n")
        if not block:
            self._out, self._held, self._done = self._out + b"".join(self._held), [], True
            return
        found = _LINE_END.search(block)
        if self._size + (found.end() if found else len(block)) > row_format.BLOCK_BYTES:
            self._pass_over(block)
        else:
            self._out += self._whole_lines(block)

    def _whole_lines(self, block: bytes) -> bytes:
        """Return the lines that end in a block, and hold the rest of it."""
        last = max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
        self._held.append(block[:last])
        lines = b"".join(self._held) if last else b""
        if lines and self._header is None:
            self._header = _LINE_END.split(lines, maxsplit=1)[0] + b"\n"
        if self.quoted and lines.count(b'"') % 2:
            self._open = not self._open
        self._line += lines.count(b"\n") or lines.count(b"\r")
        if last:
            self._held, self._size = [], 0
        self._held.append(block[last:])
        self._size += len(block) - last
        return lines

    def _pass_over(self, block: bytes) -> None:
        """Pass over the line that has begun, which ends the segment, and take what follows it in the same block."""
        quotes, header = sum(part.count(b'"') for part in self._held), self._header is None
        while block and not (found := _LINE_END.search(block)):
            quotes += block.count(b'"')
            block = self._read()
            if self.check:
                self.check.add(block or b"\n")
        end = found.end() if block and found else 0
        odd = self._open or (quotes + block.count(b'"', 0, end)) % 2 or (self.check and self.check.suspicious)
        if header or (self.quoted and odd):
            raise ValueError(
                f"line {self._line:,} has more than {row_format.BLOCK_BYTES:,} bytes, and the quotes before its end do "
                "not tell whether it is one row; write the table as JSON lines or Parquet"
            )
        detail = (
            f"line {self._line:,} has more than {row_format.BLOCK_BYTES} bytes, the most that a row of CSV may have"
        )
        self.failure, self._done = Failure("row_too_large", detail), not block
        self._held, self._size, self._line = [], 0, self._line + 1
        self._after = self._whole_lines(block[end:])
