"""What processors and models return: named values, readable by name or by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self


class Batch(dict[str, Any]):
    """A processor's output: a dict, readable as `batch.input_ids` too, for `model(**batch)`."""

    @classmethod
    def of(cls, data: Mapping[str, Sequence[Any]], return_tensors: str | None) -> Self:
        """`data` as lists (None), or each list stacked as a numpy array ("np") or a tensor ("pt")."""
        if return_tensors is None:
            return cls(data)
        if return_tensors not in ("np", "pt"):
            raise ValueError(f"return_tensors {return_tensors!r} is not 'np', 'pt' or None")
        try:
            arrays = {key: np.stack([np.asarray(value) for value in values]) for key, values in data.items()}
        except ValueError:
            raise ValueError(
                "texts or images of different sizes do not make one array: set padding=True or do_pad=True, "
                "or leave return_tensors out"
            ) from None
        return cls(arrays if return_tensors == "np" else {key: torch.from_numpy(a) for key, a in arrays.items()})

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{name!r} is not one of {', '.join(self)}") from None

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Every tensor moved, as by `Tensor.to`."""
        return type(self)({k: v.to(*args, **kwargs) if isinstance(v, Tensor) else v for k, v in self.items()})


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
    """last_hidden_state (B, L, D): text, image [CLS], patches; of ViT the latter two, of VisualBERT text and regions.
    pooler_output (B, D): the first token, a [CLS], pooled.

    Where asked for: hidden_states, the embeddings and every layer's output, (B, L, D) each; attentions, every layer's
    probabilities, (B, heads, L, L) each.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor | None = None
    hidden_states: Any = None
    attentions: Any = None


@dataclass
class HeadOutput(ModelOutput):
    """loss: scalar, where labels were given. logits: as the head documents. The others as in `EncoderOutput`; of a
    model that reads several images, a list with those of each."""

    loss: Tensor | None
    logits: Tensor
    hidden_states: Any = None
    attentions: Any = None


@dataclass
class MaskedImageOutput(ModelOutput):
    """loss: scalar, where patches were masked. reconstruction: (B, C, H, W). The others as in `EncoderOutput`."""

    loss: Tensor | None
    reconstruction: Tensor
    hidden_states: Any = None
    attentions: Any = None


@dataclass
class PreTrainingOutput(ModelOutput):
    """loss: scalar, where labels were given. prediction_logits: (B, L, vocabulary). seq_relationship_logits: (B, 2),
    whether text and image belong together. The others as in `EncoderOutput`."""

    loss: Tensor | None
    prediction_logits: Tensor
    seq_relationship_logits: Tensor
    hidden_states: Any = None
    attentions: Any = None
