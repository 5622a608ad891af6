"""Pictures of a report: only what the caller allows is opened, and what cannot be shown says why."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.reporting.access import Access
from pipeline.reporting.overview import Overview
from pipeline.reporting.pictures import SIDE, Picture, pictures_of
from pipeline.tables.table import open_files


@pytest.mark.parametrize(
    ("uri", "prefix", "allowed"),
    [
        ("/data/t", "/data", True),
        ("/data/t/*.parquet", "/data/", True),
        ("/data", "/data/", True),
        ("/database", "/data", False),
        ("/data/../etc", "/data", False),
        ("file:///data/t", "/data", True),
        ("s3://b/t", "s3://b", True),
        ("s3://bb/t", "s3://b", False),
        ("s3://b/t/../../x", "s3://b/t", False),
        ("http://Host/t", "http://host/", True),
        ("filecache::s3://b/t", "s3://b", False),
    ],
)
def test_what_may_be_opened(uri: str, prefix: str, allowed: bool) -> None:
    assert Access([prefix]).permits(uri) is allowed
    assert not Access().permits(uri)


def encoded(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()


def pictures(folder: Path, rows: dict[str, list[Any]], access: Access, **keys: Any) -> tuple[list[Picture], str]:
    """The pictures of a job whose results hold the texts, and whose images are in the table."""
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    count = len(rows["image"])
    pq.write_table(pa.table({"id": range(count), **rows}), folder / "in" / "a.parquet")
    columns = {name: values for name, values in rows.items() if name == "text"}
    scores = pa.array([float(i) for i in range(count)], pa.float32())
    pq.write_table(pa.table({"row_id": range(count), **columns, "score": scores}), folder / "out" / "a.parquet")
    results = open_files(InputConfig(path=str(folder / "out"), format="parquet"), StorageConfig())
    view = Overview("out", {"tasks": ["score"], "input": {"path": str(folder / "in"), "id": "id", **keys}}, results)
    view.examples = {"best": [{"row_id": i, "row_key": i, "score": 0.123456} for i in range(count)]}
    found, why = pictures_of(view, StorageConfig(), access)
    return found.get("best", []), why


def test_texts_and_thumbnails(tmp_path: Path) -> None:
    rows = {"image": [encoded(1000, 500), b"<html>", None], "text": ["a", "b", "z" * 400]}
    found, why = pictures(tmp_path, rows, Access([str(tmp_path / "in")]))
    assert why == ""
    first, second, third = found
    assert first.thumbnail is not None
    picture = Image.open(io.BytesIO(base64.b64decode(first.thumbnail)))
    assert (picture.format, picture.size) == ("JPEG", (SIDE, SIDE // 2))
    assert (first.row_id, first.score, first.text, first.note, first.uri) == ("0", "0.1235", "a", "", "")
    assert second.thumbnail is None
    assert second.missing.startswith("image_unsupported: ")
    assert (third.missing, len(third.text), third.text[-1]) == ("no image", 301, "…")


def test_uris_are_fetched_below_the_prefixes_alone(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(encoded(5, 5))
    rows = {"image": ["b.png", str(tmp_path / "secret")], "text": ["a", "b"]}
    (tmp_path / "b.png").write_bytes(encoded(5, 5))
    allowed = Access([str(tmp_path / "in")])
    found, _ = pictures(tmp_path, rows, allowed, allow=[str(tmp_path)])
    assert [one.missing.partition(":")[0] for one in found] == ["image_missing", "uri_not_allowed"]
    assert found[1].uri == str(tmp_path / "secret")


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.png").write_bytes(encoded(5, 5))
    rows = {"image": [str(tmp_path / "more" / "a.png")], "text": ["a"]}
    [found], why = pictures(tmp_path, rows, Access(["in/", "more"]))
    assert why == ""
    assert found.thumbnail
    assert (found.source, found.uri) == ("a.parquet, row 0", str(tmp_path / "more" / "a.png"))


def test_checkpoints() -> None:
    access = Access(["/models"], checkpoints=["owner/name", "s3://u:p@b/model"])
    assert access.permits_checkpoint("/models/a")
    assert access.permits_checkpoint("owner/name")
    assert access.permits_checkpoint("s3://u:p@b/model")
    assert not access.permits_checkpoint("owner/other")
    assert not access.permits_checkpoint("https://u:p@host/model")
    assert not access.permits("owner/name"), "for its tokenizer alone"


def test_tables_that_may_not_be_opened(tmp_path: Path) -> None:
    found, why = pictures(tmp_path, {"image": [b"x"], "text": ["a"]}, Access())
    table = str(tmp_path / "in")
    assert found == []
    assert why == (
        f"Pictures are left out: they are in {table!r}, as the results say; to read them there, repeat the command "
        f"with --allow {table}"
    )


def test_summaries_without_a_table() -> None:
    view = Overview("out", {"tasks": ["score"]}, examples={"best": [{"row_id": 1, "row_key": 0, "score": 1.0}]})
    why = "Pictures are left out: the summary does not name the table."
    assert pictures_of(view, StorageConfig(), Access()) == ({}, why)
    assert pictures_of(Overview("out", {}), StorageConfig(), Access()) == ({}, "")
