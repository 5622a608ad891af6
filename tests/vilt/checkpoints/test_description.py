"""A checkpoint without its numbers: as it is read whole, and with the same faults."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from vilt.checkpoints import description
from vilt.checkpoints.description import describe
from vilt.checkpoints.state_dict import read
from vilt.common.errors import CheckpointError
from vilt.common.folder import ZOO, Folder

TENSORS = {
    "vilt.a.weight": torch.arange(12.0).reshape(3, 4),
    "b": torch.ones(5, dtype=torch.bfloat16),
    "c": torch.tensor(7),
    "d": torch.empty(0, 2, dtype=torch.float16),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    safetensors.torch.save_file(TENSORS, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_text('{"model_type": "vilt"}')
    return tmp_path


def test_names_shapes_dtypes_and_hash_are_those_of_the_whole_file(folder: Path) -> None:
    for source in (folder, ZOO / "scenes"):
        whole, sha256 = read(str(source))
        found, same = describe(str(source))
        assert same == sha256
        assert {tensor.device.type for tensor in found.values()} == {"meta"}
        assert {k: (v.shape, v.dtype) for k, v in found.items()} == {k: (v.shape, v.dtype) for k, v in whole.items()}


def test_torch_files_are_read_whole(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(TENSORS, folder / "pytorch_model.bin")
    found, sha256 = describe(str(folder))
    assert sha256 == read(str(folder))[1]
    assert torch.equal(found["a.weight"], TENSORS["vilt.a.weight"])


def with_header(data: bytes, change: str) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
    if change == "a hole":
        header["b"]["data_offsets"] = [at + 1 for at in header["b"]["data_offsets"]]
    elif change == "another shape":
        header["vilt.a.weight"]["shape"] = [3, 5]
    elif change == "another dtype":
        header["b"]["dtype"] = "F128"
    elif change == "bytes behind":
        rest += b"1234"
    elif change == "no offsets":
        del header["c"]["data_offsets"]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


@pytest.mark.parametrize("change", ["a hole", "another shape", "another dtype", "bytes behind", "no offsets"])
def test_a_header_that_is_wrong_is_judged_by_the_library(folder: Path, change: str) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(with_header(file.read_bytes(), change))
    errors = []
    for reader in (read, describe):
        with pytest.raises(CheckpointError) as error:
            reader(str(folder))
        errors.append(str(error.value))
    assert errors[0] == errors[1]


def test_any_damage_has_one_outcome(folder: Path) -> None:
    file, rng = folder / "model.safetensors", np.random.default_rng(0)
    good, outcomes = file.read_bytes(), []
    for _ in range(300):
        data = bytearray(good[: rng.integers(len(good) + 1)] if rng.random() < 0.2 else good)
        for _ in range(rng.integers(1, 4)):
            if data:
                data[rng.integers(min(len(data), 400))] = rng.choice([0, 34, 44, 48, 57, 93, 125, 255])
        file.write_bytes(data)
        found = []
        for reader in (read, describe):
            try:
                tensors, sha256 = reader(str(folder))
                found.append(({k: (tuple(v.shape), v.dtype) for k, v in tensors.items()}, sha256))
            except CheckpointError as error:
                found.append(str(error))  # type: ignore[arg-type]
        assert found[0] == found[1]
        outcomes.append(type(found[0]))
    assert len(set(outcomes)) == 2


def test_blocks_make_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description, "BLOCK", 10)
    assert describe(str(folder))[1] == read(str(folder))[1]
    assert describe(str(folder))[0].keys() == read(str(folder))[0].keys()


def test_a_file_that_is_read_ahead_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, calls, plain = Folder(folder), [], Folder.read
    expected = source.read_hashed("model.safetensors")
    monkeypatch.setattr(Folder, "read", lambda self, name, most=None: calls.append(name) or plain(self, name, most))
    source.read_ahead("model.safetensors")
    assert source.read_hashed("model.safetensors") == expected
    assert calls == ["model.safetensors"]
    source.read_ahead("missing.safetensors")
    assert source.read_hashed("model.safetensors") == expected, "another file"
    source.read_ahead("missing.safetensors")
    with pytest.raises(FileNotFoundError, match="no such file"):
        source.read_hashed("missing.safetensors")
