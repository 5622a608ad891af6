"""What a checkpoint holds, without its numbers: names, shapes and dtypes, and the hash of its file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator

import torch

from vilt.checkpoints.state_dict import Tensors, completed, model_type_of, read, without_prefix
from vilt.common.folder import SAFETENSORS
from vilt.common.storage import Source, as_folder

BLOCK = 2**22  # bytes that are hashed at a time: they stay in the core's cache
MOST_HEADER_BYTES = 100_000_000  # as safetensors itself allows
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def describe(source: Source, prefix: str | None = None) -> tuple[Tensors, str]:
    """Do as `vilt.checkpoints.state_dict.read`, with tensors that may have no numbers: those of the meta device.

    One safetensors file on this machine is hashed piece by piece, and only its header is kept. Anything else, and any
    file with a header that is not plainly right, is read whole, so that what is wrong with it is said as ever.

    Args:
        source: Its folder.
        prefix: The model's prefix, as "vilt"; None for `model_type` in its `config.json`.

    Raises:
        FileNotFoundError: There are no weights.
        CheckpointError: A file is damaged, or holds more than tensors.
    """
    folder = as_folder(source)
    path = folder.local_path(SAFETENSORS) if folder.is_plain else None
    if path is None:
        return read(folder, prefix)
    header, digest, size = b"", hashlib.sha256(), 0
    for block in _blocks(path):
        digest.update(block)
        size += len(block)
        if len(header) < 8 or len(header) < 8 + min(int.from_bytes(header[:8], "little"), MOST_HEADER_BYTES):
            header += block
    tensors = _tensors(header, size)
    if tensors is None:
        return read(folder, prefix)
    if prefix is None:
        prefix = model_type_of(folder)
    return completed(without_prefix(tensors, prefix)), digest.hexdigest()


def _blocks(path: str) -> Iterator[memoryview]:
    """Read a file into the same memory again and again."""
    memory = memoryview(bytearray(BLOCK))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(memory):
            yield memory[:count]


def _tensors(header: bytes, size: int) -> Tensors | None:
    """Return the tensors of a safetensors file of `size` bytes, as it begins; None if it is not plainly right."""
    length = int.from_bytes(header[:8], "little")
    if len(header) < 8 or length > MOST_HEADER_BYTES or len(header) < 8 + length:
        return None
    try:
        entries = json.loads(header[8 : 8 + length])
        entries.pop("__metadata__", None)
        found = sorted((*entry["data_offsets"], name, entry) for name, entry in entries.items())
        at, tensors = 0, {}
        for begin, end, name, entry in found:
            dtype, shape = DTYPES[entry["dtype"]], entry["shape"]
            whole = all(type(side) is int and side >= 0 for side in shape)
            if not whole or begin != at or end - begin != math.prod(shape) * dtype.itemsize:
                return None
            tensors[name], at = torch.empty(shape, dtype=dtype, device="meta"), end
    except Exception:  # there is no telling what stands there
        return None
    return tensors if at == size - 8 - length else None
