"""The config of ViLT, which reads a text and an image's patches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from vilt.common.patch_config import PatchConfig

if TYPE_CHECKING:
    from torch import Tensor


class ViltConfig(PatchConfig):
    """ViLT's `config.json`. The defaults are those of ViLT-B/32 (arXiv 2102.03334)."""

    model_type: ClassVar[str] = "vilt"
    image_size: int
    patch_size: int

    def __init__(
        self,
        vocab_size: int = 30522,
        type_vocab_size: int = 2,
        modality_type_vocab_size: int = 2,
        max_position_embeddings: int = 40,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str | Callable[[Tensor], Tensor] = "gelu",
        hidden_dropout_prob: float = 0.0,
        attention_probs_dropout_prob: float = 0.0,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        image_size: int = 384,
        patch_size: int = 32,
        num_channels: int = 3,
        qkv_bias: bool = True,
        max_image_length: int = -1,
        tie_word_embeddings: bool = False,
        num_images: int = -1,
        **kwargs: Any,
    ) -> None:
        """Set the keys, named and ordered as published; see `Config` for those that all models share."""
        super().__init__(tie_word_embeddings=tie_word_embeddings, **kwargs)
        self.vocab_size = vocab_size
        self.type_vocab_size = type_vocab_size
        self.modality_type_vocab_size = modality_type_vocab_size
        self.max_position_embeddings = max_position_embeddings
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.image_size = image_size
        self.patch_size = patch_size
        self.num_channels = num_channels
        self.qkv_bias = qkv_bias
        self.max_image_length = max_image_length
        self.num_images = num_images

    @property
    def images(self) -> int:
        """Return the number of images that the model reads with a text: `num_images` if it is set, else one."""
        return max(1, self.num_images)
