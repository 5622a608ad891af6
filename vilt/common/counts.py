"""Counts in messages, which read well whatever they are."""

from __future__ import annotations


def counted(count: int, one: str, several: str | None = None) -> str:
    """Return a count with its noun, as in "1 row" and "2,000 rows".

    Args:
        count: The count.
        one: The noun of one, with what follows it, as in "row was read".
        several: The same of several, as in "rows were read"; default: `one` with an s at its end.
    """
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"
