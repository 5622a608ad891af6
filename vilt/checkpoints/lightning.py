"""PyTorch Lightning's `.ckpt` files, read without running any of the code that is pickled in them.

A file is a zip archive of `data.pkl`, a pickle of nested dicts, and `data/N`, the bytes of each storage. The pickle
also names classes and functions: of callbacks, optimizers, configs. Those that tensors are made of are known here;
every other is replaced by `Foreign`, which does nothing. So a pickle can call nothing that was not written here.
"""

from __future__ import annotations

import hashlib
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vilt.checkpoints.archives import MOST_SHARED, check_pickle, first_line, open_archive, read_pickle
from vilt.common.errors import CheckpointError, short
from vilt.common.storage import read_file

MOST_DIMENSIONS = 8

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class Lightning(NamedTuple):
    """A model as a file holds it: its tensors by their names there, how it was made, and the file's sha256."""

    tensors: dict[str, Tensor]
    hyper_parameters: Mapping[Any, Any]
    sha256: str


class Foreign(dict[Any, Any]):
    """A stand-in for any class or function of a pickle: keeps the entries and attributes that it is given."""

    def __new__(cls, *_args: Any, **_values: Any) -> Foreign:
        """Make an empty one, whatever a class would have been made with."""
        return super().__new__(cls)

    def __init__(self, *_args: Any, **_values: Any) -> None:
        super().__init__()

    def __call__(self, *_args: Any, **_values: Any) -> Foreign:
        """Stand for what a foreign function would have made."""
        return Foreign()

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.update(state)

    def append(self, _item: Any) -> None:
        """Forget an item of a foreign list."""

    def extend(self, _items: Any) -> None:
        """Forget an item of a foreign list."""


class _Storage(NamedTuple):
    dtype: torch.dtype
    key: str  # its bytes are in data/KEY
    numel: int


class _Stored(NamedTuple):
    """A tensor that is not read yet."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Gives `_Stored` for tensors and `Foreign` for all that is not a tensor, a plain value or a dict."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for `module.name`; functions are made anew, as a pickle may set their attributes."""
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: _Stored(storage, offset, size, stride)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        return Foreign

    def persistent_load(self, pid: Any) -> _Storage:
        """Read a storage: ("storage", type, key, device, number of elements)."""
        _, dtype, key, _, numel = pid
        if not isinstance(dtype, torch.dtype) or not isinstance(key, str) or not isinstance(numel, int):
            raise pickle.UnpicklingError("a storage without type, name and size")
        return _Storage(dtype, key, numel)


def read(uri: str, data: bytes | None = None) -> Lightning:
    """Read a local file or any URI that fsspec opens.

    Raises:
        CheckpointError: The file is damaged, is none of torch's zip files, or holds no `state_dict` of tensors.
        FileNotFoundError: There is no such file.
    """
    data = read_file(uri) if data is None else data
    if not data.startswith(b"PK"):
        raise CheckpointError(
            f"{uri!r} is no zip file as torch writes them since version 1.6; older formats are not read"
        )
    archive = open_archive(data, repr(uri))
    pickled = next((name for name in archive.namelist() if name.endswith("/data.pkl")), "data.pkl")
    stream = read_pickle(archive, pickled, repr(uri))
    check_pickle(stream, repr(uri))
    stream.seek(0)
    try:
        content = _Unpickler(stream).load()
    except Exception as error:  # there is no telling how a damaged pickle fails
        raise CheckpointError(f"{uri!r} is truncated or damaged: {first_line(error)}") from None
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        raise CheckpointError(f"{uri!r} is no Lightning checkpoint: it holds no 'state_dict'")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, _Stored):
            raise CheckpointError(f"{uri!r}: {short(name)} in its 'state_dict' is not a tensor")
    root, left = pickled.removesuffix("data.pkl"), MOST_SHARED * len(data)
    tensors: dict[str, Tensor] = {}
    for name, stored in state.items():
        tensors[name] = _tensor(archive, root, stored, f"{uri!r}: {name[:200]}")
        left -= tensors[name].nbytes
        if left < 0:
            raise CheckpointError(f"{uri!r}: its tensors have more than {MOST_SHARED} times the bytes of the file")
    hyper = content.get("hyper_parameters")
    return Lightning(tensors, hyper if isinstance(hyper, dict) else {}, hashlib.sha256(data).hexdigest())


def _tensor(archive: zipfile.ZipFile, root: str, stored: _Stored, where: str) -> Tensor:
    """Read one tensor. Raises CheckpointError, which begins with `where`."""
    try:
        dtype, key, numel = stored.storage
        size, stride = stored.size, stored.stride
        if not len(size) == len(stride) <= MOST_DIMENSIONS or not all(isinstance(i, int) for i in (*size, *stride)):
            raise ValueError(f"the shape is {short(size)}")
        if any(not 0 < i <= numel for i in size) or math.prod(size) > numel:
            raise ValueError(f"{numel} numbers for the shape {short(size)}")
        data = archive.read(f"{root}data/{key}")
        if len(data) != numel * dtype.itemsize:
            raise ValueError(f"{len(data)} bytes for {numel} numbers of {dtype}")
        values = torch.frombuffer(bytearray(data), dtype=dtype)
        return values.as_strided(size, stride, stored.offset).contiguous()
    except Exception as error:  # a pickle may say anything of a tensor
        raise CheckpointError(f"{where} is damaged: {first_line(error)}") from None
