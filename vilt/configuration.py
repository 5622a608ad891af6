"""`ViltConfig`: the `config.json` of a ViLT checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from torch import Tensor

from vilt.storage import Folder, Source, as_folder


def _numbered(count: int) -> dict[int, str]:
    return {i: f"LABEL_{i}" for i in range(count)}


@dataclass(init=False)
class ViltConfig:
    """The shape of a ViLT model, key by key as in the published `config.json`.

    Defaults are those of ViLT-B/32 (arXiv 2102.03334). `output_attentions`, `output_hidden_states` and `return_dict`
    hold where a call of `forward` leaves them out. Keys that this class does not name (`architectures`,
    `transformers_version`, ...) are kept in `extra`, read as attributes, and written back by `save_pretrained`.
    """

    vocab_size: int = 30522
    type_vocab_size: int = 2
    modality_type_vocab_size: int = 2
    max_position_embeddings: int = 40
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str | Callable[[Tensor], Tensor] = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    image_size: int = 384
    patch_size: int = 32
    num_channels: int = 3
    qkv_bias: bool = True
    max_image_length: int = -1
    tie_word_embeddings: bool = False
    num_images: int = -1
    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True
    id2label: dict[int, str] = field(default_factory=lambda: _numbered(2))
    extra: dict[str, Any] = field(default_factory=dict)

    def __init__(self, **values: Any) -> None:
        """Fields by name; `num_labels=n` is short for n labels without names; any other key goes to `extra`."""
        values.pop("label2id", None)  # the inverse of `id2label`
        labels, extra = values.pop("num_labels", None), dict(values.pop("extra", {}))
        if values.get("id2label") is None:
            values["id2label"] = _numbered(2 if labels is None else labels)
        for own in fields(self):
            default = own.default if own.default_factory is MISSING else own.default_factory()
            setattr(self, own.name, values.pop(own.name, default))
        self.id2label = {int(k): v for k, v in self.id2label.items()}
        self.extra = {**extra, **values}
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")

    def __getattr__(self, name: str) -> Any:
        extra = self.__dict__.get("extra", {})
        if name not in extra:
            raise AttributeError(f"ViltConfig has no {name!r}")
        return extra[name]

    @property
    def num_labels(self) -> int:
        """How many answers or classes the classifier knows; set it for so many labels without names."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        self.id2label = _numbered(count)

    @property
    def label2id(self) -> dict[str, int]:
        """The inverse of `id2label`."""
        return {label: index for index, label in self.id2label.items()}

    @property
    def use_return_dict(self) -> bool:
        """Whether models return named values: the same as `return_dict`."""
        return self.return_dict

    @property
    def patches_per_side(self) -> int:
        """Side of the square position table: 12 for ViLT-B/32."""
        return self.image_size // self.patch_size

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ViltConfig:
        """A config from the keys of a `config.json`; unknown keys go to `extra`."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The keys of a `config.json`."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        own["id2label"] = {str(k): v for k, v in self.id2label.items()}
        return {"model_type": "vilt", **self.extra, **own, "label2id": self.label2id}

    @classmethod
    def from_pretrained(cls, uri: Source) -> ViltConfig:
        """Read `config.json` from a folder or any URI that fsspec opens."""
        return cls.from_dict(as_folder(uri).read_json("config.json"))

    def save_pretrained(self, folder: str) -> None:
        """Write `config.json` into `folder`."""
        Folder(folder).write("config.json", json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n")
