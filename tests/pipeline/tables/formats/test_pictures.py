"""Folders of pictures: with texts beside them, with metadata, with one fixed text; and what img2dataset writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import s3fs

from pipeline import JobConfig, run
from pipeline.config.filter import FilterConfig
from pipeline.filtering.filter_table import filter_table
from pipeline.tables.table import open_table
from tests.conftest import png
from tests.pipeline.tables.reading import config, refusal, rows_of, write_parquet, write_tar


def write(folder: Path, **files: str | bytes) -> Path:
    """Write files, `__` in a name for `/` and `_` for `.`."""
    for key, data in files.items():
        path = folder / key.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


def plain(path: object, **keys: Any) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "row_hash"} for row in rows_of(config(path, **keys))]


def test_texts_beside_pictures(tmp_path: Path) -> None:
    write(tmp_path, b_JPG=b"b", b_txt="two\nlines\n", x__c_png=b"c", x__c_txt=b"", a_jpg=b"a", README_md="", _x_jpg=b"")
    rows = [("a.jpg", None), ("b.JPG", "two\nlines"), ("x/c.png", "")]
    assert plain(tmp_path) == [{"image": f"{tmp_path}/{name}", "text": text} for name, text in rows]
    table = open_table(config(tmp_path))
    assert [opened.name for opened in table.files] == [name for name, _ in rows]
    write(tmp_path, b_txt="another text")
    changed = open_table(config(tmp_path))
    assert [a.file.version == b.file.version for a, b in zip(table.files, changed.files, strict=True)] == [
        True,
        False,
        True,
    ]
    before = {row["image"]: row["row_hash"] for row in rows_of(config(tmp_path))}
    write(tmp_path, a0_jpg=b"new")
    assert before.items() <= {row["image"]: row["row_hash"] for row in rows_of(config(tmp_path))}.items()
    (tmp_path / "b.txt").write_bytes(b"x" * (2**20 + 1))
    assert "b.txt' has 1,048,577 bytes; a text beside a picture has at most" in refusal(tmp_path)


def test_pictures_beside_a_table_are_its_images(tmp_path: Path) -> None:
    write(tmp_path, a_jpg=b"a", t_csv="image,text\na.jpg,hello\n")
    assert plain(tmp_path) == [{"image": "a.jpg", "text": "hello"}]
    assert len(rows_of(config(tmp_path, format="pictures", text={"fixed": "x"}))) == 1


def test_one_text_for_all(tmp_path: Path) -> None:
    write(tmp_path, a_jpg=b"a", b_jpg=b"b")
    assert "input.text: the table has no column 'text'" in refusal(tmp_path)
    rows = plain(tmp_path, text={"fixed": "is there a watermark?"})
    assert [row["fixed_text"] for row in rows] == ["is there a watermark?"] * 2
    write_parquet(tmp_path / "p.parquet", [{"image": "a.jpg", "n": 1}, {"image": "b.jpg", "n": 2}])
    assert plain(tmp_path, text={"fixed": "x"}, columns=["n"]) == [
        {"image": f"{one}.jpg", "n": n, "fixed_text": "x"} for one, n in (("a", 1), ("b", 2))
    ]
    assert "input.text" in refusal(tmp_path, text={"fixed": ""})
    write_parquet(tmp_path / "p.parquet", [{"image": "a.jpg", "fixed_text": 1}])
    assert "the table has a column 'fixed_text', a name that a fixed text needs for itself" in refusal(
        tmp_path, text={"fixed": "x"}
    )


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_imagefolder(kind: str, tmp_path: Path) -> None:
    rows = [{"file_name": "0.png", "text": "a"}, {"file_name": "in/1.png", "text": "b"}, {"file_name": "", "text": "c"}]
    lines = {
        "csv": "file_name,text\n0.png,a\nin/1.png,b\n,c\n",
        "jsonl": "".join(json.dumps(row) + "\n" for row in rows),
    }[kind]
    write(tmp_path / "train", **{"0_png": b"0", "in__1_png": b"1", f"metadata_{kind}": lines})
    for path in (tmp_path, tmp_path / "train"):
        images = [f"{tmp_path}/train/0.png", f"{tmp_path}/train/in/1.png", ""]
        assert plain(path) == [{**row, "image": image} for row, image in zip(rows, images, strict=True)]
    assert open_table(config(tmp_path)).files[0].name == f"train/metadata.{kind}"
    assert open_table(config(tmp_path)).format.name == "imagefolder"
    other = {"csv": "metadata_jsonl", "jsonl": "metadata_csv"}[kind]
    write(tmp_path / "test", **{"0_png": b"0", other: '{"file_name": "0.png"}'})
    assert "has metadata.csv and metadata.jsonl: remove one of them" in refusal(tmp_path)


@pytest.mark.usefixtures("ray_cluster")
def test_metadata_with_a_line_that_is_too_long(tmp_path: Path) -> None:
    lines = [{"file_name": "0.png", "text": "a"}, {"file_name": "0.png", "text": "b" * 2000}]
    write(tmp_path / "in", **{"0_png": png(0x40, 0x40), "metadata_jsonl": "\n".join(map(json.dumps, lines))})
    values = {
        "input": {"path": f"{tmp_path}/in"},
        "model": "zoo://scenes",
        "output": {"path": f"{tmp_path}/out", "report": False},
        "limits": {"row_bytes": 1000},
        "max_error_rate": 1,
    }
    summary = run(JobConfig.parse("score", values))
    assert (summary.scored, summary.rejected) == (1, {"row_too_large": 1})


def test_metadata_without_file_names(tmp_path: Path) -> None:
    write(tmp_path, a_png=b"", metadata_csv="image,text\na.png,x\n")
    assert "metadata.csv' has no column 'file_name' of texts, which names the pictures" in refusal(tmp_path)
    assert plain(tmp_path, format="csv") == [{"image": "a.png", "text": "x"}]


def test_folders_of_img2dataset(tmp_path: Path) -> None:
    listed = [
        {"url": "https://x/0.jpg", "caption": "a", "status": "success"},
        {"url": "https://x/1.jpg", "caption": "b"},
    ]
    stats = json.dumps({"count": 2, "successes": 1})
    tars = tmp_path / "tars"
    write(tars, x_json=b"{}")
    (tars / "x.json").rename(tars / "00000_stats.json")
    (tars / "00000_stats.json").write_text(stats)
    write_tar(tars / "00000.tar", {"0.jpg": b"0", "0.txt": b"a", "0.json": b'{"url": "https://x/0.jpg"}'})
    write_parquet(tars / "00000.parquet", listed)
    assert [row["__key__"] for row in rows_of(config(tars))] == ["0"]

    files = tmp_path / "files"
    write(files, **{"00000__0_jpg": b"0", "00000__0_txt": "a", "00000__0_json": "{}"})
    (files / "00000_stats.json").write_text(stats)
    write_parquet(files / "00000.parquet", listed)
    assert plain(files) == [{"image": f"{files}/00000/0.jpg", "text": "a"}]

    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "00000_stats.json").write_text(stats)
    write_parquet(inside / "00000.parquet", [{"jpg": b"0", "caption": "a"}])
    assert len(rows_of(config(inside, image="jpg", text="caption"))) == 1

    (tars / "other.json").write_text("{}")
    line = "holds files of several formats (1 jsonl, 1 webdataset); choose in input.format, as in input.format=jsonl"
    assert line in refusal(tars)


@pytest.mark.usefixtures("ray_cluster")
def test_a_job_on_s3(s3_server: str, tmp_path: Path, scene_rows: Any) -> None:
    assert s3_server
    s3 = s3fs.S3FileSystem()
    s3.mkdir("tables-pictures")
    for number, row in enumerate(scene_rows(6)):
        s3.pipe_file(f"tables-pictures/in/{number}.jpg", row["image"])
        s3.pipe_file(f"tables-pictures/in/{number}.txt", row["caption"].encode() + b"\n")
    s3.pipe_file("tables-pictures/in/6.png", png(0x40, 0x40))
    source = {"path": "s3://tables-pictures/in"}
    out = {"path": str(tmp_path / "out"), "report": False}
    values = {"input": source, "model": "zoo://scenes", "output": out, "max_error_rate": 1}
    summary = run(JobConfig.parse("score", values))
    assert (summary.rows_in, summary.scored, summary.rejected) == (7, 6, {"text_null": 1})
    good = {"path": str(tmp_path / "good"), "report": False}
    keeping = {"input": source, "scores": str(tmp_path / "out"), "keep": {"top": 0.5}, "output": good}
    assert filter_table(FilterConfig.checked(keeping)).kept == 3
    [file] = (tmp_path / "good" / "kept").iterdir()
    kept = pq.read_table(file)
    assert (file.name, kept.num_rows, kept.column_names) == ("0.jpg.parquet", 3, ["image", "text"])
    assert all(uri.startswith("s3://tables-pictures/in/") for uri in kept["image"].to_pylist())
