"""What parsers of files raise, as one line."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from pipeline.common.errors import ConfigError, first_line

# Of damaged files: Python's and pyarrow's, gzip, xz; and of files that take a parser too far.
PARSER_ERRORS = (ValueError, pa.ArrowException, EOFError, zlib.error, lzma.LZMAError, RecursionError, MemoryError)


def parser_fault(error: BaseException) -> str:
    """Return one line for an error of `PARSER_ERRORS`."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return f"it needs more memory than there is ({first_line(error) or 'out of memory'})"
    return first_line(error)


@contextmanager
def without_panics(what: str) -> Iterator[None]:
    """While it is open, raise the panics of libraries in Rust, which no `except Exception` catches, as ConfigError.

    Args:
        what: What is read, for the message, as "input.path: the Lance dataset 'x'".
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ConfigError(f"{what} is damaged: {first_line(error)}") from None
