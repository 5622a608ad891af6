"""JSON that strangers wrote: parsed only if it is not nested deeper than anybody nests.

Parsers call themselves for every level. The standard library's gives up with a RecursionError at about 1,000 levels,
pyarrow's overflows the stack of the process at some 30,000.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

MAX_DEPTH = 32  # levels of lists and objects; Arrow's IPC carries columns of 64
# A string, up to its end, the end of the line or of the text: what has no end must not be looked at twice.
_STRING = re.compile(rb'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*(?:["\n]|\\?\Z|\\\n)')
_STEP = np.zeros(256, np.int8)
_STEP[[ord("["), ord("{")]] = 1
_STEP[[ord("]"), ord("}")]] = -1


class NestedTooDeeplyError(ValueError):
    """JSON has more levels than are read."""


def read_json(data: bytes | str, max_depth: int = MAX_DEPTH) -> Any:
    """Parse JSON.

    Args:
        data: The text, or its bytes in any encoding that JSON may have.
        max_depth: Most levels of lists and objects.

    Raises:
        ValueError: It is not JSON, or too large to hold; one line.
        NestedTooDeeplyError: It has more levels than `max_depth`.
    """
    text = data if isinstance(data, str) else data.decode(json.detect_encoding(data), "surrogatepass")
    try:
        if text.count("[") + text.count("{") > max_depth:
            check_depth(text.encode(errors="surrogatepass"), max_depth)
        return json.loads(text)
    except RecursionError:
        raise NestedTooDeeplyError("nested too deeply") from None
    except MemoryError:
        raise ValueError(f"{len(text):,} characters are too many for the memory") from None


def check_depth(text: bytes, max_depth: int) -> None:
    """Raise NestedTooDeeplyError if JSON, in UTF-8, has more than `max_depth` levels."""
    if depth(text) > max_depth:
        raise NestedTooDeeplyError(f"nested more than {max_depth} levels deep")


def depth(text: bytes) -> int:
    """Return how many levels of lists and objects JSON, in UTF-8, has; brackets in strings do not count."""
    steps = _STEP[np.frombuffer(_STRING.sub(b"", text), np.uint8)]
    return int(np.cumsum(steps, dtype=np.int64).max(initial=0))


def deep_lines(lines: bytes, max_depth: int) -> list[int]:
    """Return the numbers, from 0, of those lines that have more than `max_depth` levels; in JSON a line is a value."""
    codes = np.frombuffer(lines, np.uint8)
    opening = np.flatnonzero((codes & 0xDF) == ord("["))  # { is [ with one more bit
    if len(opening) <= max_depth:
        return []
    ends = np.append(np.flatnonzero(codes == ord("\n")), len(codes))
    line_of = np.searchsorted(ends, opening)
    suspects = np.unique(line_of[max_depth:][line_of[max_depth:] == line_of[: len(line_of) - max_depth]]).tolist()
    return [i for i in suspects if depth(lines[ends[i - 1] + 1 if i else 0 : ends[i]]) > max_depth]


def open_levels(lines: bytes) -> int:
    """Return how many levels lines leave open at most, when line ends within a value count as blanks.

    Brackets in strings count, too: the number is an upper bound.
    """
    codes = np.frombuffer(lines, np.uint8)
    ends = np.flatnonzero(codes == ord("\n"))
    opening, closing = (
        np.bincount(np.searchsorted(ends, np.flatnonzero((codes & 0xDF) == ord(bracket))), minlength=len(ends) + 1)
        for bracket in "[]"
    )
    return int(np.maximum(opening - closing, 0).sum())
