"""Filters over tars: kept samples with all their members as they are, counts that others read, and lists of keys."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
import webdataset

from pipeline import ConfigError
from pipeline.config.filter import FilterConfig
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.filtering import copied_table as filter_module
from pipeline.filtering.filter_table import filter_table
from pipeline.tables.reading import read_columns
from pipeline.tables.table import open_files

SHARDS, SAMPLES = 3, 7


def uid(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:016X}"


def write_shards(folder: Path) -> dict[str, Any]:
    """Shards that webdataset's own writer wrote, and scores: the number of the sample modulo 10; 5 has failed."""
    (folder / "shards").mkdir(parents=True)
    (folder / "scores").mkdir()
    number = 0
    for shard in range(SHARDS):
        with webdataset.TarWriter(str(folder / "shards" / f"{shard:05d}.tar")) as writer:
            for _ in range(SAMPLES):
                sample = {"__key__": f"{number:09d}", "jpg": b"\xff\xd8%d" % number, "txt": f"text {number}"}
                writer.write({**sample, "json": {"uid": uid(number), "n": number}, "npy": np.arange(number)})
                number += 1
    keys = [f"{i:09d}" for i in range(number)]
    columns = {"row_id": keys, "score": pa.array([float(i % 10) for i in range(number)], pa.float32())}
    errors = pa.array(["image_null" if i == 5 else None for i in range(number)], pa.string())
    pq.write_table(pa.table({**columns, "error": errors}), folder / "scores" / "part-0.parquet")
    return {
        "input": {"path": f"{folder}/shards", "id": "__key__"},
        "scores": f"{folder}/scores",
        "keep": {"min_score": 4},
        "output": {"path": f"{folder}/out", "report": False, "keys": "uid"},
    }


KEPT = [i for i in range(SHARDS * SAMPLES) if i % 10 >= 4 and i != 5]


def members(path: Path) -> dict[str, bytes]:
    """Name -> the bytes of the header and of the content of each member."""
    data = path.read_bytes()
    with tarfile.open(path) as tar:
        return {one.name: data[one.offset : one.offset_data + one.size] for one in tar}


def test_kept_samples_are_the_tars_own_and_others_read_them(tmp_path: Path) -> None:
    values = write_shards(tmp_path)
    summary = filter_table(FilterConfig.checked(values))
    out = tmp_path / "out"
    assert (summary.rows_in, summary.kept) == (21, len(KEPT))
    assert summary.dropped == {"score below 4": 9, "error: image_null": 1}
    for shard in range(SHARDS):
        name = f"{shard:05d}.tar"
        before, after = members(tmp_path / "shards" / name), members(out / "kept" / name)
        wanted = {f"{i:09d}" for i in KEPT}
        assert after == {name: data for name, data in before.items() if name.partition(".")[0] in wanted}
        assert list(after) == [name for name in before if name in after]
    sizes = json.loads((out / "kept" / "sizes.json").read_text())
    assert sizes == {"00000.tar": 2, "00001.tar": 3, "00002.tar": 6} == counted(out)
    urls = [str(path) for path in sorted((out / "kept").glob("*.tar"))]
    found = list(webdataset.WebDataset(urls, shardshuffle=False).decode())
    assert [sample["json"]["n"] for sample in found] == KEPT
    assert all(len(sample["npy"]) == n for sample, n in zip(found, KEPT, strict=True))
    dropped = duckdb.sql(f"SELECT row_id, reason FROM '{out}/dropped/*.parquet' ORDER BY row_id").fetchall()
    assert [row[0] for row in dropped] == [f"{i:09d}" for i in range(21) if i not in KEPT]
    table = open_files(InputConfig(path=f"{out}/kept"), StorageConfig())
    assert (table.format.name, table.rows) == ("webdataset", len(KEPT)), "sizes.json is no part of the table"
    assert filter_table(FilterConfig.checked(values)).finished_before


def counted(out: Path) -> dict[str, int]:
    tars = sorted((out / "kept").glob("*.tar"))
    return {tar.name: len({name.partition(".")[0] for name in members(tar)}) for tar in tars}


def test_keys_are_a_parquet_list_and_datacomps_array(tmp_path: Path) -> None:
    summary = filter_table(FilterConfig.checked(write_shards(tmp_path)))
    assert summary.key_files == ["keys/keys.parquet", "keys/keys.npy"]
    uids = [uid(i) for i in KEPT]
    query = f"SELECT uid FROM '{tmp_path}/out/keys/keys.parquet'"
    assert [row[0] for row in duckdb.sql(query).fetchall()] == uids
    found = np.load(tmp_path / "out" / "keys" / "keys.npy")
    pairs = [(int(one[:16], 16), int(one[16:32], 16)) for one in uids]  # as DataComp's documentation writes it
    expected = np.array(pairs, np.dtype("u8,u8"))
    expected.sort()
    assert found.dtype == expected.dtype
    assert (found == expected).all()


