"""Lists of paths, braces, and `.txt` files of paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import s3fs
import webdataset

from pipeline import ConfigError, JobConfig
from pipeline.tables.formats.path_lists import expand_braces
from pipeline.tables.table import open_table
from tests.pipeline.tables import reading
from tests.pipeline.tables.reading import refusal, rows_of, write_csv


def config(path: object, **keys: Any) -> JobConfig:
    """Return a job over a path, or over a list of them."""
    values = reading.config("unused", **keys).model_dump(exclude_unset=True)
    return JobConfig.parse(
        "score", {**values, "input": {**values["input"], "path": path if isinstance(path, list) else str(path)}}
    )


def shards(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        with webdataset.TarWriter(str(folder / f"{number:05d}.tar")) as out:
            out.write({"__key__": str(number), "jpg": b"picture", "txt": "a"})


def keys_of(path: object, **keys: Any) -> list[str]:
    return [row["__key__"] for row in rows_of(config(path, **keys))]


def test_braces() -> None:
    assert expand_braces("s3://b/{00008..00010}.tar") == [f"s3://b/{n:05d}.tar" for n in (8, 9, 10)]
    assert expand_braces("{a,b}{2..1}") == ["a2", "a1", "b2", "b1"]
    assert expand_braces("a{b}c") == ["a{b}c"]
    assert expand_braces("plain") == ["plain"]
    with pytest.raises(ConfigError, match="more than 100,000 files"):
        expand_braces("{0..9999999}")
    with pytest.raises(ConfigError, match="more than 100,000 files"):
        expand_braces("{0..9999}{0..9999}")


def test_globs_with_braces(tmp_path: Path) -> None:
    shards(tmp_path / "t", 4)
    assert keys_of(tmp_path / "t" / "{00001..00003}.tar") == ["1", "2", "3"]
    whole, some = (open_table(config(path)) for path in (tmp_path / "t", tmp_path / "t" / "{00002..00002}.tar"))
    assert [opened.file for opened in some.files] == [whole.files[2].file], "the same names, so the same row ids"
    assert "00004.tar' does not exist, though it is one of the files that are listed" in refusal(
        tmp_path / "t" / "{00000..00004}.tar"
    )
    (tmp_path / "a{0..1}.csv").write_text("image,text\na,b\n")
    assert len(rows_of(config(tmp_path / "a{0..1}.csv"))) == 1, "a file of that name"


def test_lists(tmp_path: Path) -> None:
    shards(tmp_path / "t", 3)
    (tmp_path / "u").mkdir()
    (tmp_path / "u" / "9.tar").write_bytes((tmp_path / "t" / "00000.tar").read_bytes())
    listed = [str(tmp_path / "t" / "{00000..00001}.tar"), str(tmp_path / "u" / "*.tar")]
    job = config(listed)
    assert (job.input.path, job.input.files) == (str(tmp_path), ["t/{00000..00001}.tar", "u/*.tar"])
    assert [opened.name for opened in open_table(job).files] == ["t/00000.tar", "t/00001.tar", "u/9.tar"]
    assert config(["a.csv"]).input.path == "a.csv"
    assert config(["a.csv", "b/c.csv"]).input.files == ["a.csv", "b/c.csv"]
    assert "is listed twice; its rows would be read twice" in refusal(tmp_path / "t", files=["00000.tar", "*.tar"])
    for paths in (["s3://a/x.csv", "s3://b/x.csv"], ["/a/x.csv", "/b/x.csv"], ["/a/x.csv", "b/x.csv"]):
        with pytest.raises(ConfigError, match="have no folder in common; a table is in one folder or bucket"):
            config(paths)
    with pytest.raises(ConfigError, match=r"path: \[\] is no list of paths"):
        config([])


def test_txt_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("\ufeffa.jpg\r\n\nhttps://x/b?size=1\n/c/d.png".encode())
    rows = rows_of(config(tmp_path / "list.txt", text={"fixed": "x"}))
    assert [row["image"] for row in rows] == ["a.jpg", "https://x/b?size=1", "/c/d.png"]
    (tmp_path / "list.txt").write_text("a.jpg\nno picture\n")
    assert "line 2: 'no picture' is no path of a picture or of a file of a table" in refusal(tmp_path / "list.txt")


def test_txt_of_files(tmp_path: Path) -> None:
    shards(tmp_path / "t", 3)
    (tmp_path / "shards.txt").write_text(f"t/00002.tar\n{tmp_path}/t/00000.tar\n")
    assert keys_of(tmp_path / "shards.txt") == ["0", "2"]
    assert [opened.name for opened in open_table(config(tmp_path / "shards.txt")).files] == [
        "t/00000.tar",
        "t/00002.tar",
    ]
    write_csv(tmp_path / "t" / "a.csv", [{"image": "a", "text": "b"}])
    (tmp_path / "shards.txt").write_text("t/00002.tar\nt/a.csv\n")
    assert "several formats (1 csv, 1 webdataset)" in refusal(tmp_path / "shards.txt")
    (tmp_path / "shards.txt").write_text("t/00002.tar\nx.jpg\n")
    assert "names 1 picture and 1 file of tables" in refusal(tmp_path / "shards.txt")
    (tmp_path / "shards.txt").write_text("t/00009.tar\n")
    assert "00009.tar' does not exist" in refusal(tmp_path / "shards.txt")


def test_shards_on_s3(s3_server: str, tmp_path: Path) -> None:
    assert s3_server
    s3 = s3fs.S3FileSystem()
    s3.mkdir("tables-shards")
    shards(tmp_path / "t", 3)
    s3.put(f"{tmp_path}/t/", "tables-shards/t/", recursive=True)
    assert keys_of("s3://tables-shards/t/{00000..00001}.tar") == ["0", "1"]
    assert keys_of(["s3://tables-shards/t/00000.tar", "s3://tables-shards/t/00002.tar"]) == ["0", "2"]
    (tmp_path / "local.txt").write_text("s3://tables-shards/t/00001.tar\n")
    assert keys_of(tmp_path / "local.txt") == ["1"]


def test_a_list_does_not_lead_the_names_of_files_out_of_the_table(tmp_path: Path) -> None:
    shards(tmp_path / "t", 1)
    shards(tmp_path / "beside", 1)
    named = tmp_path / "t" / "list.txt"
    named.write_text("../beside/00000.tar\n00000.tar\n")
    assert [file.name for file in open_table(config(named)).files] == ["beside/00000.tar", "t/00000.tar"]
    named.write_text("../t/00000.tar\n00000.tar\n")
    with pytest.raises(ConfigError, match="is listed twice"):
        open_table(config(named))
