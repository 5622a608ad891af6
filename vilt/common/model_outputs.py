"""The outputs of models: named values that are a dataclass and an ordered dict at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import torch.utils._pytree as pytree
from torch import Tensor

from vilt.common.interop import SeenByTransformers

States = tuple[Tensor, ...]  # one (B, L, D) or (B, heads, L, L) for each layer


class ModelOutput(SeenByTransformers, OrderedDict[str, Any]):
    """Base of the outputs: `out.logits`, `out["logits"]`, `out[0]`, `**out`; values that are None do not count.

    Every subclass is a dataclass whose fields default to None. Instances cross pickle, `torch.utils._pytree`,
    `DataParallel` and `torch.export` as dicts do.
    """

    _base = ("transformers.utils", "ModelOutput")

    def __init_subclass__(cls) -> None:
        pytree.register_pytree_node(
            cls,
            lambda out: (list(out.values()), list(out.keys())),
            lambda values, names: cls(**dict(zip(names, values, strict=True))),
            serialized_type_name=f"{cls.__module__}.{cls.__name__}",
            flatten_with_keys_fn=lambda out: (
                [(pytree.MappingKey(name), value) for name, value in out.items()],
                list(out.keys()),
            ),
        )

    def __post_init__(self) -> None:
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        values = {name: getattr(self, name) for name in names}
        first = values[names[0]]
        if all(values[name] is None for name in names[1:]) and _are_items(first):
            values = dict(first)  # made from one dict or from (name, value) pairs, as `DataParallel` does
            super().__setattr__(names[0], None)
        for name, value in values.items():
            if value is not None:
                self[name] = value

    def __repr__(self) -> str:
        values = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({values})"

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        super().__setattr__(name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self and value is not None:
            super().__setitem__(name, value)
        super().__setattr__(name, value)

    def __reduce__(self) -> Any:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]

    def _refuse(self, *_args: Any, **_values: Any) -> Any:
        raise TypeError(f"{type(self).__name__} has fixed names: set a value, or make a dict of it")

    __delitem__ = setdefault = pop = update = _refuse

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the values that are not None, in order."""
        return tuple(self.values())


def _are_items(first: Any) -> bool:
    """Tell whether a first field is a dict, or an iterable of (name, value) pairs."""
    if isinstance(first, dict):
        return True
    if first is None or isinstance(first, Tensor) or not isinstance(first, Iterable):
        return False
    if not isinstance(first, list | tuple):
        return True  # a generator of pairs
    return bool(first) and all(
        isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str) for item in first
    )


@dataclass(eq=False, repr=False)
class BaseModelOutput(ModelOutput):
    """The output of an encoder.

    Attributes:
        last_hidden_state: (B, L, D).
        hidden_states: The embeddings and every layer's output, (B, L, D) each, when asked for.
        attentions: Every layer's probabilities, (B, heads, L, L) each, when asked for.
    """

    last_hidden_state: Tensor | None = None
    hidden_states: States | None = None
    attentions: States | None = None


@dataclass(eq=False, repr=False)
class BaseModelOutputWithPooling(ModelOutput):
    """The output of a model without a head.

    Attributes:
        last_hidden_state: (B, L, D): the tokens of the text, then of the image.
        pooler_output: (B, D), the first token pooled; None without a pooler.
        hidden_states: As in `BaseModelOutput`.
        attentions: As in `BaseModelOutput`.
    """

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: States | None = None
    attentions: States | None = None


@dataclass(eq=False, repr=False)
class HeadOutput(ModelOutput):
    """The output of a model with a classifier.

    Attributes:
        loss: A scalar, when labels were given.
        logits: As the class documents.
        hidden_states: As in `BaseModelOutput`; a list with those of each image for models of several images.
        attentions: As `hidden_states`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Any = None
    attentions: Any = None


@dataclass(eq=False, repr=False)
class MaskedLMOutput(HeadOutput):
    """A `HeadOutput`; logits: (B, T, vocabulary)."""


@dataclass(eq=False, repr=False)
class SequenceClassifierOutput(HeadOutput):
    """A `HeadOutput`; logits: (B, classes)."""


@dataclass(eq=False, repr=False)
class TokenClassifierOutput(HeadOutput):
    """A `HeadOutput`; logits: (B, T, classes)."""


@dataclass(eq=False, repr=False)
class ImageClassifierOutput(HeadOutput):
    """A `HeadOutput`; logits: (B, classes)."""


@dataclass(eq=False, repr=False)
class MultipleChoiceModelOutput(HeadOutput):
    """A `HeadOutput`; logits: (B, choices)."""


@dataclass(eq=False, repr=False)
class ViltForImagesAndTextClassificationOutput(HeadOutput):
    """A `HeadOutput`; hidden states and attentions: a list with those of each image."""


@dataclass(eq=False, repr=False)
class MaskedImageModelingOutput(ModelOutput):
    """The output of masked image modelling.

    Attributes:
        loss: A scalar, when patches were masked.
        reconstruction: (B, C, H, W).
        hidden_states: As in `BaseModelOutput`.
        attentions: As in `BaseModelOutput`.
    """

    loss: Tensor | None = None
    reconstruction: Tensor | None = None
    hidden_states: States | None = None
    attentions: States | None = None

    @property
    def logits(self) -> Tensor | None:
        """Return an older name of `reconstruction`."""
        return self.reconstruction


@dataclass(eq=False, repr=False)
class VisualBertForPreTrainingOutput(ModelOutput):
    """The output of VisualBERT's pretraining.

    Attributes:
        loss: A scalar, when labels were given.
        prediction_logits: (B, L, vocabulary).
        seq_relationship_logits: (B, 2), whether text and image belong together.
        hidden_states: As in `BaseModelOutput`.
        attentions: As in `BaseModelOutput`.
    """

    loss: Tensor | None = None
    prediction_logits: Tensor | None = None
    seq_relationship_logits: Tensor | None = None
    hidden_states: States | None = None
    attentions: States | None = None
