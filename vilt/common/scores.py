"""Logits -> scores, and the best of them."""

from __future__ import annotations

import numpy as np


def top(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n, labels) -> the best `k` of each row, best first, the lower index where equal: (indices, scores)."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return best, np.take_along_axis(scores, best, 1)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Of each logit."""
    return np.exp(-np.logaddexp(0, -logits))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last dimension."""
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)
