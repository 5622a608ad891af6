"""Conversion of the layers that ViT and ViLT share to the fast encoder's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vilt.inference.encoder import LayerParts


def pre_norm_parts(layers: Iterable[Any]) -> list[LayerParts]:
    """Return the parts of published layers whose norms come first; see `vilt.models.layers.PreNormLayer`."""
    return [
        LayerParts(
            layer.attention.attention.query,
            layer.attention.attention.key,
            layer.attention.attention.value,
            layer.attention.output.dense,
            layer.intermediate.dense,
            layer.output.dense,
            layer.layernorm_before,
            layer.layernorm_after,
            layer.attention.attention.num_attention_heads,
            layer.intermediate.intermediate_act_fn,
        )
        for layer in layers
    ]
