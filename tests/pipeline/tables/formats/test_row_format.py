"""Tables of every format: the same rows, ids that stay, counts that are exact, and damaged files named."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import s3fs

from pipeline import ConfigError, JobConfig, run
from pipeline.common.row_ranges import RowSet
from pipeline.scoring.prepare import prepare
from pipeline.stages.micro_batch import MicroBatch
from pipeline.stages.preprocess import Preprocess
from pipeline.tables.reading import read_plan
from pipeline.tables.table import open_table
from tests.pipeline.stages.test_preprocess import PATCHES
from tests.pipeline.tables.reading import (
    ROWS,
    WRITERS,
    Rows,
    config,
    rows_of,
    write_csv,
    write_tar,
)


@pytest.mark.parametrize("end", list(WRITERS))
def test_rows_and_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    (tmp_path / "a").mkdir()
    for i in range(3):
        WRITERS[end](tmp_path / "a" / f"{i}{end}", ROWS[i * 8 : i * 8 + 8])
    job = config(tmp_path / "a")
    table = open_table(job)
    assert (table.rows, table.base) == (23, str(tmp_path / "a"))
    rows = rows_of(job)
    given = {str(row["n"]): row for row in ROWS}
    assert {row["image"] for row in rows} == {row["image"] for row in ROWS}
    assert all(row["text"] == given[str(row["n"])]["text"] for row in rows)
    ids = {str(row["n"]): row["row_hash"] for row in rows}
    assert len(set(ids.values())) == 23
    monkeypatch.setattr("pipeline.tables.formats.row_format.BLOCK_BYTES", 300)  # several blocks a file
    narrow = config(tmp_path / "a", columns=["n"])
    again = rows_of(narrow)
    assert {str(row["n"]): row["row_hash"] for row in again} == ids
    assert set(again[0]) == {"n", "image", "text", "row_hash"}


def test_ids_of_text_files_do_not_depend_on_where_the_table_is(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_csv(tmp_path / folder / "x.csv", ROWS)
    a, b = (rows_of(job) for job in (config(tmp_path / "a"), config(tmp_path / "b")))
    assert {row["row_hash"] for row in a} == {row["row_hash"] for row in b}


def tar_members(row: dict[str, Any]) -> dict[str, bytes]:
    return {"jpg": row["image"], "txt": row["caption"].encode(), "json": json.dumps({"source": row["source"]}).encode()}


def on_s3(folder: Path, rows: Rows, end: str) -> str:
    """Write a table of text, with its pictures beside it, or a tar with them inside; the URI of its folder."""
    s3 = s3fs.S3FileSystem()
    bucket = f"formats{end.replace('.', '-')}"
    s3.mkdir(bucket)
    if end == ".tar":
        members = {f"{i:05d}.{kind}": value for i, row in enumerate(rows) for kind, value in tar_members(row).items()}
        write_tar(folder / "t.tar", members)
    else:
        for i, row in enumerate(rows):
            s3.pipe_file(f"{bucket}/t/pictures/{i}.img", row.pop("image"))
            row.update(image=f"pictures/{i}.img", text=row["caption"])
        WRITERS[end](folder / f"t{end}", rows)
    s3.put(str(folder / f"t{end}"), f"{bucket}/t/t{end}")
    return f"s3://{bucket}/t"


@pytest.mark.usefixtures("s3_server")
@pytest.mark.parametrize("end", [".csv", ".jsonl"])
def test_rows_and_pictures_by_uri_on_s3(
    tmp_path: Path, scene_rows: Callable[[int], Rows], end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read task of a job; what comes behind it is the same for each format."""
    monkeypatch.setattr("pipeline.tables.formats.row_format.SCAN_BYTES", 4096)
    rows = scene_rows(20)
    values = {"input": {"path": on_s3(tmp_path, rows, end)}, "output": {"path": f"{tmp_path}/out"}}
    job = prepare(JobConfig.parse("score", {"model": "zoo://scenes", **values}))
    assert job.table.rows == 20
    read = (rows for one in job.table.unread(RowSet.none()) for rows in one.read(read_plan(job.table, 4)))
    preprocess = Preprocess(job.config, job.table.base, job.table.columns, 4096, 1)
    batches = [batch for table in preprocess(read) for batch in MicroBatch.from_arrow(table, PATCHES)]
    out = [row for batch in batches for row in batch.rows.to_pylist()]
    assert [row["error"] for row in out] == [None] * 20
    assert {row["text"] for row in out} == {row["caption"] for row in rows}
    assert sum(len(batch.pairs) for batch in batches) == 20, "each with its picture and its text"


