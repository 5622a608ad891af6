"""The configs of the family: the `config.json` of a ViLT, ViT or VisualBERT checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar

from torch import Tensor
from typing_extensions import Self

from vilt.common.storage import Folder, Source, as_folder


def _numbered(count: int) -> dict[int, str]:
    return {i: f"LABEL_{i}" for i in range(count)}


@dataclass(init=False)
class Config:
    """What the configs have in common, key by key as in the published `config.json`.

    `output_attentions`, `output_hidden_states` and `return_dict` hold where a call of `forward` leaves them out. Keys
    that a class does not name (`architectures`, `transformers_version`, ...) are kept in `extra`, read as attributes,
    and written back by `save_pretrained`.
    """

    model_type: ClassVar[str]
    pre_norm: ClassVar[bool] = True  # whether a block's norms come before its layers or after the residuals

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str | Callable[[Tensor], Tensor] = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True
    id2label: dict[int, str] = field(default_factory=lambda: _numbered(2))
    extra: dict[str, Any] = field(default_factory=dict)

    def __init__(self, **values: Any) -> None:
        """Fields by name; `num_labels=n` is short for n labels without names; any other key goes to `extra`."""
        values.pop("label2id", None)  # the inverse of `id2label`
        values.pop("model_type", None)  # the class
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

    def __getattr__(self, name: str) -> Any:
        extra = self.__dict__.get("extra", {})
        if name not in extra:
            raise AttributeError(f"{type(self).__name__} has no {name!r}")
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
    def images(self) -> int:
        """How many images the model reads with a text."""
        return 1

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """A config from the keys of a `config.json`; unknown keys go to `extra`."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The keys of a `config.json`."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        own["id2label"] = {str(k): v for k, v in self.id2label.items()}
        return {"model_type": self.model_type, **self.extra, **own, "label2id": self.label2id}

    @classmethod
    def from_pretrained(cls, uri: Source) -> Self:
        """Read `config.json` from a folder or any URI that fsspec opens. Raises ValueError where it is of another
        kind of model."""
        values = as_folder(uri).read_json("config.json")
        kind = values.get("model_type", cls.model_type)
        if kind != cls.model_type:
            raise ValueError(
                f"{str(uri)!r} is a checkpoint of model_type {kind!r}; {cls.__name__} is {cls.model_type!r}"
            )
        return cls.from_dict(values)

    def save_pretrained(self, folder: str) -> None:
        """Write `config.json` into `folder`."""
        Folder(folder).write("config.json", json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n")


@dataclass(init=False)
class PatchConfig(Config):
    """Of models that cut an image into patches: ViLT and ViT."""

    image_size: int = 384
    patch_size: int = 32
    num_channels: int = 3
    qkv_bias: bool = True

    def __init__(self, **values: Any) -> None:
        """As `Config`."""
        super().__init__(**values)
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")

    @property
    def patches_per_side(self) -> int:
        """Side of the square position table: 12 for ViLT-B/32, 14 for ViT-B/16."""
        return self.image_size // self.patch_size


@dataclass(init=False)
class ViltConfig(PatchConfig):
    """ViLT reads a text and an image's patches. Defaults are those of ViLT-B/32 (arXiv 2102.03334)."""

    model_type: ClassVar[str] = "vilt"

    vocab_size: int = 30522
    type_vocab_size: int = 2
    modality_type_vocab_size: int = 2
    max_position_embeddings: int = 40
    max_image_length: int = -1
    tie_word_embeddings: bool = False
    num_images: int = -1

    @property
    def images(self) -> int:
        """As `num_images`, where it is set."""
        return max(1, self.num_images)


@dataclass(init=False)
class ViTConfig(PatchConfig):
    """ViT reads an image's patches alone. Defaults are those of ViT-B/16 at 224 pixels (arXiv 2010.11929).

    encoder_stride: pixels that a patch is widened to by the decoder of masked image modelling. pooler_output_size: None
    for `hidden_size`.
    """

    model_type: ClassVar[str] = "vit"

    image_size: int = 224
    patch_size: int = 16
    encoder_stride: int = 16
    pooler_output_size: int | None = None
    pooler_act: str = "tanh"


@dataclass(init=False)
class VisualBertConfig(Config):
    """VisualBERT reads a text and the features of an image's regions, which a detector has found. Its blocks are
    BERT's: norms after the residuals. Defaults are those of visualbert-vqa-coco-pre (arXiv 1908.03557).

    bypass_transformer: text alone goes through the stack; one more block reads it with the regions.
    special_visual_initialize: a new model's position and token type tables of regions begin as copies of the text's.
    """

    model_type: ClassVar[str] = "visual_bert"
    pre_norm: ClassVar[bool] = False
    qkv_bias: ClassVar[bool] = True

    vocab_size: int = 30522
    visual_embedding_dim: int = 512
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    bypass_transformer: bool = False
    special_visual_initialize: bool = True
    tie_word_embeddings: bool = True
    pad_token_id: int | None = 1


KINDS: tuple[type[Config], ...] = (ViltConfig, ViTConfig, VisualBertConfig)


def read_config(uri: Source) -> Config:
    """The config of a checkpoint of any kind of the family, by its `model_type`. Raises ValueError for others."""
    values = as_folder(uri).read_json("config.json")
    kinds = {kind.model_type: kind for kind in KINDS}
    name = values.get("model_type", ViltConfig.model_type)
    if name not in kinds:
        raise ValueError(f"{str(uri)!r} is a checkpoint of model_type {name!r}, not one of {', '.join(kinds)}")
    return kinds[name].from_dict(values)
