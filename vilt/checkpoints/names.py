"""Our tensors' names <-> those of published checkpoints, for each kind of model."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

Tensors = dict[str, Tensor]
Renamed = tuple[tuple[str, str], ...]  # ours -> published; what changes its shape is in the functions

_BLOCK = r"(encoder\.blocks\.\d+|additional)\."  # a block of ours; published as the name that `_layer` gives
_VIT_BLOCKS: Renamed = (
    (rf"{_BLOCK}norm1\.", r"\1.layernorm_before."),
    (rf"{_BLOCK}norm2\.", r"\1.layernorm_after."),
    (rf"{_BLOCK}attention\.(q|k|v)\.", r"\1.attention.attention.\2."),
)
_BERT_BLOCKS: Renamed = (
    (rf"{_BLOCK}norm1\.", r"\1.attention.output.LayerNorm."),
    (rf"{_BLOCK}norm2\.", r"\1.output.LayerNorm."),
    (rf"{_BLOCK}attention\.(q|k|v)\.", r"\1.attention.self.\2."),
)
_BLOCKS_AND_HEADS: Renamed = (
    (rf"{_BLOCK}attention\.out\.", r"\1.attention.output.dense."),
    (rf"{_BLOCK}mlp\.up\.", r"\1.intermediate.dense."),
    (rf"{_BLOCK}mlp\.down\.", r"\1.output.dense."),
    (r"(mlm_score|cls\.predictions)\.dense\.", r"\1.transform.dense."),
    (r"(mlm_score|cls\.predictions)\.norm\.", r"\1.transform.LayerNorm."),
    (r"(mlm_score|cls\.predictions)\.decoder\.bias", r"\1.bias"),
)
_PATCHES: Renamed = ((r"image\.projection\.", "embeddings.patch_embeddings.projection."), (r"norm\.", "layernorm."))


def _text(folder: str) -> Renamed:
    """BERT's embeddings of texts."""
    names = [(f"{name}", f"{name}_embeddings") for name in ("word", "position", "token_type")]
    return tuple((rf"text\.{ours}\.", f"{folder}.{name}.") for ours, name in [*names, ("norm", "LayerNorm")])


RENAMED: dict[str, Renamed] = {
    "vilt": (
        *_text("embeddings.text_embeddings"),
        (r"modality\.", "embeddings.token_type_embeddings."),
        *_PATCHES,
        *_VIT_BLOCKS,
        *_BLOCKS_AND_HEADS,
    ),
    "vit": (*_PATCHES, *_VIT_BLOCKS, *_BLOCKS_AND_HEADS),
    "visual_bert": (
        *_text("embeddings"),
        (r"visual\.projection\.", "embeddings.visual_projection."),
        (r"visual\.(position|token_type)\.", r"embeddings.visual_\1_embeddings."),
        *_BERT_BLOCKS,
        *_BLOCKS_AND_HEADS,
    ),
}
WORDS = {
    "vilt": "embeddings.text_embeddings.word_embeddings.weight",
    "visual_bert": "embeddings.word_embeddings.weight",
}  # the table that a tied decoder shares
_KV = re.compile(rf"({_BLOCK}attention\.)kv\.(weight|bias)")
_ROLES = {"q": "query", "k": "key", "v": "value"}


def published_name(ours: str, kind: str) -> str:
    """Of one of our tensors, without the model's prefix."""
    for pattern, name in RENAMED[kind]:
        found = re.match(pattern, ours)
        if found:
            role = re.sub(r"\.([qkv])\.$", lambda m: f".{_ROLES[m[1]]}.", found.expand(name))
            return _layer(role + ours[found.end() :])
    return ours


def _layer(name: str) -> str:
    """A block's own name as published."""
    name = re.sub(r"^encoder\.blocks\.", "encoder.layer.", name)
    return re.sub(r"^additional\.", "additional_layer.", name)


def _kv_names(fused: re.Match[str], kind: str) -> list[str]:
    attention, _, part = fused.groups()
    return [published_name(f"{attention}{role}.{part}", kind) for role in "kv"]


def to_published(state: Mapping[str, Tensor], kind: str, channels: int = 3) -> Tensors:
    """Our tensors, a model's and heads' (prefixed by the head's name) -> the published ones, without prefix."""
    state = dict(state)
    out: Tensors = {}
    if "image.cls" in state:
        out["embeddings.cls_token"] = state.pop("image.cls")[None, None]  # (1, 1, D)
        table = state.pop("image.position").flatten(0, 1)  # (side * side, D)
        out["embeddings.position_embeddings"] = torch.cat([state.pop("image.cls_position")[None], table])[None]
        weight = state.pop("image.projection.weight")  # (D, patch * patch * channels)
        patch = round((weight.shape[1] / channels) ** 0.5)
        kernel = weight.unflatten(1, (patch, patch, channels)).permute(0, 3, 1, 2)  # (D, channels, patch, patch)
        out["embeddings.patch_embeddings.projection.weight"] = kernel
    if "mask" in state:
        out["embeddings.mask_token"] = state.pop("mask")[None, None]
    for name, tensor in state.items():
        if fused := _KV.fullmatch(name):
            out.update(zip(_kv_names(fused, kind), tensor.chunk(2), strict=True))
        else:
            out[published_name(name, kind)] = tensor
    return {name: tensor.contiguous() for name, tensor in out.items()}


def from_published(tensors: Mapping[str, Tensor], names: Mapping[str, Tensor], kind: str) -> Tensors:
    """The published tensors, without prefix -> ours, for the tensors of ours in `names`."""
    out: Tensors = {}
    for name, like in names.items():
        if name == "image.cls":
            out[name] = tensors["embeddings.cls_token"][0, 0]
        elif name == "mask":
            out[name] = tensors["embeddings.mask_token"][0, 0]
        elif name == "image.cls_position":
            out[name] = tensors["embeddings.position_embeddings"][0, 0]
        elif name == "image.position":
            out[name] = tensors["embeddings.position_embeddings"][0, 1:].view_as(like)
        elif name == "image.projection.weight":
            out[name] = tensors["embeddings.patch_embeddings.projection.weight"].permute(0, 2, 3, 1).flatten(1)
        elif fused := _KV.fullmatch(name):
            out[name] = torch.cat([tensors[part] for part in _kv_names(fused, kind)])
        else:
            out[name] = tensors[published_name(name, kind)]
    return out
