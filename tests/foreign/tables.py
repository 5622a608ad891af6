"""Tables as other tools write them: the table of cases. A new report is one line of `CASES`."""

from __future__ import annotations

import csv
import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import polars
import pyarrow as pa
import pyarrow.parquet as pq

from tests.foreign.writers import (
    DUCKDB_NAMES_NULL,
    IMAGE_AND_TEXT,
    bad_name,
    by_csv_module,
    by_pandas,
    delta_overwritten,
    hudi,
    iceberg,
    jsonl,
    lance_deleted,
    parquet,
    partitioned_by_duckdb,
    quoted_line_ends,
    rewritten_by_delta,
    shard,
    tar,
)

Rows = list[dict[str, Any]]
FILES = Path(__file__).parent / "files"
FAR = datetime(9999, 12, 31)


@dataclass(frozen=True)
class Case:
    """A table and what must become of it.

    Attributes:
        name: What the table is like.
        write: Writes it into a folder.
        rows: The rows that a job reads, in order, without the columns `image` and `text`, or
        refused: a pattern of the one line with which it is refused before any work.
        config: Keys of the section `input`; `path` is below the folder.
    """

    name: str
    write: Callable[[Path], object]
    rows: Rows | None = None
    refused: str | None = None
    config: dict[str, Any] = field(default_factory=dict)


