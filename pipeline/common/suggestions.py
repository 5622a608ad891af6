"""The name that was meant by one that is not known."""

from __future__ import annotations

from collections.abc import Iterable

MOST_EDITS, LETTERS_AN_EDIT = 2, 3  # of a misspelt name: one for each three letters
LEAST_ABBREVIATION = 3


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name of which `name` is a misspelling or an abbreviation; None if no single one is meant.

    Names that are merely alike are none: a suggestion that is wrong costs more than no suggestion.

    Args:
        name: What was written.
        known: The names that there are.
    """
    lower = name.lower()
    found = sorted({(_distance(lower, one.lower()), one) for one in known})
    near = [(edits, one) for edits, one in found if edits <= _most_edits(lower, one.lower())]
    if near:
        best = [one for edits, one in near if edits == near[0][0]]
        return best[0] if len(best) == 1 else None
    long = [one for _, one in found if _abbreviates(lower, one.lower())]
    return long[0] if len(long) == 1 else None


def _most_edits(a: str, b: str) -> int:
    """Return how many edits may lie between two names of which one is meant by the other; a plural always counts."""
    return max(a.rstrip("s") == b.rstrip("s"), min(MOST_EDITS, min(len(a), len(b)) // LETTERS_AN_EDIT))


def _distance(a: str, b: str) -> int:
    """Return how many letters must be inserted, removed, replaced or swapped with the next to make b of a."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        before, above, row = row, before, [i]
        for j, other in enumerate(b, 1):
            least = min(before[j] + 1, row[-1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                least = min(least, above[j - 2] + 1)
            row.append(least)
    return row[-1]


def _abbreviates(short: str, long: str) -> bool:
    """Return whether a name is made of letters of another in their order, with the same first one, as img of image."""
    if not (LEAST_ABBREVIATION <= len(short) < len(long) and short[0] == long[0]):
        return False
    letters = iter(long)
    return all(letter in letters for letter in short)
