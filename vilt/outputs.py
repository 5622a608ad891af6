"""What a model returns: named values, readable by name, by key or in order."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor


class ModelOutput:
    """Base of the outputs: `out.logits`, `out["logits"]`, `out[0]`; values that are None do not count."""

    def to_tuple(self) -> tuple[Any, ...]:
        """The values that are not None, in order."""
        values = (getattr(self, f.name) for f in fields(self))  # type: ignore[arg-type]
        return tuple(v for v in values if v is not None)

    def __getitem__(self, key: str | int) -> Any:
        return getattr(self, key) if isinstance(key, str) else self.to_tuple()[key]


@dataclass
class EncoderOutput(ModelOutput):
    """last_hidden_state (B, L, D): text, image [CLS], patches. pooler_output (B, D): the text [CLS], pooled."""

    last_hidden_state: Tensor
    pooler_output: Tensor


@dataclass
class HeadOutput(ModelOutput):
    """loss: scalar, where labels were given. logits: as the head documents."""

    loss: Tensor | None
    logits: Tensor
