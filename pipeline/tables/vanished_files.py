"""Files that were listed a moment ago, and are not found when they are opened."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds; a store that has just come back may forget a file for a moment


def retry_missing(read: Callable[[], T], path: str) -> T:
    """Return what `read` returns; if the file is not found, ask again some times.

    Raises:
        FileNotFoundError: The file has vanished; the message says so.
    """
    for pause in PAUSES:
        try:
            return read()
        except FileNotFoundError:
            time.sleep(pause)
    try:
        return read()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} was listed, and is not there now: was the table changed?") from None
