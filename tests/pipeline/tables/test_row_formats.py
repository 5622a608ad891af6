"""Tables of every format: the same rows, ids that stay, counts that are exact, and damaged files named."""

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError, JobConfig, run
from pipeline.common.row_ranges import Places
from pipeline.tables.table import InputTable, open_table, read
from tests.conftest import png

pytestmark = pytest.mark.usefixtures("ray_cluster")
Rows = list[dict[str, Any]]
ROWS = [{"n": i, "image": f"{i}.png", "text": f'a "{i}",\nb' if i % 3 else f"0{i}"} for i in range(23)]


def config(path: object, **keys: Any) -> JobConfig:
    values = {"input": {"path": str(path), **keys}, "model": "zoo://scenes", "output": {"path": "/nowhere/out"}}
    return JobConfig.parse("score", {**values, "batch": {"window_rows": 5}})


def write_csv(file: Path, rows: Rows) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    data = text.getvalue().encode()
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)


def write_jsonl(file: Path, rows: Rows) -> None:
    data = "\n".join(map(json.dumps, rows)).encode()
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)


def write_parquet(file: Path, rows: Rows) -> None:
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=4)


def write_tar(file: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(file, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    ".csv": write_csv,
    ".csv.gz": write_csv,
    ".jsonl": write_jsonl,
    ".json": write_jsonl,
    ".ndjson.gz": write_jsonl,
    ".parquet": write_parquet,
}


def rows_of(table: InputTable, job: JobConfig) -> Rows:
    hidden = ["__place", "row_hash"] if job.input.id else ["__place"]
    rows = read(table, job, Places.none(), iter).drop_columns(hidden).take_all()
    assert len(rows) == table.rows, "counted before, and read"
    return rows


@pytest.mark.parametrize("end", list(WRITERS))
def test_rows_and_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    (tmp_path / "a").mkdir()
    for i in range(3):
        WRITERS[end](tmp_path / "a" / f"{i}{end}", ROWS[i * 8 : i * 8 + 8])
    job = config(tmp_path / "a")
    table = open_table(job)
    assert (table.rows, table.base) == (23, str(tmp_path / "a"))
    rows = rows_of(table, job)
    given = {str(row["n"]): row for row in ROWS}
    assert {row["image"] for row in rows} == {row["image"] for row in ROWS}
    assert all(row["text"] == given[str(row["n"])]["text"] for row in rows)
    ids = {str(row["n"]): row["row_hash"] for row in rows}
    assert len(set(ids.values())) == 23
    monkeypatch.setattr("pipeline.tables.row_format.BLOCK_BYTES", 300)  # several blocks a file
    narrow = config(tmp_path / "a", columns=["n"])
    again = rows_of(open_table(narrow), narrow)
    assert {str(row["n"]): row["row_hash"] for row in again} == ids
    assert set(again[0]) == {"n", "image", "text", "row_hash"}


def test_ids_of_text_files_do_not_depend_on_where_the_table_is(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_csv(tmp_path / folder / "x.csv", ROWS)
    a, b = (rows_of(open_table(job), job) for job in (config(tmp_path / "a"), config(tmp_path / "b")))
    assert {row["row_hash"] for row in a} == {row["row_hash"] for row in b}


def test_csv_values_are_strings_and_ids_numbers(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(b'\xef\xbb\xbfid,image,text,zip\n7,a.png,"one\ntwo",007\n\n8,b.png,,1e3\n')
    job = config(file, id="id")
    table = open_table(job)
    assert rows_of(table, job) == [
        {"id": 7, "image": "a.png", "text": "one\ntwo", "zip": "007"},
        {"id": 8, "image": "b.png", "text": "", "zip": "1e3"},
    ]
    with pytest.raises(ConfigError, match=r"x\.csv' is damaged .* conversion error to int64: invalid value 'a\.png'"):
        open_table(config(file, id="image"))


def test_json_types_are_joined(tmp_path: Path) -> None:
    lines = [
        {"image": "a", "text": ["x"], "n": 1, "day": "2026-01-01"},
        {"image": "b", "text": [], "n": 2.5, "day": None, "more": {"k": "2026-01-01"}},
    ]
    write_jsonl(tmp_path / "1.jsonl", [lines[0]])
    write_jsonl(tmp_path / "2.jsonl", [lines[1], {"image": None}])
    job = config(tmp_path)
    table = open_table(job)
    assert table.columns.text_is_list
    rows = {row["image"]: row for row in rows_of(table, job)}
    assert (rows["a"]["n"], rows["a"]["day"], rows["a"]["more"]) == (1.0, "2026-01-01", None)
    assert rows["b"]["more"] == {"k": "2026-01-01"}
    assert rows[None]["text"] is None


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
    tables = list(read(table, job, Places.none(), iter).iter_batches(batch_size=None, batch_format="pyarrow"))
    whole = pa.concat_tables(tables).sort_by("__key__")
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


def test_a_key_that_comes_twice_is_two_samples(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for name in ("1.jpg", "1.txt", "1.jpg", "1.txt"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    assert open_table(config(tmp_path)).rows == 2


@pytest.mark.parametrize("end", [".csv", ".jsonl", ".tar"])
def test_a_job(
    tmp_path: Path, scene_rows: Callable[[int], Rows], end: str, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    assert s3_server
    monkeypatch.setattr("pipeline.tables.row_format.SCAN_BYTES", 4096)
    s3 = s3fs.S3FileSystem()
    bucket = f"formats{end.replace('.', '-')}"
    s3.mkdir(bucket)
    rows = scene_rows(20)
    if end == ".tar":
        members = {f"{i:05d}.{kind}": value for i, row in enumerate(rows) for kind, value in tar_members(row).items()}
        write_tar(tmp_path / "t.tar", members)
    else:
        for i, row in enumerate(rows):
            s3.pipe_file(f"{bucket}/t/pictures/{i}.img", row.pop("image"))
            row.update(image=f"pictures/{i}.img", text=row["caption"])
        WRITERS[end](tmp_path / f"t{end}", rows)
    s3.put(str(tmp_path / f"t{end}"), f"{bucket}/t/t{end}")
    values = {"input": {"path": f"s3://{bucket}/t"}, "output": {"path": str(tmp_path / "out")}}
    summary = run(JobConfig.parse("score", {"model": "zoo://scenes", **values}))
    assert (summary.rows_in, summary.scored, summary.rejected) == (20, 20, {})
    out = pq.read_table(tmp_path / "out").to_pylist()
    assert {row["text"] for row in out} == {row["caption"] for row in rows}


def tar_members(row: dict[str, Any]) -> dict[str, bytes]:
    return {"jpg": row["image"], "txt": row["caption"].encode(), "json": json.dumps({"source": row["source"]}).encode()}


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
    assert sorted(row["n"] or 0 for row in rows_of(open_table(job), job)) == [0, 1]
    WRITERS[end](tmp_path / f"2{end}", [{**base, "n": 2.5}])
    assert sorted(row["n"] for row in rows_of(open_table(job), job)) == [1.0, 2.5]
    WRITERS[end](tmp_path / f"3{end}", [{**base, "n": "x"}])
    how = "a string here and a number before" if end == ".jsonl" else "and double in other files"
    with pytest.raises(ConfigError, match=rf"column 'n' .*3\{end}'.* {how}"):
        open_table(job)
    assert open_table(config(tmp_path, columns=["text"])).rows == 3, "a job that does not carry it"


def test_several_formats_and_no_extension(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ROWS)
    write_jsonl(tmp_path / "b.jsonl", ROWS[:3])
    with pytest.raises(
        ConfigError, match=r"holds files of several formats \(1 csv, 1 jsonl\); choose in input\.format"
    ):
        open_table(config(tmp_path))
    assert open_table(config(tmp_path, format="jsonl")).rows == 3
    assert open_table(config(tmp_path / "a.csv")).rows == 23
    (tmp_path / "p").mkdir()
    write_parquet(tmp_path / "p" / "part-00000", ROWS)
    assert open_table(config(tmp_path / "p", format="parquet")).rows == 23