LOG = "is {} .* not read yet: its log says which of its files are the table"
LONG_LINE = "the line at byte 19 has more than 16777216 bytes, the most that a row of CSV may have"
CASES = [
    # Folders whose files are not the table.
    Case("delta, overwritten", delta_overwritten, rows=[{"n": n} for n in range(4)]),
    Case(
        "delta, partitioned",
        lambda f: delta_overwritten(f, partition_by=["n"]),
        rows=[{"n": n} for n in range(4)],
    ),
    Case("delta, an earlier version", delta_overwritten, rows=[{"n": n} for n in range(10)], config={"version": 0}),
    Case(
        "delta, one partition",
        lambda f: delta_overwritten(f, partition_by=["n"]),
        refused="is within '.*', a Delta table, whose log says which of its files are the table: name the table's",
        config={"path": "n=1"},
    ),
    Case("delta, glob", delta_overwritten, refused="is within '.*', a Delta table", config={"path": "*.parquet"}),
    Case("iceberg", iceberg, rows=[{"m": 1}], config={"path": "warehouse/n/t"}),
    Case("iceberg, data", iceberg, refused="is within '.*', an Iceberg table", config={"path": "warehouse/n/t/data"}),
    Case("hudi", hudi, refused=LOG.format("a Hudi table")),
    Case("lance, deleted rows", lance_deleted, rows=[{"n": n} for n in (1, 2, 3, 5)]),
    Case(
        "datasets.save_to_disk",
        lambda f: shutil.copytree(FILES / "datasets_saved", f / "t"),
        rows=[{"label": label} for label in (0, 1, 0, 1, 1)],
        config={"path": "t"},
    ),
    Case(
        "datasets.save_to_disk, all splits",
        lambda f: shutil.copytree(FILES / "datasets_splits", f / "t"),
        refused="is a DatasetDict; name one of its splits: .*/t/train or .*/t/test",
        config={"path": "t"},
    ),
    # Numbers and times.
    Case(
        "json, integers beyond int64",
        lambda f: jsonl(f / "a.jsonl", *(f'{{..., "uid": {12345678901234567890 + i}}}' for i in range(3))),
        rows=[{"uid": 12345678901234567890 + i} for i in range(3)],
    ),
    Case(
        "json, integers beyond 64 bits",
        lambda f: jsonl(f / "a.jsonl", '{..., "uid": 1}', '{..., "uid": 18446744073709551616}'),
        refused="column 'uid' cannot be read: .*line 2: 18446744073709551616 is an integer beyond 64 bits",
    ),
    Case(
        "json, integers beyond 64 bits, not carried",
        lambda f: jsonl(f / "a.jsonl", '{..., "uid": 1}', '{..., "uid": 18446744073709551616}'),
        rows=[{}, {}],
        config={"columns": ["text"]},
    ),
    Case(
        "json, small integers and 0.5",
        lambda f: jsonl(f / "a.jsonl", '{..., "n": 3}', '{..., "n": 0.5}'),
        rows=[{"n": 3.0}, {"n": 0.5}],
    ),
    Case(
        "json, large integers and 0.5",
        lambda f: jsonl(f / "a.jsonl", '{..., "n": 9007199254740993}', '{..., "n": 0.5}'),
        refused="column 'n' cannot be read: .*line 2: integers such as 9007199254740993 stand beside fractions",
    ),
    Case(
        "json, large integers in one file and 0.5 in another",
        lambda f: [jsonl(f / "a.jsonl", '{..., "n": 9007199254740993}'), jsonl(f / "b.jsonl", '{..., "n": 0.5}')],
        refused="column 'n' cannot be read: .*b.jsonl': integers such as 9007199254740993 stand beside fractions",
    ),
    Case(
        "tar, integers beyond int64",
        lambda f: shard(f / "a.tar", "0", "1", uid=12345678901234567891),
        rows=[{"__key__": str(i), "uid": 12345678901234567891} for i in range(2)],
    ),
    Case(
        "INT96 of the year 9999",
        lambda f: parquet(f / "a.parquet", {"t": [FAR]}, use_deprecated_int96_timestamps=True),
        rows=[{"t": FAR}],
    ),
    Case(
        "INT96 of the year 9999 beside nanoseconds",
        lambda f: [
            parquet(f / "a.parquet", {"t": [FAR]}, use_deprecated_int96_timestamps=True),
            parquet(f / "b.parquet", {"t": pa.array([1], pa.timestamp("ns"))}, use_deprecated_int96_timestamps=True),
        ],
        refused="INT96 times in .*a.parquet' are out of the range of .*b.parquet' are read right as nanoseconds alone",
    ),
    Case(
        "INT96 before 1970 by pyarrow 22",
        lambda f: shutil.copy(FILES / "int96_before_1970.parquet", f),
        rows=[
            {"t": None if day is None else datetime.fromisoformat(day)}
            for day in ("1900-01-01T12:00:00", "1969-12-31T23:59:59", None, "1969-12-30", "1970-01-01")
        ],
    ),
    Case(
        "INT96 before 1970 by pyarrow 22, beside the year 9999",
        lambda f: [
            shutil.copy(FILES / "int96_before_1970.parquet", f / "b.parquet"),
            parquet(f / "a.parquet", {"t": [FAR]}, use_deprecated_int96_timestamps=True),
        ],
        refused="INT96 times in .*a.parquet' are out of the range of .*b.parquet' are read right as nanoseconds alone",
    ),
    Case(
        "int64 beyond 2^53 beside double",
        lambda f: [parquet(f / "a.parquet", {"n": [2**53 + 1]}), parquet(f / "b.parquet", {"n": [0.5]})],
        refused="column 'n' cannot be read: it is int64 in .*a.parquet' .* and in other files double",
    ),
    Case(
        "uint64 beside int64",
        lambda f: [
            parquet(f / "a.parquet", {"n": pa.array([2**64 - 1], pa.uint64())}),
            parquet(f / "b.parquet", {"n": [-1]}),
        ],
        refused="column 'n' cannot be read: it is uint64 in .*a.parquet' .* and in other files int64",
    ),
    Case(
        "microseconds of 9999 beside nanoseconds",
        lambda f: [
            parquet(f / "a.parquet", {"t": pa.array([FAR], pa.timestamp("us"))}),
            parquet(f / "b.parquet", {"t": pa.array([1], pa.timestamp("ns"))}),
        ],
        refused=r"column 't' cannot be read: it is timestamp\[us\] in .*a.parquet' .* in other files timestamp\[ns\]",
    ),
    # Rows that vanished.
    Case(
        "tars joined by cat",
        lambda f: [
            shard(f / "a", "0", "1"),
            shard(f / "b", "2"),
            (f / "all.tar").write_bytes((f / "a").read_bytes() + (f / "b").read_bytes()),
            (f / "a").unlink(),
            (f / "b").unlink(),
        ],
        rows=[{"__key__": str(i)} for i in range(3)],
    ),
    Case(
        "tar, keys with dots",
        lambda f: shard(f / "a.tar", "img_v1.0_001", "img_v1.0_002"),
        refused=r"img_v1\.0_001\.jpg: a key ends at the first dot, so this is the member '0_001\.jpg' of .* 'img_v1'",
    ),
    Case(
        "tar, members sorted by type",
        lambda f: tar(f / "a.tar", {f"{i}.{end}": b"x" for end in ("jpg", "txt") for i in range(3)}),
        refused=r"0\.jpg and 0\.txt are one sample, but other samples stand between them.*--sort=name",
    ),
    Case(
        "tar, links",
        lambda f: tar(f / "a.tar", {"0.jpg": b"x", "0.txt": b"a"}, {"1.jpg": (tarfile.LNKTYPE, "0.jpg")}),
        rows=[{"__key__": "0"}, {"__key__": "1"}],
    ),
    Case(
        "tar, a link to nothing",
        lambda f: tar(f / "a.tar", {"0.txt": b"a"}, {"1.jpg": (tarfile.SYMTYPE, "gone.jpg")}),
        refused=r"1\.jpg is a link to gone\.jpg, which is not in the tar",
    ),
    Case("tar, jfif", lambda f: tar(f / "a.tar", {"0.jfif": b"x", "0.txt": b"a"}), rows=[{"__key__": "0"}]),
    Case(
        "csv, a quote that is never closed",
        lambda f: (f / "a.csv").write_text('image,text\na.png,a\nb.png,"b\nc.png,c\nd.png,d\n'),
        refused=r"a\.csv' is damaged .*a quote in row 2 is never closed: all that follows it is one value",
    ),
    Case("csv, CRLF in quotes at the edge of a block", quoted_line_ends, rows=[{"x": "x" * (2**24 - 24) + "\r\nend"}]),
    Case(
        "csv, by the csv module",
        lambda f: by_csv_module(
            f / "a.csv", ("image", "text", "q"), ("a.png", "a", 'one "two",\r\nthree'), ("b", "b", "")
        ),
        rows=[{"q": 'one "two",\r\nthree'}, {"q": ""}],
    ),
    Case(
        "csv, quotes escaped by a backslash, as Spark and MySQL do",
        lambda f: by_pandas(f / "a.csv", escapechar="\\", doublequote=False, quoting=csv.QUOTE_ALL),
        refused=r"a\.csv' is damaged .*row 2 goes on after the quote that ends a value.*escaped by a backslash: Spark",
    ),
    Case("csv, quotes by pandas", lambda f: by_pandas(f / "a.csv"), rows=[{}, {}]),
    Case(
        "csv, quotes in a value without quotes around it",
        lambda f: (f / "a.csv").write_text('image,text,q\na.png,a,5" wide\n"b.png","b","""b"" c"\n'),
        rows=[{"q": '5" wide'}, {"q": '"b" c'}],
    ),
    Case(
        "csv, semicolons by Excel",
        lambda f: by_pandas(f / "a.csv", sep=";", encoding="utf-8-sig"),
        refused=r"a\.csv' .*its first line, 'image;text', has ';' between names, not ',': save it with commas",
    ),
    Case(
        "csv, tabs",
        lambda f: by_pandas(f / "a.csv", sep="\t"),
        refused=r"has '\\t' between names, not ',': name the file \.tsv, or set input\.format=tsv",
    ),
    Case("csv, BOM by Excel", lambda f: by_pandas(f / "a.csv", encoding="utf-8-sig"), rows=[{}, {}]),
    Case(
        "csv, UTF-16 by Excel",
        lambda f: by_pandas(f / "a.csv", encoding="utf-16"),
        refused=r"a\.csv' .*it is text in UTF-16: save it in UTF-8",
    ),
    Case(
        "csv, a line of more than 16 MiB",
        lambda f: (f / "a.csv").write_text(f"image,text\na.png,a\nb.png,{'b' * 2**26}\nc.png,c\n"),
        rows=[{"__unread": None}, {"__unread": {"reason": "row_too_large", "detail": LONG_LINE}}, {"__unread": None}],
    ),
    Case(
        "csv, a row of more than 16 MiB with line ends in it",
        lambda f: (f / "a.csv").write_text(f'image,text\na.png,a\nb.png,"{("b" * 2**20 + chr(10)) * 40}"\nc.png,c\n'),
        refused=r"a\.csv' .*a row after row \d+ has more than 16,777,216 bytes, or a quote in it is never closed",
    ),
    Case(
        "a pointer of Git LFS",
        lambda f: (f / "a.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n"),
        refused=r"a\.parquet' is not Parquet, .*it is a pointer of Git LFS, not the file itself: fetch it with",
    ),
    Case(
        "json, a list in many lines",
        lambda f: (f / "a.json").write_text(json.dumps([IMAGE_AND_TEXT] * 2, indent=2)),
        refused=r"a\.json' .*it is a JSON list; JSON lines are one object a line: jq -c '\.\[\]' FILE",
    ),
    Case(
        "json, an object in many lines",
        lambda f: (f / "a.json").write_text(json.dumps(IMAGE_AND_TEXT, indent=2)),
        refused=r"a\.json' .*it has an object in several lines; JSON lines are one a line: jq -c \. FILE",
    ),
    Case("json, an empty file", lambda f: (f / "a.jsonl").touch(), refused="holds no rows of jsonl"),
    # Types that other tools write.
    Case(
        "a file that delta-rs rewrote", rewritten_by_delta, rows=[{"n": 5}, {"n": 5}], config={"path": "alone.parquet"}
    ),
    Case(
        "view types",
        lambda f: parquet(
            f / "a.parquet",
            {"v": pa.array(["x"], pa.string_view()), "s": pa.array([{"p": "y"}], pa.struct([("p", pa.string_view())]))},
        ),
        rows=[{"v": "x", "s": {"p": "y"}}],
    ),
    Case(
        "polars",
        lambda f: (
            polars.DataFrame({**IMAGE_AND_TEXT, "tags": [["x", "y"]], "c": ["red"]})
            .with_columns(polars.col("c").cast(polars.Categorical))
            .write_parquet(f / "a.parquet")
        ),
        rows=[{"tags": ["x", "y"], "c": "red"}],
    ),
    Case(
        "list views",
        lambda f: shutil.copy(FILES / "list_views.parquet", f),
        rows=[{"v": [1]}, {"v": None}, {"v": []}, {"v": [2, 3]}],
    ),
    Case(
        "integers of 128 bits by polars",
        lambda f: polars.DataFrame({**IMAGE_AND_TEXT, "n": [1]}, schema_overrides={"n": polars.Int128}).write_parquet(
            f / "a.parquet"
        ),
        refused=r"a\.parquet' has a column of a type that is not read: Integers with more than 64 bits.*as strings or",
    ),
    Case(
        "fixed lists of strings as texts",
        lambda f: pq.write_table(
            pa.table({"image": ["a.png"], "text": pa.array([["x", "y"]], pa.list_(pa.string(), 2))}), f / "a.parquet"
        ),
        rows=[{}],
    ),
    Case(
        "texts stored as binary, beside strings",
        lambda f: [
            pq.write_table(pa.table({"image": ["a.png"], "text": [b"a"]}), f / "a.parquet"),
            pq.write_table(pa.table({"image": ["b.png"], "text": ["b"]}), f / "b.parquet"),
        ],
        rows=[{}, {}],
    ),
    Case(
        "dictionary beside plain strings",
        lambda f: [
            parquet(f / "a.parquet", {"d": pa.array(["x"]).dictionary_encode()}),
            parquet(f / "b.parquet", {"d": ["y"]}),
        ],
        rows=[{"d": "x"}, {"d": "y"}],
    ),
    Case(
        "partitions by DuckDB",
        partitioned_by_duckdb,
        rows=[
            {"y": 5 if DUCKDB_NAMES_NULL else "5", "k": "c d"},
            {"y": None if DUCKDB_NAMES_NULL else "NULL", "k": "a=b"},
        ],
        config={"path": "t"},
    ),
    # Files and columns that refused the whole table.
    Case(
        "json, an odd line in a column that nobody carries",
        lambda f: jsonl(f / "a.jsonl", '{..., "n": 1}', '{..., "n": "one"}'),
        rows=[{}, {}],
        config={"columns": ["text"]},
    ),
    Case(
        "json, an odd line in a column that is carried",
        lambda f: jsonl(f / "a.jsonl", '{..., "n": 1}', "", '{..., "n": "one"}'),
        refused="column 'n' cannot be read: .*a.jsonl', line 3: a string here and a number before; to run without it",
    ),
    Case(
        "json, half an emoji",
        lambda f: jsonl(f / "a.jsonl", '{..., "note": {"t": "\\ud83d"}}', '{..., "note": {"t": "\\ud83d\\ude00"}}'),
        rows=[{"note": {"t": "\ufffd"}}, {"note": {"t": "\U0001f600"}}],
    ),
    Case(
        "json, objects without fields",
        lambda f: jsonl(f / "a.jsonl", '{..., "meta": {}}', '{..., "meta": {}}'),
        rows=[{"meta": None}, {"meta": None}],
    ),
    Case("a file name that is not UTF-8", bad_name, refused=r"the name of the file 'a\\xff\.parquet' is not UTF-8"),
    Case(
        "tar, a member's name that is not UTF-8",
        lambda f: tar(f / "a.tar", {"\udcff.jpg": b"x", "\udcff.txt": b"a"}),
        rows=[{"__key__": "\\xff"}],
    ),
    Case(
        "two columns of one name",
        lambda f: pq.write_table(pa.table([["a"], ["a"], ["a"]], ["image", "text", "text"]), f / "a.parquet"),
        refused="has two columns named 'text'",
    ),
    Case(
        "a folder with the characters of a glob",
        lambda f: parquet(f / "photos [2024]" / "a.parquet", {"n": [1]}),
        rows=[{"n": 1}],
        config={"path": "photos [2024]/"},
    ),
    Case(
        "a column named row_source",
        lambda f: parquet(f / "a.parquet", {"row_source": ["x"]}),
        refused="the table has a column 'row_source', a name that the job needs for itself; list the columns to carry",
    ),
]
