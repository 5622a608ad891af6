"""Count the arithmetic that the scores of some pairs take."""

from __future__ import annotations

from vilt.inference.pairs import Pairs


def work(pairs: Pairs, width: int = 768, layers: int = 12) -> float:
    """Return the floating point operations that the scores of these pairs take: the last layer for [CLS] alone."""
    lengths = pairs.lengths.astype(float)
    whole = 24 * width**2 * lengths.sum() + 4 * width * (lengths**2).sum()  # of one layer
    last = 4 * width**2 * lengths.sum() + 20 * width**2 * len(pairs) + 4 * width * lengths.sum()
    return float((layers - 1) * whole + last + 2 * 3072 * width * len(pairs.patches))
