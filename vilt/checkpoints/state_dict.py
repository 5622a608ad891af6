"""Weights in: safetensors or torch files, whole or in shards -> tensors by their published names.

Torch files are read with `weights_only=True`, so that no pickled code ever runs.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Mapping
from typing import NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from vilt.checkpoints.archives import MOST_SHARED, check_torch_file, first_line
from vilt.common.errors import CheckpointError, short
from vilt.common.folder import SAFETENSORS, Folder
from vilt.common.storage import Source, as_folder

BIN = "pytorch_model.bin"
Tensors = dict[str, Tensor]
_DECODERS = ("mlm_score", "cls.predictions")  # of words, whose weight may be the table of words
_WORDS = re.compile(r"(.*\.)?(text_embeddings|embeddings)\.word_embeddings\.weight")


class Stored(NamedTuple):
    """The content of a checkpoint's files.

    Attributes:
        tensors: By the names in the files.
        sha256: Of the file; of shards, of the index and the hashes of all files.
    """

    tensors: Tensors
    sha256: str


def with_variant(name: str, variant: str | None) -> str:
    """Return the name of a file with a variant: `model.fp16.safetensors`."""
    stem, _, end = name.rpartition(".")
    return f"{stem}.{variant}.{end}" if variant else name


def read_stored(source: Source, variant: str | None = None, use_safetensors: bool | None = None) -> Stored:
    """Read a checkpoint's tensors.

    Args:
        source: Its folder.
        variant: A word in the files' names, as "fp16".
        use_safetensors: Read safetensors only, or torch files only; None for what there is, safetensors first.

    Raises:
        FileNotFoundError: There are no weights.
        CheckpointError: A file is damaged, or holds more than tensors.
    """
    folder = as_folder(source)
    if (made := folder.stored()) is not None:
        return Stored(*made)
    kinds = [SAFETENSORS, BIN] if use_safetensors is None else [SAFETENSORS if use_safetensors else BIN]
    for kind in kinds:
        name = with_variant(kind, variant)
        if folder.exists(name):
            return Stored(*read_weights(folder, name))
        index = with_variant(f"{kind}.index.json", variant)
        if folder.exists(index):
            return _read_shards(folder, index)
    wanted = " or ".join(with_variant(kind, variant) for kind in kinds)
    raise FileNotFoundError(f"no {wanted} in {folder.uri!r}")


def _read_shards(folder: Folder, index: str) -> Stored:
    places = folder.read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise CheckpointError(f"{folder.uri}/{index} has no weight_map of tensors to files")
    tensors: Tensors = {}
    digest = hashlib.sha256(folder.read(index))
    for name in sorted(set(places.values())):
        if re.fullmatch(r"[\w.-]+", name) is None:
            raise CheckpointError(
                f"{folder.uri}/{index} names the file {short(name)}; a shard is a file of the same folder"
            )
        shard, sha256 = read_weights(folder, name)
        tensors.update(shard)
        digest.update(sha256.encode())
    if missing := [name for name in places if name not in tensors]:
        raise CheckpointError(
            f"{folder.uri}/{index} names the tensor {short(missing[0])}, which its file does not hold"
        )
    return Stored(tensors, digest.hexdigest())


def read_weights(folder: Folder, name: str) -> tuple[Tensors, str]:
    """Read one file of tensors, and its sha256. Raises CheckpointError if it is damaged, or holds more."""
    data, sha256 = folder.read_hashed(name)
    if name.endswith(".safetensors"):
        try:
            return safetensors.torch.load(data), sha256
        except Exception as error:  # SafetensorError, or what torch says of a type or a shape that it lacks
            raise CheckpointError(
                f"{folder.uri}/{name} is damaged or no safetensors file: {first_line(error)}"
            ) from None
    check_torch_file(data, f"{folder.uri}/{name}")
    damaged = f"{folder.uri}/{name} is damaged or holds more than tensors"
    try:
        tensors = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # there is no telling how a damaged pickle fails
        raise CheckpointError(f"{damaged}: {first_line(error)}") from None
    if not isinstance(tensors, dict):
        raise CheckpointError(f"{damaged}: it is no dict of tensors")
    left: float = MOST_SHARED * len(data)
    for key, tensor in tensors.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(f"{damaged}: it is no dict of tensors")
        left -= _bytes_on_cpu(tensor)
        if left < 0:
            raise CheckpointError(
                f"{damaged}: {short(key)} is {tuple(tensor.shape)}, and the file has {len(data)} bytes"
            )
    return dict(tensors), sha256


def _bytes_on_cpu(tensor: Tensor) -> float:
    """Return the bytes of a plain tensor that is copied whole; infinity for any other kind, as sparse ones."""
    return tensor.nbytes if tensor.layout == torch.strided and tensor.device.type == "cpu" else math.inf


def without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    """Return the tensors with the model's prefix, as `vilt.`, taken off their names."""
    return {name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items()}


def completed(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the tensors by today's names, with those that files leave out because they are shared.

    A decoder of words may share the table of words, and has one bias under two names.
    """
    out = {today(name): tensor for name, tensor in tensors.items()}
    words = next((name for name in out if _WORDS.fullmatch(name)), None)
    for decoder in _DECODERS:
        names = (f"{decoder}.bias", f"{decoder}.decoder.bias")
        bias = next((out[name] for name in names if name in out), None)
        if bias is None:
            continue
        out.update(dict.fromkeys(names, bias))
        if words is not None:
            out.setdefault(f"{decoder}.decoder.weight", out[words])
    return out


def tied(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the tensors with the table of words as the weight of decoders of words, for configs that say so."""
    words = next((tensor for name, tensor in tensors.items() if _WORDS.fullmatch(name)), None)
    weights = {f"{decoder}.decoder.weight" for decoder in _DECODERS}
    return {name: words if name in weights and words is not None else tensor for name, tensor in tensors.items()}


def today(name: str) -> str:
    """Return the name of a tensor as published since 2019: norms had gamma and beta before."""
    return re.sub(r"LayerNorm\.(gamma|beta)$", lambda m: f"LayerNorm.{'weight' if m[1] == 'gamma' else 'bias'}", name)


def read(source: Source, prefix: str | None = None) -> tuple[Tensors, str]:
    """Read a checkpoint's tensors without the model's prefix, complete, and the sha256 of their file.

    Args:
        source: Its folder.
        prefix: The model's prefix, as "vilt"; None for `model_type` in its `config.json`.
    """
    folder = as_folder(source)
    stored = read_stored(folder)
    if prefix is None:
        prefix = model_type_of(folder)
    return completed(without_prefix(stored.tensors, prefix)), stored.sha256


def model_type_of(folder: Folder) -> str:
    """Return the `model_type` in the config of a checkpoint, which is the prefix of its tensors."""
    return str(folder.read_json("config.json").get("model_type", "vilt"))


def holds(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> bool:
    """Tell whether a checkpoint has all the tensors of `wanted` in the same shapes."""
    found = ((tensors.get(name), tensor) for name, tensor in wanted.items())
    return all(like is not None and like.shape == tensor.shape for like, tensor in found)
