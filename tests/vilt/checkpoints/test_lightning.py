"""Lightning's `.ckpt` files: tensors of every kind and layout, and no code."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vilt.checkpoints.lightning import Foreign, read

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool,
]  # fmt: skip


def saved(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


class Callback:
    """A class that only the program that wrote the file has."""

    def __init__(self) -> None:
        self.best = 1.0


class RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("ran-code",)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_of_every_type(dtype: torch.dtype) -> None:
    tensor = torch.arange(6).reshape(2, 3).to(dtype)
    found = read("x.ckpt", saved({"state_dict": OrderedDict(a=tensor, p=torch.nn.Parameter(torch.ones(2)))}))
    assert found.tensors["a"].dtype == dtype
    assert torch.equal(found.tensors["a"], tensor)
    assert torch.equal(found.tensors["p"], torch.ones(2))


@given(st.permutations(range(3)), st.integers(0, 3), st.integers(1, 2))
def test_views_and_shared_storages(order: list[int], begin: int, step: int) -> None:
    whole = torch.arange(4 * 5 * 6).reshape(4, 5, 6)
    view = whole[begin:, ::step].permute(order)
    found = read("x", saved({"state_dict": {"whole": whole, "view": view, "scalar": torch.tensor(7)}})).tensors
    assert torch.equal(found["view"], view)
    assert found["view"].is_contiguous()
    assert found["scalar"].shape == ()


def test_what_else_a_file_holds(tmp_path: Path) -> None:
    content = {
        "state_dict": {"a": torch.ones(1)},
        "hyper_parameters": {"hidden_size": 768, "loss_names": {"itm": 1}, "callback": Callback()},
        "callbacks": [Callback()],
        "optimizer_states": [RunsCode()],
    }
    (tmp_path / "x.ckpt").write_bytes(data := saved(content))
    found = read(str(tmp_path / "x.ckpt"))
    assert (found.hyper_parameters["hidden_size"], found.hyper_parameters["loss_names"]) == (768, {"itm": 1})
    assert isinstance(found.hyper_parameters["callback"], Foreign)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert not Path("ran-code").exists()


def rezipped(data: bytes, **changed: bytes) -> bytes:
    """The file with other bytes of some members, named without their folder and dots."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, changed.get(name.partition("/")[2].replace("/", "_").replace(".", "_"), old.read(name)))
    return buffer.getvalue()


GOOD = saved({"state_dict": {"a": torch.ones(4)}})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "'x' is no zip file as torch writes them since version 1.6; older formats are not read"),
        (pickle.dumps({}), "'x' is no zip file as torch writes them since version 1.6; older formats are not read"),
        (GOOD[:-30], "'x' is truncated or damaged: "),
        (rezipped(GOOD, data_pkl=b"\x80\x02}q\x00."), "'x' is no Lightning checkpoint: it holds no 'state_dict'"),
        (rezipped(GOOD, data_pkl=b"junk"), "'x' is truncated or damaged: "),
        (saved([1]), "'x' is no Lightning checkpoint: it holds no 'state_dict'"),
        (saved({"state_dict": {}}), "'x' is no Lightning checkpoint: it holds no 'state_dict'"),
        (saved({"state_dict": {"a": 3}}), "'x': 'a' in its 'state_dict' is not a tensor"),
        (saved({"state_dict": {"a": RunsCode()}}), "'x': 'a' in its 'state_dict' is not a tensor"),
        (rezipped(GOOD, data_0=b"\0" * 12), "'x': a is damaged: 12 bytes for 4 numbers of torch.float32"),
        (saved({"state_dict": {"a": torch.ones(0)}}), "'x': a is damaged: "),
    ],
)
def test_files_that_are_something_else(data: bytes, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read("x", data)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert not Path("ran-code").exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(str(tmp_path / "x.ckpt"))
