"""The keys that the configs of all model families share, as attributes of an object. Imports no torch."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import Self

from vilt.common.config_files import ConfigFiles
from vilt.common.config_values import PROBLEM_TYPES, attention_named, dtype_named, inverse_labels, numbered_labels

if TYPE_CHECKING:
    import torch

COMMON_DTYPES = frozenset({"float32", "float16", "bfloat16", "float64"})  # names that need no look into torch
_NOT_WRITTEN = ("_commit_hash", "_name_or_path", "_attn_implementation")


class Config(ConfigFiles):
    """The keys that all configs have, as attributes.

    A key that no class names (`architectures`, `transformers_version`, ...) becomes an attribute too, and
    `save_pretrained` writes it back. So does an attribute that is set later.
    """

    model_type: ClassVar[str]
    hidden_size: int
    keys_to_ignore_at_inference: ClassVar[list[str]] = []
    has_no_defaults_at_init: ClassVar[bool] = False
    sub_configs: ClassVar[dict[str, Any]] = {}
    attribute_map: ClassVar[dict[str, str]] = {}
    # What libraries ask of any config; a file may set another value, which is read and written back.
    is_encoder_decoder: bool = False
    is_decoder: bool = False
    add_cross_attention: bool = False
    torchscript: bool = False
    tie_encoder_decoder: bool = False
    cross_attention_hidden_size: int | None = None
    finetuning_task: str | None = None
    task_specific_params: dict[str, Any] | None = None
    prefix: str | None = None
    decoder_start_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    sep_token_id: int | None = None
    tokenizer_class: str | None = None
    transformers_version: str | None = None

    def __init__(
        self,
        *,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        return_dict: bool = True,
        dtype: str | torch.dtype | None = None,
        pruned_heads: Mapping[int, list[int]] | None = None,
        tie_word_embeddings: bool = True,
        chunk_size_feed_forward: int = 0,
        architectures: list[str] | None = None,
        id2label: Mapping[Any, str] | None = None,
        label2id: Mapping[str, int] | None = None,
        num_labels: int | None = None,
        problem_type: str | None = None,
        pad_token_id: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Set the shared keys.

        Args:
            output_hidden_states: Whether `forward` returns every layer's output unless a call says otherwise.
            output_attentions: Whether `forward` returns every layer's attention unless a call says otherwise.
            return_dict: Whether `forward` returns named values, not a tuple, unless a call says otherwise.
            dtype: The dtype of the stored weights; `torch_dtype` is the same key.
            pruned_heads: The attention heads that were removed, by layer.
            tie_word_embeddings: Whether the decoder of words shares the table of words.
            chunk_size_feed_forward: Read and written back; layers are never chunked here.
            architectures: The classes that the checkpoint was saved from.
            id2label: The name of each class of the classifier.
            label2id: The inverse of `id2label`.
            num_labels: So many classes without names, when `id2label` is not given.
            problem_type: One of `PROBLEM_TYPES`; when None, the labels decide which loss is used.
            pad_token_id: The token whose embedding is not trained.
            **kwargs: Any other key.

        Raises:
            ValueError: A value is of no use, or `problem_type` is not known.
        """
        for name, labels in (("id2label", id2label), ("label2id", label2id)):
            if labels is not None and not isinstance(labels, Mapping):
                raise ValueError(f"{name} is {labels!r:.100}; it is an object of labels")
        if problem_type is not None and problem_type not in PROBLEM_TYPES:
            raise ValueError(f"problem_type {problem_type!r} is not one of {', '.join(PROBLEM_TYPES)}")
        self.output_hidden_states = output_hidden_states
        self.output_attentions = output_attentions
        self.return_dict = return_dict
        self.dtype = dtype if dtype is not None else kwargs.pop("torch_dtype", None)
        self.pruned_heads = {int(layer): list(heads) for layer, heads in (pruned_heads or {}).items()}
        self.tie_word_embeddings = tie_word_embeddings
        self.chunk_size_feed_forward = chunk_size_feed_forward
        self.architectures = architectures
        self.id2label = numbered_labels(2 if num_labels is None else num_labels)
        if id2label is not None:
            self.id2label = {int(index): label for index, label in id2label.items()}
        self.label2id = dict(label2id) if label2id is not None else inverse_labels(self.id2label)
        self.problem_type = problem_type
        self.pad_token_id = pad_token_id
        self._name_or_path = str(kwargs.pop("name_or_path", ""))
        self._commit_hash: str | None = kwargs.pop("_commit_hash", None)
        self._attn_implementation = attention_named(kwargs.pop("attn_implementation", None))
        kwargs.pop("torch_dtype", None)
        kwargs.pop("model_type", None)  # the class
        for key, value in kwargs.items():
            setattr(self, key, value)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__("dtype" if name == "torch_dtype" else name, value)

    if not TYPE_CHECKING:  # a type checker sees the attributes that classes set, and no others

        def __getattr__(self, name: str) -> Any:
            if name == "torch_dtype":
                return self.dtype
            raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    def __iter__(self) -> Iterator[str]:
        yield from self.__dict__

    @property
    def dtype(self) -> torch.dtype | None:
        """Return the dtype of the stored weights; None when the config does not tell.

        It may be set by its name. Torch is imported when it is asked for: all published configs name one, and readers
        of tables need none.
        """
        value = self.__dict__["dtype"]
        if isinstance(value, str):
            value = self.__dict__["dtype"] = dtype_named(value)
        return value

    @dtype.setter
    def dtype(self, value: str | torch.dtype | None) -> None:
        if isinstance(value, str) and value.removeprefix("torch.") not in COMMON_DTYPES:
            value = dtype_named(value)
        self.__dict__["dtype"] = value

    @property
    def num_labels(self) -> int:
        """Return the number of classes; setting another number renames them LABEL_0, LABEL_1, ..."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        if count != len(self.id2label):
            self.id2label = numbered_labels(count)
            self.label2id = inverse_labels(self.id2label)

    @property
    def use_return_dict(self) -> bool:
        """Return whether models return named values: the same as `return_dict`."""
        return self.return_dict

    @property
    def name_or_path(self) -> str:
        """Return where the checkpoint was read from; empty for a config made here."""
        return self._name_or_path

    @name_or_path.setter
    def name_or_path(self, value: object) -> None:
        self._name_or_path = str(value)

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Self:
        """Return the config of the part that reads texts: the whole one."""
        del decoder, encoder
        return self

    @property
    def images(self) -> int:
        """Return the number of images that the model reads with a text."""
        return 1

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """Make a config from the keys of a `config.json`.

        Args:
            config_dict: The keys and values.
            return_unused_kwargs: Return those of `kwargs` that are no keys of the config too.
            **kwargs: Values that replace those of `config_dict`.

        Returns:
            The config; with `return_unused_kwargs`, the config and a dict.

        Raises:
            ValueError: `num_labels` and `id2label` disagree, or a value is of no use.
        """
        labels, count = kwargs.get("id2label"), kwargs.get("num_labels")
        if labels is not None and count is not None and len(labels) != count:
            raise ValueError(f"num_labels is {count}, but id2label names {len(labels)}; leave one of them out")
        values, implementation = dict(config_dict), kwargs.pop("attn_implementation", None)
        if implementation is not None:
            values["attn_implementation"] = implementation
        config = cls(**values)
        unused = {}
        for key, value in kwargs.items():
            if not hasattr(config, key):
                unused[key] = value
                continue
            setattr(config, key, {int(k): v for k, v in value.items()} if key == "id2label" else value)
        if "id2label" in kwargs and "label2id" not in kwargs:
            config.label2id = inverse_labels(config.id2label)
        return (config, unused) if return_unused_kwargs else config

    def to_dict(self) -> dict[str, Any]:
        """Return all keys with values that JSON can hold."""
        values = {key: value for key, value in copy.deepcopy(self.__dict__).items() if key not in _NOT_WRITTEN}
        dtype = self.__dict__["dtype"]
        values["dtype"] = None if dtype is None else str(dtype).removeprefix("torch.")
        return {**values, "model_type": self.model_type}

    def to_diff_dict(self) -> dict[str, Any]:
        """Return the keys whose values are not the defaults, and those of the class."""
        values, shared = self.to_dict(), Config.__new__(Config)
        Config.__init__(shared)
        defaults, class_defaults = {**shared.__dict__, "dtype": None}, type(self)().to_dict()
        return {
            key: value
            for key, value in values.items()
            if key not in defaults or value != defaults[key] or value != class_defaults.get(key, value)
        }

    def update(self, config_dict: Mapping[str, Any]) -> None:
        """Set every key of `config_dict`."""
        for key, value in config_dict.items():
            setattr(self, key, value)