def test_keys_that_are_no_uids_are_a_parquet_list_alone(tmp_path: Path) -> None:
    values = write_shards(tmp_path)
    values["output"]["keys"] = "n"
    assert filter_table(FilterConfig.checked(values)).key_files == ["keys/keys.parquet"]
    assert pq.read_table(tmp_path / "out" / "keys" / "keys.parquet")["n"].to_pylist() == KEPT
    values["output"]["keys"] = "uid"
    with pytest.raises(ConfigError, match=r"already holds 8 \.json, \.parquet, \.tar files"):
        filter_table(FilterConfig.checked(values))
    values["output"]["keys"] = "udi"
    with pytest.raises(ConfigError, match=r"output\.keys: the table has no column 'udi'"):
        filter_table(FilterConfig.checked(values))
    values["output"] |= {"keys": None, "overwrite": True}
    assert filter_table(FilterConfig.checked(values)).key_files == []
    assert not list((tmp_path / "out" / "keys").glob("*"))


def test_a_row_without_a_key_is_refused(tmp_path: Path) -> None:
    values = write_shards(tmp_path)
    with webdataset.TarWriter(str(tmp_path / "shards" / "00002.tar")) as writer:
        for i in range(14, 21):
            writer.write({"__key__": f"{i:09d}", "jpg": b"x", "json": {"n": i}})
    with pytest.raises(ConfigError, match=r"output\.keys: column 'uid' is null in 6 kept rows or more"):
        filter_table(FilterConfig.checked(values))
    assert not (tmp_path / "out" / "_summary.json").exists()


def test_a_stopped_filter_copies_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = write_shards(tmp_path)
    copy, names = filter_module.copy_files, list[str]()

    def stopped(*args: Any) -> Any:
        if len(names) == 2:
            raise KeyboardInterrupt
        names.append(args[0].files[args[1][0]].name)
        return copy(*args)

    monkeypatch.setattr(filter_module, "COPIERS", 1)
    monkeypatch.setattr(filter_module, "copy_files", stopped)
    with pytest.raises(KeyboardInterrupt):
        filter_table(FilterConfig.checked(values))
    assert not (tmp_path / "out" / "kept").exists(), "nothing is published"
    again: list[str] = []
    monkeypatch.setattr(filter_module, "copy_files", lambda *args: (again.append(args[1][0]), copy(*args))[1])
    assert filter_table(FilterConfig.checked(values)).kept == len(KEPT)
    assert (names, again) == (["00000.tar", "00001.tar"], [2])
    assert counted(tmp_path / "out") == {"00000.tar": 2, "00001.tar": 3, "00002.tar": 6}
    assert not (tmp_path / "out" / "_progress").exists()


def test_links_folders_long_names_and_joined_tars(tmp_path: Path) -> None:
    values = write_shards(tmp_path)
    values["input"].pop("id")
    del values["output"]["keys"]
    for old in (tmp_path / "shards").glob("*"):
        old.unlink()
    long, parts = "d/" + "x" * 150, []
    for begin in (0, 2):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT if begin else tarfile.PAX_FORMAT) as tar:
            folder = tarfile.TarInfo("d")
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
            for i in (begin, begin + 1):
                one = tarfile.TarInfo(f"{long}{i}.jpg")
                one.size = 3
                tar.addfile(one, io.BytesIO(b"%03d" % i))
            if begin:
                link = tarfile.TarInfo("e.jpg")
                link.type, link.linkname = tarfile.LNKTYPE, f"{long}2.jpg"
                tar.addfile(link)
        parts.append(buffer.getvalue())
    (tmp_path / "shards" / "a.tar").write_bytes(b"".join(parts))
    table = open_files(InputConfig(path=f"{tmp_path}/shards"), StorageConfig())
    assert table.rows == 5
    ids = next(read_columns(table, ["__key__"], 100))["row_hash"].to_pylist()
    scores = pa.table({"row_id": ids, "score": [1.0, 0.0, 0.0, 1.0, 1.0], "error": pa.nulls(5, pa.string())})
    pq.write_table(scores, tmp_path / "scores" / "part-0.parquet")
    assert filter_table(FilterConfig.checked({**values, "keep": {"min_score": 1}})).kept == 3
    with tarfile.open(tmp_path / "out" / "kept" / "a.tar") as tar:
        files = [(one.name, one.isdir() or tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]
    pictures = [(f"{long}0.jpg", b"000"), ("d", True), (f"{long}3.jpg", b"003"), ("e.jpg", b"002")]
    assert files == [("d", True), *pictures], "the link's target was dropped: the link is a file of its own"


def test_tars_on_s3(s3_server: str, tmp_path: Path) -> None:
    assert s3_server
    s3, values = s3fs.S3FileSystem(), write_shards(tmp_path)
    s3.mkdir("tars")
    s3.put(f"{tmp_path}/shards/", "tars/shards/", recursive=True)
    values["input"]["path"], values["output"]["path"] = "s3://tars/shards/", "s3://tars/out/"
    assert filter_table(FilterConfig.checked(values)).kept == len(KEPT)
    s3.invalidate_cache()
    names = [path.removeprefix("tars/out/") for path in s3.find("tars/out")]
    shards = [f"{i:05d}.tar" for i in range(SHARDS)]
    assert sorted(names) == sorted(
        ["_summary.json", "keys/keys.npy", "keys/keys.parquet", "kept/sizes.json"]
        + [f"kept/{name}" for name in shards]
        + [f"dropped/{name}.parquet" for name in shards]
    )
    values["output"]["path"] = f"{tmp_path}/out"
    filter_table(FilterConfig.checked(values))
    for name in shards:
        assert s3.cat_file(f"tars/out/kept/{name}") == (tmp_path / "out" / "kept" / name).read_bytes()
