"""Weights in and out, by the tensor names of published checkpoints, see `vilt.checkpoints.names`.

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

from vilt.checkpoints.names import RENAMED, WORDS, Tensors, from_published, published_name, to_published
from vilt.common.configuration import Config
from vilt.common.storage import Folder, Source, as_folder

SAFETENSORS, BIN = "model.safetensors", "pytorch_model.bin"
PREFIX = re.compile(rf"({'|'.join(RENAMED)})\.")  # of a model below its heads
_DECODERS = ("mlm_score", "cls.predictions")


def read(uri: Source) -> tuple[Tensors, str]:
    """The tensors of a checkpoint folder without the model's prefix, as `vilt.`, and the sha256 of their file.

    The files of the original project are read by `vilt.models.vilt.original`.
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
    tensors = {PREFIX.sub("", name, count=1) if PREFIX.match(name) else name: t for name, t in tensors.items()}
    words = next((name for name in WORDS.values() if name in tensors), None)
    for decoder in _DECODERS:
        if f"{decoder}.decoder.bias" in tensors:  # as transformers 5 names it
            tensors.setdefault(f"{decoder}.bias", tensors[f"{decoder}.decoder.bias"])
        if f"{decoder}.bias" in tensors and words:  # a decoder that is tied to the word embeddings is not in the file
            tensors.setdefault(f"{decoder}.decoder.weight", tensors[words])
    return tensors, hashlib.sha256(data).hexdigest()


def holds(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], kind: str) -> bool:
    """Whether a checkpoint's tensors have all of a head's `wanted` ones, by our names, in the same shapes."""
    found = ((tensors.get(published_name(name, kind)), tensor) for name, tensor in wanted.items())
    return all(own is not None and own.shape == tensor.shape for own, tensor in found)


def fill(model: nn.Module, heads: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], source: str) -> list[str]:
    """Copy published tensors into a model and its heads; the names of those that found no place there.

    Raises ValueError in one line that names the tensors that are missing or have another shape.
    """
    state, config = _state(model, heads), _config(model)
    wanted = to_published(state, config.model_type, getattr(config, "num_channels", 3))
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
        for name, tensor in from_published(tensors, state, config.model_type).items():
            state[name].copy_(tensor)
    return [name for name in tensors if name not in wanted]


def save(folder: str, model: nn.Module, heads: Mapping[str, nn.Module], dtype: torch.dtype = torch.float32) -> None:
    """Write `model.safetensors` in the published format; a decoder that is tied to the word embeddings is left out."""
    state, config = _state(model, heads), _config(model)
    tied = [
        name for name in state if name.endswith("decoder.weight") and _is(state[name], state.get("text.word.weight"))
    ]
    kept = {name: tensor.to(dtype) for name, tensor in state.items() if name not in tied}
    named = to_published(kept, config.model_type, getattr(config, "num_channels", 3))
    of_heads = tuple(f"{name}." for name in heads)
    prefix = f"{config.model_type}." if heads else ""  # as published: the bare model's tensors have none
    tensors = {name if name.startswith(of_heads) else prefix + name: tensor for name, tensor in named.items()}
    Folder(folder).write(SAFETENSORS, safetensors.torch.save(tensors, {"format": "pt"}))


def _is(tensor: Tensor, other: Tensor | None) -> bool:
    """Whether both are one tensor."""
    return other is not None and tensor.data_ptr() == other.data_ptr()


def _config(model: nn.Module) -> Config:
    return model.config  # type: ignore[return-value]


def _state(model: nn.Module, heads: Mapping[str, nn.Module]) -> Tensors:
    state = dict(model.state_dict())
    for name, head in heads.items():
        state.update({f"{name}.{key}": tensor for key, tensor in head.state_dict().items()})
    return state
