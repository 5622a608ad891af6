"""The values of config keys that are names or labels. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vilt.common.config_checks import MOST_LABELS

if TYPE_CHECKING:
    import torch

PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
ATTENTION = ("eager", "sdpa")  # what `attn_implementation` may name


def numbered_labels(count: int) -> dict[int, str]:
    """Return the labels of classes without names, by index. Raises ValueError for a count that is none."""
    if not isinstance(count, int) or not 0 <= count <= MOST_LABELS:
        raise ValueError(f"num_labels is {count!r:.100}; it is a number from 0 to {MOST_LABELS}")
    return {i: f"LABEL_{i}" for i in range(count)}


def attention_named(name: str | None) -> str | None:
    """Return a known `attn_implementation`, or None. Raises ValueError for others."""
    if name is not None and name not in ATTENTION:
        raise ValueError(
            f'Specified `attn_implementation="{name}"` is not supported; it is one of {", ".join(ATTENTION)}'
        )
    return name


def dtype_named(name: str) -> torch.dtype:
    """Return torch's dtype of this name. Raises ValueError when there is none."""
    import torch

    dtype = getattr(torch, name.removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"dtype {name!r} is no dtype of torch; name one such as float32, float16 or bfloat16")
    return dtype


def inverse_labels(labels: Mapping[int, str]) -> dict[str, int]:
    """Return the index of each label."""
    return {label: index for index, label in labels.items()}
