"""The config of VisualBERT, which reads a text and the features of an image's regions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from vilt.common.configuration import Config

if TYPE_CHECKING:
    from torch import Tensor


class VisualBertConfig(Config):
    """VisualBERT's `config.json`. The defaults are those of visualbert-vqa-coco-pre (arXiv 1908.03557)."""

    model_type: ClassVar[str] = "visual_bert"

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        visual_embedding_dim: int = 512,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str | Callable[[Tensor], Tensor] = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        bypass_transformer: bool = False,
        special_visual_initialize: bool = True,
        pad_token_id: int | None = 1,
        bos_token_id: int | None = 0,
        eos_token_id: int | None = 2,
        **kwargs: Any,
    ) -> None:
        """Set the keys, named and ordered as published; see `Config` for those that all models share.

        With `bypass_transformer` the text alone goes through the stack, and one more block reads it with the regions.
        With `special_visual_initialize` a new model's position and token type tables of regions begin as copies of the
        text's.
        """
        super().__init__(pad_token_id=pad_token_id, bos_token_id=bos_token_id, eos_token_id=eos_token_id, **kwargs)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.visual_embedding_dim = visual_embedding_dim
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.bypass_transformer = bypass_transformer
        self.special_visual_initialize = special_visual_initialize
