"""The description of a head for predictors: where a checkpoint has it, what it reads, what its logits mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from torch import nn

from vilt.common.scores import sigmoid, softmax

# The vectors that a head reads of each sequence: the pooled [CLS], [CLS] as it is, or the last word before [SEP].
Reads = Literal["pooled", "cls", "last_word"]


def probabilities(logits: np.ndarray, config: Any) -> np.ndarray:
    """Return the softmax of each row."""
    del config
    return softmax(logits)


def separate(logits: np.ndarray, config: Any) -> np.ndarray:
    """Return each class's own probability: for heads that were trained with soft or several targets."""
    del config
    return sigmoid(logits)


class TaskHead(NamedTuple):
    """A head of published checkpoints.

    Attributes:
        name: The prefix of its tensors, as "classifier".
        make: Makes the module from a config.
        reads: Which vector of each pair it reads.
        scores: Logits (n, classes) and the config -> what is reported of each class.
        needs_pooler: Whether a checkpoint must have a pooler, too.
        architecture: The published class that has it, as `architectures` in a config names it; "" if none has.
    """

    name: str
    make: Callable[[Any], nn.Module]
    reads: Reads = "pooled"
    scores: Callable[[np.ndarray, Any], np.ndarray] = probabilities
    needs_pooler: bool = True
    architecture: str = ""
