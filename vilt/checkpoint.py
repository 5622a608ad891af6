"""Weights in and out: the only place that knows the tensor names of published checkpoints.

Reads `model.safetensors`, or `pytorch_model.bin` with `weights_only=True`, so that no pickled code ever runs.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from collections.abc import Mapping

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from vilt.storage import Folder, Source, as_folder

SAFETENSORS, BIN = "model.safetensors", "pytorch_model.bin"
Tensors = dict[str, Tensor]

_RENAMED = (  # ours -> published; those whose shape or number differs are in `to_published` and `from_published`
    (r"text\.word\.", "embeddings.text_embeddings.word_embeddings."),
    (r"text\.position\.", "embeddings.text_embeddings.position_embeddings."),
    (r"text\.token_type\.", "embeddings.text_embeddings.token_type_embeddings."),
    (r"text\.norm\.", "embeddings.text_embeddings.LayerNorm."),
    (r"image\.projection\.", "embeddings.patch_embeddings.projection."),
    (r"modality\.", "embeddings.token_type_embeddings."),
    (r"norm\.", "layernorm."),
    (r"encoder\.blocks\.(\d+)\.norm1\.", r"encoder.layer.\1.layernorm_before."),
    (r"encoder\.blocks\.(\d+)\.norm2\.", r"encoder.layer.\1.layernorm_after."),
    (r"encoder\.blocks\.(\d+)\.attention\.q\.", r"encoder.layer.\1.attention.attention.query."),
    (r"encoder\.blocks\.(\d+)\.attention\.out\.", r"encoder.layer.\1.attention.output.dense."),
    (r"encoder\.blocks\.(\d+)\.mlp\.up\.", r"encoder.layer.\1.intermediate.dense."),
    (r"encoder\.blocks\.(\d+)\.mlp\.down\.", r"encoder.layer.\1.output.dense."),
    (r"mlm_score\.dense\.", "mlm_score.transform.dense."),
    (r"mlm_score\.norm\.", "mlm_score.transform.LayerNorm."),
    (r"mlm_score\.decoder\.bias", "mlm_score.bias"),
)
_KV = re.compile(r"encoder\.blocks\.(\d+)\.attention\.kv\.(weight|bias)")


def _published_name(ours: str) -> str:
    for pattern, name in _RENAMED:
        renamed, count = re.subn(f"^{pattern}", name, ours)
        if count:
            return renamed
    return ours


def _kv_names(ours: re.Match[str]) -> list[str]:
    layer, kind = ours.groups()
    return [f"encoder.layer.{layer}.attention.attention.{name}.{kind}" for name in ("key", "value")]


def to_published(state: Mapping[str, Tensor], channels: int = 3) -> Tensors:
    """Our tensors, `ViltModel`'s and heads' (prefixed by the head's name) -> the published ones, without prefix."""
    state = dict(state)
    out: Tensors = {"embeddings.cls_token": state.pop("image.cls")[None, None]}  # (1, 1, D)
    table = state.pop("image.position").flatten(0, 1)  # (side * side, D)
    out["embeddings.position_embeddings"] = torch.cat([state.pop("image.cls_position")[None], table])[None]
    weight = state.pop("image.projection.weight")  # (D, patch * patch * channels)
    patch = round((weight.shape[1] / channels) ** 0.5)
    kernel = weight.unflatten(1, (patch, patch, channels)).permute(0, 3, 1, 2)  # (D, channels, patch, patch)
    out["embeddings.patch_embeddings.projection.weight"] = kernel
    for name, tensor in state.items():
        if fused := _KV.fullmatch(name):
            out.update(zip(_kv_names(fused), tensor.chunk(2), strict=True))
        else:
            out[_published_name(name)] = tensor
    return {name: tensor.contiguous() for name, tensor in out.items()}


def from_published(tensors: Mapping[str, Tensor], names: Mapping[str, Tensor]) -> Tensors:
    """The published tensors, without prefix -> ours, for the tensors of ours in `names`."""
    out: Tensors = {}
    for name, like in names.items():
        if name == "image.cls":
            out[name] = tensors["embeddings.cls_token"][0, 0]
        elif name == "image.cls_position":
            out[name] = tensors["embeddings.position_embeddings"][0, 0]
        elif name == "image.position":
            out[name] = tensors["embeddings.position_embeddings"][0, 1:].view_as(like)
        elif name == "image.projection.weight":
            out[name] = tensors["embeddings.patch_embeddings.projection.weight"].permute(0, 2, 3, 1).flatten(1)
        elif fused := _KV.fullmatch(name):
            out[name] = torch.cat([tensors[part] for part in _kv_names(fused)])
        else:
            out[name] = tensors[_published_name(name)]
    return out


def read(uri: Source) -> tuple[Tensors, str]:
    """The tensors of a checkpoint folder without the prefix `vilt.`, and the sha256 of the file they came from.

    The files of the original project are read by `vilt.original`.
    """
    folder = as_folder(uri)
    if folder.exists(SAFETENSORS):
        data = folder.read(SAFETENSORS)
        try:
            tensors = safetensors.torch.load(data)
        except SafetensorError as error:
            raise ValueError(f"{uri}/{SAFETENSORS} is damaged or no safetensors file: {error}") from None
    elif folder.exists(BIN):
        data = folder.read(BIN)
        try:
            tensors = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            first = str(error).splitlines()[0]
            raise ValueError(f"{uri}/{BIN} is damaged or holds more than tensors: {first}") from None
    else:
        raise FileNotFoundError(f"no {SAFETENSORS} or {BIN} in {folder.uri!r}")
    tensors = {name.removeprefix("vilt."): t for name, t in tensors.items()}
    if "mlm_score.decoder.bias" in tensors:  # as transformers 5 names it
        tensors.setdefault("mlm_score.bias", tensors["mlm_score.decoder.bias"])
    if "mlm_score.bias" in tensors:  # a decoder that is tied to the word embeddings is left out of the file
        tensors.setdefault("mlm_score.decoder.weight", tensors["embeddings.text_embeddings.word_embeddings.weight"])
    return tensors, hashlib.sha256(data).hexdigest()


def holds(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> bool:
    """Whether a checkpoint's tensors have all of a head's `wanted` ones, by our names, in the same shapes."""
    found = ((tensors.get(_published_name(name)), tensor) for name, tensor in wanted.items())
    return all(own is not None and own.shape == tensor.shape for own, tensor in found)


def fill(model: nn.Module, heads: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], source: str) -> list[str]:
    """Copy published tensors into a `ViltModel` and its heads; the names of those that found no place there.

    Raises ValueError in one line that names the tensors that are missing or have another shape.
    """
    state = _state(model, heads)
    wanted = to_published(state, model.config.num_channels)  # type: ignore[union-attr, arg-type]
    missing = [name for name in wanted if name not in tensors]
    other = [
        f"{name} is {tuple(tensors[name].shape)}, the config says {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    faults = [f"missing {name}" for name in missing] + other
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"the weights in {source!r} do not fit: {'; '.join(faults[:3])}{more}")
    with torch.no_grad():
        for name, tensor in from_published(tensors, state).items():
            state[name].copy_(tensor)
    return [name for name in tensors if name not in wanted]


def save(folder: str, model: nn.Module, heads: Mapping[str, nn.Module], dtype: torch.dtype = torch.float32) -> None:
    """Write `model.safetensors` in the published format."""
    state = {name: tensor.to(dtype) for name, tensor in _state(model, heads).items()}
    named = to_published(state, model.config.num_channels)  # type: ignore[union-attr, arg-type]
    of_heads = tuple(f"{name}." for name in heads)
    prefix = "vilt." if heads else ""  # as published: the bare model's tensors have none
    tensors = {name if name.startswith(of_heads) else prefix + name: tensor for name, tensor in named.items()}
    Folder(folder).write(SAFETENSORS, safetensors.torch.save(tensors, {"format": "pt"}))


def _state(model: nn.Module, heads: Mapping[str, nn.Module]) -> Tensors:
    state = dict(model.state_dict())
    for name, head in heads.items():
        state.update({f"{name}.{key}": tensor for key, tensor in head.state_dict().items()})
    return state
