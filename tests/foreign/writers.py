"""Writers of tables as other tools make them."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import duckdb
import lance
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import webdataset
from deltalake import DeltaTable, write_deltalake
from pyiceberg.catalog.sql import SqlCatalog

IMAGE_AND_TEXT = {"image": "a.png", "text": "a"}


def parquet(path: Path, columns: dict[str, Any], **options: Any) -> None:
    """Write a Parquet file with these columns, beside image and text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = len(next(iter(columns.values())))
    table = pa.table({**{name: [value] * count for name, value in IMAGE_AND_TEXT.items()}, **columns})
    pq.write_table(table, path, **options)


def jsonl(path: Path, *lines: str) -> None:
    """Write lines of JSON, in which `...` stands for image and text."""
    both = json.dumps(IMAGE_AND_TEXT)[1:-1]
    path.write_text("".join(line.replace("...", both) + "\n" for line in lines))


def tar(path: Path, members: dict[str, bytes], links: dict[str, tuple[bytes, str]] | None = None) -> None:
    """Write a tar of members in this order, then links: name -> kind, target."""
    with tarfile.open(path, "w") as out:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
        for name, (kind, target) in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            out.addfile(info)


def shard(path: Path, *keys: str, **fields: Any) -> None:
    """Write a tar with the tool that gave the format its name."""
    with webdataset.TarWriter(str(path)) as out:
        for key in keys:
            out.write({"__key__": key, "jpg": b"picture", "txt": "a", **({"json": fields} if fields else {})})


def delta_overwritten(folder: Path, **options: Any) -> None:
    """Write ten rows, then four instead: fourteen lie in the folder."""
    for rows in (10, 4):
        table = pa.table({"image": ["a.png"] * rows, "text": ["a"] * rows, "n": range(rows)})
        write_deltalake(folder, table, mode="overwrite", **options)


def iceberg(folder: Path) -> None:
    """Write an Iceberg table, with its metadata beside its data, and rename a column; leave the last metadata alone."""
    catalog = SqlCatalog("tests", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}/warehouse")
    catalog.create_namespace("n")
    rows = pa.table({"image": ["a.png"], "text": ["a"], "n": [1]})
    catalog.create_table("n.t", schema=rows.schema).append(rows)
    table = catalog.load_table("n.t")
    with table.update_schema() as update:
        update.rename_column("n", "m")
    last = Path(table.metadata_location.removeprefix("file://"))
    for path in last.parent.glob("*.metadata.json"):
        if path != last:
            path.unlink()


def hudi(folder: Path) -> None:
    """Write what a Hudi table looks like; its writer needs Spark."""
    parquet(folder / "a.parquet", {"n": [1]})
    (folder / ".hoodie").mkdir()
    (folder / ".hoodie" / "hoodie.properties").write_text("hoodie.table.name=t\n")


def lance_deleted(folder: Path) -> None:
    """Write a Lance dataset of two fragments, and delete a row of each."""
    rows = pa.table({"image": ["a.png"] * 6, "text": ["a"] * 6, "n": range(6)})
    lance.write_dataset(rows, folder, max_rows_per_file=3, mode="overwrite").delete("n IN (0, 4)")


def rewritten_by_delta(folder: Path) -> None:
    """Let delta-rs rewrite a table, and take the file alone, as a plain Parquet file."""
    log = folder / "delta"
    for _ in range(2):
        table = pa.table({**{name: [value] for name, value in IMAGE_AND_TEXT.items()}, "n": [5]})
        write_deltalake(log, table, mode="append")
    table = DeltaTable(log)
    table.optimize.compact()
    [path] = table.file_uris()
    Path(path.removeprefix("file://")).rename(folder / "alone.parquet")


# DuckDB before 1.5 names the folder of null `y=NULL`, which is that of the text, too: all of `y` is text then.
DUCKDB_NAMES_NULL = tuple(map(int, duckdb.__version__.split(".")[:2])) >= (1, 5)


def partitioned_by_duckdb(folder: Path) -> None:
    """Let DuckDB name folders after values, null and `a=b` among them."""
    query = "SELECT 'a.png' AS image, 'a' AS text, y, k FROM (VALUES (5, 'c d'), (NULL, 'a=b')) AS t(y, k)"
    duckdb.sql(f"COPY ({query}) TO '{folder}/t' (FORMAT parquet, PARTITION_BY (y, k))")


def quoted_line_ends(folder: Path) -> None:
    """Put a CRLF within quotes at the edge of a block of 16 MiB."""
    head, cell = b'image,text,x\r\na.png,a,"', b"end"
    fill = b"x" * (16 * 2**20 - len(head) - 1)
    (folder / "a.csv").write_bytes(head + fill + b"\r\n" + cell + b'"\r\n')


def by_pandas(path: Path, **options: Any) -> None:
    """Write a CSV file of two rows with pandas; the second text has quotes in it."""
    rows = {"image": ["a.png", "b.png"], "text": ["a", 'a "big" circle']}
    pandas.DataFrame(rows).to_csv(path, index=False, **options)


def bad_name(folder: Path) -> None:
    """Write a file whose name is not UTF-8."""
    pq.write_table(pa.table({name: ["a"] for name in IMAGE_AND_TEXT}), folder / "a.parquet")
    (folder / "a.parquet").rename(Path(str(folder), "a\udcff.parquet"))


def by_csv_module(path: Path, *rows: tuple[str, ...]) -> None:
    """Write a CSV file with the standard library."""
    with path.open("w", newline="") as out:
        csv.writer(out).writerows(rows)
