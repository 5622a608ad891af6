"""Weights out: `state_dict` -> safetensors or torch files, in shards when they are large."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Collection, Mapping

import safetensors.torch
import torch
from torch import Tensor

from vilt.checkpoints.state_dict import BIN, with_variant
from vilt.common.folder import SAFETENSORS, Folder

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def save_weights(
    folder: str,
    state: Mapping[str, Tensor],
    tied: Collection[str] = (),
    *,
    max_shard_size: int | str = "5GB",
    safe_serialization: bool = True,
    variant: str | None = None,
) -> None:
    """Write the tensors of a model into a folder, tensors that share memory once.

    Args:
        folder: A local folder or a URI that fsspec opens.
        state: The tensors by their names.
        tied: The names to leave out of those that share memory.
        max_shard_size: The most bytes of a file, as 5000000, "5MB" or "2GiB"; more go into shards with an index.
        safe_serialization: Write safetensors, not torch files.
        variant: A word in the file's name, as "fp16".

    Raises:
        ValueError: `max_shard_size` is not a size.
    """
    whole = with_variant(SAFETENSORS if safe_serialization else BIN, variant)
    target, shards = Folder(folder), split(distinct(state, tied), bytes_of(max_shard_size))
    if len(shards) == 1:
        target.write(whole, _content(shards[0], safe_serialization))
        return
    stem, _, end = whole.rpartition(".")
    places: dict[str, str] = {}
    for i, shard in enumerate(shards, 1):
        name = f"{stem}-{i:05d}-of-{len(shards):05d}.{end}"
        target.write(name, _content(shard, safe_serialization))
        places.update(dict.fromkeys(shard, name))
    total = sum(tensor.nbytes for shard in shards for tensor in shard.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    target.write(with_variant(f"{SAFETENSORS if safe_serialization else BIN}.index.json", variant), json.dumps(index))


def distinct(state: Mapping[str, Tensor], tied: Collection[str] = ()) -> dict[str, Tensor]:
    """Return the tensors without those that share all their memory with another one.

    Args:
        state: The tensors by their names.
        tied: The names to leave out, rather than the others, of those that share.
    """
    kept: dict[tuple[object, ...], str] = {}
    for name in sorted(state, key=lambda name: name in tied):  # stable: the others first, in their order
        tensor = state[name]
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype) if tensor.numel() else (name,)
        kept.setdefault(key, name)
    names = set(kept.values())
    return {name: tensor for name, tensor in state.items() if name in names}


def split(tensors: Mapping[str, Tensor], most: int) -> list[dict[str, Tensor]]:
    """Return the tensors in order, in parts of at most so many bytes; a larger tensor is a part of its own."""
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + tensor.nbytes > most:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    return shards


def bytes_of(size: int | str) -> int:
    """Return a size such as "5GB" in bytes. Raises ValueError when it is none."""
    if isinstance(size, int):
        return size
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]I?B)?\s*", size.upper())
    if match is None:
        raise ValueError(f"max_shard_size {size!r} is not a size such as 5000000, '5MB' or '2GiB'")
    return int(float(match[1]) * _UNITS[match[2] or ""])


def _content(tensors: Mapping[str, Tensor], safe: bool) -> bytes:
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if safe:
        data: bytes = safetensors.torch.save(contiguous, {"format": "pt"})
        return data
    buffer = io.BytesIO()
    torch.save(contiguous, buffer)
    return buffer.getvalue()
