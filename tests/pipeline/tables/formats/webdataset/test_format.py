"""Tars: samples, their members, and damage."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa
import pytest

from pipeline import ConfigError
from pipeline.tables.formats.webdataset import format as module
from pipeline.tables.formats.webdataset.samples import Sample
from pipeline.tables.reading import read_columns
from pipeline.tables.table import open_table
from tests.conftest import png
from tests.pipeline.tables.reading import (
    config,
    table_of,
    write_tar,
)


def test_webdataset(tmp_path: Path) -> None:
    picture = png(32, 32)
    members = {
        "./x/1.json": b'{"caption": "one",\n "width": 3, "image": "not this"}',
        "./x/1.jpg": picture,
        "./x/1.txt": b"first",
        "./x/2.PNG": picture + b"2",
        "./x/2.cls": b"4",
        "./x/.hidden": b"",
        "./x/3.txt": b"\xff\xfe",
        "./y/3.txt": b"other folder",
        "./y/3.jpg": b"\0" * 3000,
    }
    write_tar(tmp_path / "0.tar", members)
    write_tar(tmp_path / "1.tar", {"4.jpg": picture, "4.json": b'{"text": "of the json", "width": 2.5}'})
    job = config(tmp_path)
    job = job.model_copy(update={"limits": job.limits.model_copy(update={"image_bytes": 1000})})
    table = open_table(job)
    assert table.rows == 5
    assert table.columns.names == ["__key__", "image", "text", "caption", "width"]
    whole = table_of(job).sort_by("__key__")
    assert whole["__key__"].to_pylist() == ["4", "x/1", "x/2", "x/3", "y/3"]
    assert whole["image"].to_pylist()[:4] == [picture, picture, picture + b"2", None]
    assert len(whole["image"][4].as_py()) == 1001, "one more than the limit shows that it is too large"
    assert whole["text"].cast(pa.binary()).to_pylist() == [
        b"of the json",
        b"first",
        None,
        b"\xff\xfe",
        b"other folder",
    ]
    assert whole["caption"].to_pylist() == [None, "one", None, None, None]
    assert whole["width"].to_pylist() == [2.5, 3.0, None, None, None]
    assert len(set(whole["row_hash"].to_pylist())) == 5


def test_ids_are_read_without_images_and_rows_without_the_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tar(tmp_path / "0.tar", {f"{i}.{end}": b"{}" for i in range(5) for end in ("jpg", "json", "txt")})
    table = open_table(config(tmp_path))
    read: list[int | None] = []
    samples = module.read_samples

    def counted(file: IO[bytes], image_bytes: int | None, text_bytes: int) -> Iterator[Sample]:
        read.append(image_bytes)
        return samples(file, image_bytes, text_bytes)

    monkeypatch.setattr(module, "read_samples", counted)
    whole = pa.concat_tables(read_columns(table, [], 2))
    assert (whole.column_names, whole.num_rows, read) == (["__row_key", "row_hash"], 5, [])
    keys = pa.concat_tables(read_columns(table, ["__key__"], 2))
    assert (keys["__key__"].to_pylist(), read) == (["0", "1", "2", "3", "4"], [None])
    assert keys["row_hash"] == whole["row_hash"]


def test_a_key_that_comes_twice_is_two_samples(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for name in ("1.jpg", "1.txt", "1.jpg", "1.txt"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    assert open_table(config(tmp_path)).rows == 2


def test_a_tar_that_ends_early_is_named(tmp_path: Path) -> None:
    whole = tmp_path / "w" / "0.tar"
    whole.parent.mkdir()
    write_tar(whole, {f"{i}.txt": b"x" * 700 for i in range(5)})
    data = whole.read_bytes()
    file = tmp_path / "0.tar"
    for size in (3 * 1536, 3 * 1536 + 100, 3 * 1536 + 512, 3 * 1536 + 900, 5 * 1536):
        file.write_bytes(data[:size])
        with pytest.raises(ConfigError, match=r"0\.tar' is damaged"):
            open_table(config(file))
    for place in (3 * 1536 + 10, 3 * 1536 + 130):  # in the name, in the size
        file.write_bytes(data[:place] + b"#" + data[place + 1 :])
        with pytest.raises(ConfigError, match=r"0\.tar' is damaged"):
            open_table(config(file))
    file.write_bytes(data[: 5 * 1536 + 1024])
    assert open_table(config(file)).rows == 5
    write_tar(file, {"1.json": b"{"})
    with pytest.raises(ConfigError, match=r"0\.tar' is damaged .* 1\.json: Expecting"):
        open_table(config(file))
