"""The keys that configs of models of patches share, and checks of sizes. Imports no torch."""

from __future__ import annotations

from typing import Any

from vilt.common.configuration import Config


class PatchConfig(Config):
    """The keys of models that cut an image into patches."""

    image_size: int | tuple[int, int]
    patch_size: int | tuple[int, int]
    num_channels: int

    @property
    def table_grid(self) -> tuple[int, int]:
        """Rows and columns of the position table: 12 and 12 for ViLT-B/32, 14 and 14 for ViT-B/16."""
        height, width = both(self.image_size)
        rows, cols = both(self.patch_size)
        return height // rows, width // cols


def both(size: Any) -> tuple[int, int]:
    """Return the height and width that a number, for both, or a pair stands for."""
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return height, width


def check_heads(hidden_size: int, num_attention_heads: int) -> None:
    """Raise ValueError unless the heads share the hidden size evenly."""
    if hidden_size % num_attention_heads:
        raise ValueError(f"hidden_size {hidden_size} is not a multiple of num_attention_heads {num_attention_heads}")