@pytest.mark.usefixtures("ray_cluster", "s3_server")
def test_a_job(tmp_path: Path, scene_rows: Callable[[int], Rows], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.tables.formats.row_format.SCAN_BYTES", 4096)
    rows = scene_rows(20)
    values = {
        "input": {"path": on_s3(tmp_path, rows, ".tar")},
        "output": {"path": str(tmp_path / "out"), "report": False},
    }
    summary = run(JobConfig.parse("score", {"model": "zoo://scenes", **values}))
    assert (summary.rows_in, summary.scored, summary.rejected) == (20, 20, {})
    out = pq.read_table(tmp_path / "out").to_pylist()
    assert {row["text"] for row in out} == {row["caption"] for row in rows}


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.parquet", b"PAR1 no", r"x\.parquet' is not Parquet, or is cut off"),
        ("x.csv", b"", r"x\.csv' is damaged or no such table: Empty CSV file"),
        ("x.csv", b"image,text\na,b\nc\n", r"x\.csv' is damaged .* Expected 2 columns, got 1: c"),
        ("x.csv", b"image,text,text\na,b,c\n", r"x\.csv' is damaged .* two columns are named 'text'"),
        ("x.csv.gz", gzip.compress(b"image,text\n" + b"a,b\n" * 9999, mtime=0)[:-9], r"x\.csv\.gz' is damaged"),
        ("x.csv.gz", b"image,text\na,b\n", r"x\.csv\.gz'"),
        (
            "x.jsonl",
            b'{"image": "a", "text": "b"}\n{"image":',
            r"x\.jsonl' is damaged .* line 2, column 10: Expecting value",
        ),
        (
            "x.jsonl",
            b'{"text": "b"}\n{"text": 5}',
            r"column 'text' cannot be read: '.*x\.jsonl', line 2: a number here and a string before; to run without it",
        ),
        ("x.json", b'[{"image": "a", "text": "b"}]', r"x\.json' is damaged .* a JSON list; JSON lines are one object"),
        ("x.tar", b"", r"x\.tar' is damaged .* empty file"),
        ("x.tar", b"no tar" * 999, r"x\.tar' is damaged"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=message) as caught:
        open_table(config(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("end", [".csv", ".parquet", ".jsonl"])
def test_files_with_different_columns(tmp_path: Path, end: str) -> None:
    base = {"image": "a.png", "text": "a"}
    WRITERS[end](tmp_path / f"1{end}", [{**base, "n": 1}])
    WRITERS[end](tmp_path / f"2{end}", [base])
    if end == ".csv":
        with pytest.raises(
            ConfigError, match=r"2\.csv' has the columns image, text, but '.*1\.csv' has image, text, n"
        ):
            open_table(config(tmp_path))
        return
    job = config(tmp_path)
    assert sorted(row["n"] or 0 for row in rows_of(job)) == [0, 1]
    WRITERS[end](tmp_path / f"2{end}", [{**base, "n": 2.5}])
    assert sorted(row["n"] for row in rows_of(job)) == [1.0, 2.5]
    WRITERS[end](tmp_path / f"3{end}", [{**base, "n": "x"}])
    how = "a string here and a number before" if end == ".jsonl" else "and double in other files"
    with pytest.raises(ConfigError, match=rf"column 'n' .*3\{end}'.* {how}"):
        open_table(job)
    assert open_table(config(tmp_path, columns=["text"])).rows == 3, "a job that does not carry it"
