"""Weights out: shared tensors once, shards of a size, and files that are read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vilt.checkpoints.saving import bytes_of, distinct, save_weights, split
from vilt.checkpoints.state_dict import read_stored


@pytest.mark.parametrize(
    ("size", "count"),
    [
        (7, 7),
        ("7", 7),
        ("5GB", 5 * 10**9),
        ("2gib", 2 * 2**30),
        (" 1.5 MB ", 1_500_000),
        ("10KB", 10_000),
        ("1KiB", 1024),
        ("0.5MiB", 2**19),
    ],
)
def test_sizes(size: int | str, count: int) -> None:
    assert bytes_of(size) == count


@pytest.mark.parametrize("size", ["", "MB", "5 TB", "-5GB", "5B", "1,5GB", "5GB5"])
def test_what_is_no_size(size: str) -> None:
    with pytest.raises(ValueError, match=r"^max_shard_size '.*' is not a size such as 5000000, '5MB' or '2GiB'$"):
        bytes_of(size)


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(0, 40))
def test_parts_are_in_order_and_within_the_size(lengths: list[int], most: int) -> None:
    tensors = {f"t{i}": torch.zeros(length) for i, length in enumerate(lengths)}
    parts = split(tensors, most)
    assert [name for part in parts for name in part] == list(tensors)
    for part in parts:
        assert sum(tensor.nbytes for tensor in part.values()) <= most or len(part) == 1
    assert all(parts) or parts == [{}]


def test_tensors_that_share_all_their_memory() -> None:
    table = torch.arange(12.0).reshape(4, 3)
    empty = torch.empty(0)
    state = {"decoder": table, "words": table, "row": table[0], "turned": table.T, "e": empty, "f": empty}
    assert list(distinct(state)) == ["decoder", "row", "turned", "e", "f"]
    assert list(distinct(state, ["decoder"])) == ["words", "row", "turned", "e", "f"]
    assert list(distinct({"decoder": table}, ["decoder"])) == ["decoder"], "the only one stays"


STATE = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.ones(4, dtype=torch.bfloat16), "n": torch.tensor(3)}


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("size", ["5GB", 30])
def test_what_is_written_is_read(tmp_path: Path, variant: str | None, safe: bool, size: int | str) -> None:
    save_weights(str(tmp_path), STATE, max_shard_size=size, safe_serialization=safe, variant=variant)
    names = sorted((path.name for path in tmp_path.iterdir()), key=lambda name: (".index." in name, name))
    stem, end = ("model", "safetensors") if safe else ("pytorch_model", "bin")
    word = f".{variant}" if variant else ""
    if size == "5GB":
        assert names == [f"{stem}{word}.{end}"]
    else:
        shards = [f"{stem}{word}-0000{i}-of-00002.{end}" for i in (1, 2)]
        [name] = set(names) - set(shards)
        assert len(names) == 3
        assert name.startswith(f"{stem}.{end}.index")
        index = json.loads((tmp_path / name).read_text())
        assert index["metadata"] == {"total_size": 24 + 8 + 8}
        assert index["weight_map"] == {"a": shards[0], "b": shards[1], "n": shards[1]}
    found = read_stored(str(tmp_path), variant).tensors
    assert found.keys() == STATE.keys()
    for name, tensor in STATE.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_a_tied_tensor_is_written_once(tmp_path: Path) -> None:
    table = torch.ones(3, 2)
    save_weights(str(tmp_path), {"decoder.weight": table, "words.weight": table}, ["decoder.weight"])
    assert list(read_stored(str(tmp_path)).tensors) == ["words.weight"]
