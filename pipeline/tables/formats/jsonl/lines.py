"""Blocks of whole lines of JSON, without the lines that cost too much to parse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np

from pipeline.common.error_codes import Failure
from pipeline.tables.formats import row_format
from vilt.common.json_text import deep_lines


@dataclass(frozen=True)
class Lines:
    """Some lines of a file.

    Attributes:
        first: Number of the first line, from 1.
        data: The lines; empty if they are one line that is not read.
        failure: Why it is not read.
    """

    first: int
    data: bytes
    failure: Failure | None = None


def read_lines(file: IO[bytes], most_bytes: int, most_depth: int) -> Iterator[Lines]:
    """Yield a file in blocks of whole lines. Blank lines may be left out.

    Time grows with the bytes, and no more than a block and `most_bytes` are held, however long a line is.

    Args:
        file: The file.
        most_bytes: Most bytes of a line; a longer one is passed over.
        most_depth: Most levels of lists and objects in a line.
    """
    first, held, size = 1, [b""], 0  # parts of the line that the last block did not end, and their bytes
    blank = True  # of a line that is too long, and not held
    while block := file.read(row_format.BLOCK_BYTES):
        end = block.find(b"\n") + 1
        if not end or size + end > most_bytes:
            size += end or len(block)
            rest = block if not end else block[:end]
            if size <= most_bytes:
                held.append(rest)
                continue
            blank = blank and not rest.strip() and not any(part.strip() for part in held)
            held = []
            if not end:
                continue
            yield from _passed_over(first, blank, most_bytes)
            first, block = first + 1, block[end:]
        head, newline, rest = b"".join((*held, block)).rpartition(b"\n")
        yield from _parts(Lines(first, head + newline), most_bytes, most_depth)
        first += head.count(b"\n") + len(newline)
        held, size, blank = [rest], len(rest), True
    if size > most_bytes:
        yield from _passed_over(first, blank and not any(part.strip() for part in held), most_bytes)
    else:
        yield from _parts(Lines(first, b"".join(held)), most_bytes, most_depth)


def _passed_over(number: int, blank: bool, most_bytes: int) -> Iterator[Lines]:
    """Yield a line that is too long to hold, if it is a row."""
    if not blank:
        yield Lines(number, b"", _too_large(number, most_bytes))


def _parts(lines: Lines, most_bytes: int, most_depth: int) -> Iterator[Lines]:
    """Yield lines, each one that is not read on its own."""
    data = lines.data
    failures = {i: _too_deep(lines.first + i, most_depth) for i in deep_lines(data, most_depth)}
    if len(data) > most_bytes:
        ends = np.append(np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")), len(data))
        long = np.flatnonzero(np.diff(ends, prepend=-1) > most_bytes).tolist()
        split = data.split(b"\n")
        failures |= {i: _too_large(lines.first + i, most_bytes) for i in long if split[i].strip()}
    if not failures:
        if data.strip():
            yield lines
        return
    split, begin = data.split(b"\n"), 0
    for number in [*sorted(failures), len(split)]:
        good = b"\n".join(split[begin:number])
        if good.strip():
            yield Lines(lines.first + begin, good)
        if number in failures:
            yield Lines(lines.first + number, b"", failures[number])
        begin = number + 1


def _too_large(number: int, most_bytes: int) -> Failure:
    return Failure("row_too_large", f"line {number:,} has more than {most_bytes} bytes (limits.row_bytes)")


def _too_deep(number: int, most_depth: int) -> Failure:
    detail = f"line {number:,} is JSON nested more than {most_depth} levels deep (limits.json_depth)"
    return Failure("row_too_deep", detail)
