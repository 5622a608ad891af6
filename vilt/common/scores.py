"""Logits -> scores, and the best of them."""

from __future__ import annotations

import numpy as np


def top(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the best `k` of each row, best first, of equal ones the lower index first.

    Args:
        scores: (n, labels).
        k: How many to keep; all if there are fewer.

    Returns:
        Their indices, int64 (n, k), and their scores (n, k).
    """
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return best, np.take_along_axis(scores, best, 1)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the sigmoid of each logit, without overflow."""
    return np.exp(-np.logaddexp(0, -logits))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the last dimension, without overflow."""
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)
