"""The error of a checkpoint that cannot be used, and values of strangers in its message."""

from __future__ import annotations

import reprlib
from typing import Any

_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother, _REPR.maxlong = 3, 80, 80, 40


class CheckpointError(ValueError):
    """A checkpoint's file is damaged, or says something that no model can have; one line with the file and value."""


class MisfitError(CheckpointError, RuntimeError):
    """Tensors of a checkpoint have other shapes than the model's; a RuntimeError too, which transformers raises."""


def short(value: Any) -> str:
    """Return the `repr` of a value that a stranger wrote: at most some hundred characters, however it is nested."""
    try:
        text = _REPR.repr(value)
    except (ValueError, RecursionError):  # a number of more digits than Python prints
        return f"<{type(value).__name__}>"
    return text if len(text) <= 200 else f"{text[:197]}..."
