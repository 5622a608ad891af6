"""Delta logs of strangers: what deltalake would decode by itself is looked at before."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from pipeline import ConfigError
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.results.delta.table import ResultTable
from pipeline.tables.formats.delta.change_feed import changed_ids
from pipeline.tables.formats.delta.checks import check_changes, check_checkpoint
from pipeline.tables.formats.delta.deletion_vectors import decode85, last_row
from pipeline.tables.reading import read_columns
from pipeline.tables.table import open_files
from tests.pipeline.storage.parquet.test_reading import write_bomb
from tests.pipeline.tables.delta_logs import Z85, add, column, deletion_vector, write_delta

FILES = fsspec.filesystem("file")
ROWS = pa.table({"text": ["a", "b", "c"]})


def encode85(data: bytes) -> str:
    text = ""
    for begin in range(0, len(data), 4):
        value, digits = int.from_bytes(data[begin : begin + 4].ljust(4, b"\0"), "big"), ""
        for _ in range(5):
            value, digit = divmod(value, 85)
            digits = Z85[digit] + digits
        text += digits
    return text


def inline(data: bytes) -> dict[str, Any]:
    return {"storageType": "i", "pathOrInlineDv": encode85(data), "sizeInBytes": len(data), "cardinality": 1}


def bitmap(high: int, low: int) -> bytes:
    return struct.pack("<IQI", 1681511377, 1, high) + struct.pack("<IIHHIH", 12346, 1, low >> 16, 0, 16, low & 0xFFFF)


def elsewhere(kind: str, path: str) -> dict[str, Any]:
    return {"storageType": kind, "pathOrInlineDv": path, "offset": 1, "sizeInBytes": 40, "cardinality": 1}


def refusal(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        open_files(InputConfig(path=str(folder)), StorageConfig())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


VECTORS: dict[str, tuple[dict[str, Any], str]] = {
    "row 4,294,967,294": (inline(bitmap(0, 2**32 - 2)), "far more than its file can have: not read"),
    "row 2^52, which ends the process": (inline(bitmap(2**20, 1)), "far more than its file can have: not read"),
    "2^62 bitmaps": (inline(struct.pack("<IQ", 1681511377, 2**62)), "is damaged"),
    "2^31 parts": (inline(struct.pack("<IQIII", 1681511377, 1, 0, 12346, 2**31)), "is damaged: a bitmap of"),
    "another magic": (inline(struct.pack("<IQ", 7, 0)), "it begins with 7"),
    "no Z85": ({**inline(b""), "pathOrInlineDv": "\x1b[3m~"}, "is not Z85"),
    "much Z85": ({**inline(b""), "pathOrInlineDv": "0" * 2_000_000}, "1,048,576 at most"),
    "a file": (elsewhere("p", "file:///etc/passwd"), "'file:///etc/passwd', outside of the table's folder"),
    "a path": (elsewhere("p", "/etc/passwd"), "outside of the table's folder"),
    "a server": (elsewhere("p", "http://127.0.0.1:9/x"), "outside of the table's folder"),
    "a relative path": (elsewhere("u", "../../x" + encode85(b"0" * 16)), "outside of the table's folder"),
    "no path": (elsewhere("u", "x"), "is damaged"),
}


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_that_cost_much_or_lead_elsewhere(tmp_path: Path, name: str) -> None:
    vector, message = VECTORS[name]
    actions = [add("f.parquet", deletionVector=vector, stats='{"numRecords": 3}')]
    write_delta(tmp_path / "t", [column("text")], actions, {"f.parquet": ROWS}, features=["deletionVectors"])
    found = refusal(tmp_path / "t")
    assert found.startswith("input.path: the deletion vector of 'f.parquet'")
    assert message in found


def test_vectors_in_files_and_in_the_log_are_read(tmp_path: Path) -> None:
    data = struct.pack("<IQI", 1681511377, 1, 0) + struct.pack("<HHB", 12347, 0, 1)  # a run of the rows 0 and 1
    data += struct.pack("<HHHHH", 0, 1, 1, 0, 1)
    assert 1 <= last_row(data) <= 0xFFFF
    assert decode85(encode85(data + b"\0")) == data + b"\0"
    assert last_row(struct.pack("<IQ", 1681511377, 0)) == -1
    for vector in (inline(data + b"\0"), deletion_vector([0, 1])):
        actions = [add("f.parquet", deletionVector=vector, stats='{"numRecords": 3}')]
        write_delta(tmp_path / "t", [column("text")], actions, {"f.parquet": ROWS}, features=["deletionVectors"])
        table = open_files(InputConfig(path=str(tmp_path / "t")), StorageConfig())
        assert pa.concat_tables(read_columns(table, ["text"], 10))["text"].to_pylist() == ["c"]


def with_checkpoint(folder: Path) -> Path:
    """Write a table of two versions with a checkpoint of the second; return the checkpoint."""
    for mode in ("error", "append"):
        write_deltalake(str(folder), ROWS, mode=mode)  # type: ignore[arg-type]
    DeltaTable(str(folder)).create_checkpoint()
    return folder / "_delta_log" / f"{1:020}.checkpoint.parquet"


READ: dict[str, Callable[[str], Any]] = {
    "input.path": lambda uri: open_files(InputConfig(path=uri), StorageConfig()),
    "OUT": lambda uri: ResultTable(uri, StorageConfig(), "OUT"),
}


@pytest.mark.parametrize("key", READ)
def test_a_checkpoint_that_lies(tmp_path: Path, key: str) -> None:
    path = with_checkpoint(tmp_path / "t")
    READ[key](str(tmp_path / "t"))
    assert check_checkpoint(FILES, str(tmp_path / "t"), key) == (1, [str(path)])
    assert check_checkpoint(FILES, str(tmp_path / "t"), key, 0) == (-1, [])
    write_bomb(path, "commitInfo")
    with pytest.raises(ConfigError, match=f"{key}: .*checkpoint.parquet' lies about its size"):
        READ[key](str(tmp_path / "t"))


def test_checkpoints_before_one_that_is_not_whole_are_checked(tmp_path: Path) -> None:
    path = with_checkpoint(tmp_path / "t")
    part = path.with_name(f"{1:020}.checkpoint.{1:010}.{2:010}.parquet")
    path.rename(part)
    pq.write_table(pa.table({"a": [1]}), path.with_name(f"{0:020}.checkpoint.parquet"))
    found = check_checkpoint(FILES, str(tmp_path / "t"), "OUT")
    assert found == (0, [str(part), str(path.with_name(f"{0:020}.checkpoint.parquet"))])


@pytest.mark.parametrize("kind", ["parquet", "json"])
def test_sidecars_are_checked(tmp_path: Path, kind: str) -> None:
    log = tmp_path / "t" / "_delta_log"
    name = f"{0:020}.checkpoint.{'0' * 8}-0000-0000-0000-{'0' * 12}.{kind}"

    def checkpoint(path: str) -> None:
        log.mkdir(parents=True, exist_ok=True)
        if kind == "json":
            (log / name).write_text(json.dumps({"sidecar": {"path": path}}) + "\n")
        else:
            pq.write_table(pa.table({"sidecar": [{"path": path}, None]}), log / name)

    checkpoint("../../x.parquet")
    with pytest.raises(ConfigError, match=r"names the sidecar '\.\./\.\./x\.parquet', which is not in _sidecars"):
        check_checkpoint(FILES, str(tmp_path / "t"), "OUT")
    checkpoint("a.parquet")
    write_bomb(log / "_sidecars" / "a.parquet", "add")
    with pytest.raises(ConfigError, match=r"a\.parquet' lies about its size"):
        check_checkpoint(FILES, str(tmp_path / "t"), "OUT")


def test_change_feeds_of_lying_files_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    settings = {"delta.enableChangeDataFeed": "true"}
    write_deltalake(str(folder), pa.table({"id": ["a"]}), configuration=settings)
    write_deltalake(str(folder), pa.table({"id": ["b"]}), mode="append")
    assert changed_ids(str(folder), StorageConfig(), 0, 1, "id", ["id"]) is not None
    log = folder / "_delta_log" / f"{1:020}.json"
    added = next(one["add"]["path"] for one in map(json.loads, log.read_text().splitlines()) if "add" in one)
    good = (folder / added).read_bytes()
    write_bomb(folder / added, "id")
    with pytest.raises(ConfigError, match="column 'id' has a page"):
        check_changes(FILES, str(folder), 0, 1, ["id"], "input.path")
    assert changed_ids(str(folder), StorageConfig(), 0, 1, "id", ["id"]) is None
    (folder / added).write_bytes(good)
    log.write_text(log.read_text().replace(added, "../x.parquet"))
    with pytest.raises(ConfigError, match="outside of its folder"):
        check_changes(FILES, str(folder), 0, 1, ["id"], "input.path")
