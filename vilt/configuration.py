"""`ViltConfig`: the `config.json` of a ViLT checkpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any

from vilt.storage import Folder


@dataclass
class ViltConfig:
    """The shape of a ViLT model, key by key as in the published `config.json`.

    Defaults are those of ViLT-B/32 (arXiv 2102.03334). Keys that this class does not name
    (`architectures`, `transformers_version`, ...) are kept in `extra` and written back by `save_pretrained`.
    """

    vocab_size: int = 30522
    type_vocab_size: int = 2
    modality_type_vocab_size: int = 2
    max_position_embeddings: int = 40
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
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
    id2label: dict[int, str] = field(default_factory=lambda: {0: "LABEL_0", 1: "LABEL_1"})
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.id2label = {int(k): v for k, v in self.id2label.items()}
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")

    @property
    def num_labels(self) -> int:
        """How many answers or classes the classifier knows."""
        return len(self.id2label)

    @property
    def label2id(self) -> dict[str, int]:
        """The inverse of `id2label`."""
        return {label: index for index, label in self.id2label.items()}

    @property
    def patches_per_side(self) -> int:
        """Side of the square position table: 12 for ViLT-B/32."""
        return self.image_size // self.patch_size

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ViltConfig:
        """A config from the keys of a `config.json`; unknown keys go to `extra`."""
        values = dict(values)
        values.pop("label2id", None)
        if "num_labels" in values:
            values.setdefault("id2label", {i: f"LABEL_{i}" for i in range(values["num_labels"])})
            del values["num_labels"]
        known = {f.name for f in fields(cls)} - {"extra"}
        extra = {key: values.pop(key) for key in list(values) if key not in known}
        return cls(**values, extra=extra)

    def to_dict(self) -> dict[str, Any]:
        """The keys of a `config.json`."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        own["id2label"] = {str(k): v for k, v in self.id2label.items()}
        return {"model_type": "vilt", **self.extra, **own, "label2id": self.label2id}

    @classmethod
    def from_pretrained(cls, uri: str) -> ViltConfig:
        """Read `config.json` from a folder or any URI that fsspec opens."""
        return cls.from_dict(Folder(uri).read_json("config.json"))

    def save_pretrained(self, folder: str) -> None:
        """Write `config.json` into `folder`."""
        Folder(folder).write("config.json", json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n")
