"""Ids as other tools write them: the table of cases. A new report is one line of `CASES`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import duckdb
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import write_deltalake

HEX = ["d2f9a8c0b1e34f5697887766554433ff", "00000000000000000000000000000001", "ffffffffffffffffffffffffffffffff"]
UUIDS = [UUID(text) for text in HEX]
BYTES = [one.bytes for one in UUIDS]
FAR = datetime(9999, 12, 31)
ZONED = [datetime(2026, 11, day, tzinfo=timezone.utc) for day in (3, 1, 2)]


class Case(NamedTuple):
    """A table of three rows with a column `uid`.

    Attributes:
        write: Writes the file into a folder.
        kind: The type of `row_id`.
        ids: Its values.
        refused: A pattern of the line with which it is refused, if it is.
    """

    write: Callable[[Path], object]
    kind: pa.DataType | None = None
    ids: list[Any] | None = None
    refused: str | None = None


def arrow(*values: Any, kind: pa.DataType | None = None, **options: Any) -> Callable[[Path], object]:
    """Write the ids with pyarrow."""
    column = pa.array(values, kind)

    def write(folder: Path) -> None:
        pq.write_table(
            pa.table({"uid": column, "image": [b"i"] * 3, "text": ["a"] * 3}), folder / "a.parquet", **options
        )

    return write


def uuids(folder: Path) -> None:
    """Write UUIDs with pyarrow, as its own type."""
    column = pa.ExtensionArray.from_storage(pa.uuid(), pa.array(BYTES, pa.binary(16)))
    pq.write_table(pa.table({"uid": column, "image": [b"i"] * 3, "text": ["a"] * 3}), folder / "a.parquet")


def by_duckdb(sql: str, *values: Any) -> Callable[[Path], object]:
    """Let DuckDB write the ids, as values of this SQL of `v`."""

    def write(folder: Path) -> None:
        rows = ", ".join(f"({one!r})" for one in values)
        query = f"SELECT {sql} AS uid, 'i'::BLOB AS image, 'a' AS text FROM (VALUES {rows}) AS t(v)"
        duckdb.sql(f"COPY ({query}) TO '{folder}/a.parquet' (FORMAT parquet)")

    return write


def by_polars(*values: Any, kind: Any = None) -> Callable[[Path], object]:
    """Let polars write the ids."""

    def write(folder: Path) -> None:
        columns = {"uid": polars.Series(values, dtype=kind), "image": [b"i"] * 3, "text": ["a"] * 3}
        polars.DataFrame(columns).write_parquet(folder / "a.parquet")

    return write


def by_pandas(values: Any) -> Callable[[Path], object]:
    """Let pandas write the ids."""
    return lambda folder: pd.DataFrame({"uid": values, "image": [b"i"] * 3, "text": "a"}).to_parquet(
        folder / "a.parquet"
    )


def by_delta(*values: Any, kind: pa.DataType | None = None) -> Callable[[Path], object]:
    """Let delta-rs write the ids, and take the file alone."""

    def write(folder: Path) -> None:
        table = pa.table({"uid": pa.array(values, kind), "image": [b"i"] * 3, "text": ["a"] * 3})
        write_deltalake(folder / "delta", table)
        [file] = (folder / "delta").glob("*.parquet")
        file.rename(folder / "a.parquet")
        for left in (folder / "delta" / "_delta_log").iterdir():
            left.unlink()
        (folder / "delta" / "_delta_log").rmdir()
        (folder / "delta").rmdir()

    return write


def by_csv(*values: str) -> Callable[[Path], object]:
    """Write the ids as CSV."""
    return lambda folder: (folder / "a.csv").write_text("uid,image,text\n" + "".join(f"{v},i,a\n" for v in values))


def by_json(*values: Any) -> Callable[[Path], object]:
    """Write the ids as JSON lines."""
    lines = [json.dumps({"uid": one, "image": "i", "text": "a"}) + "\n" for one in values]
    return lambda folder: (folder / "a.jsonl").write_text("".join(lines))


REFUSED = "input.id: column 'uid' is {}[^;]*; ids are integers, strings, bytes, UUIDs, decimals"
PANDAS_TEXT = pa.large_string() if int(pd.__version__.split(".")[0]) >= 3 else pa.string()
CASES = {
    "DataComp's 32 hex digits": Case(arrow(*HEX), pa.string(), HEX),
    "strings by pandas": Case(by_pandas(HEX), PANDAS_TEXT, HEX),
    "large strings by polars": Case(by_polars(*HEX), pa.large_string(), HEX),
    "categories by polars": Case(by_polars(*HEX, kind=polars.Categorical), pa.string(), HEX),
    "categories by pandas": Case(by_pandas(pd.Categorical(HEX)), pa.string(), HEX),
    "views": Case(arrow(*HEX, kind=pa.string_view()), pa.string(), HEX),
    "strings by delta-rs": Case(by_delta(*HEX), pa.string(), HEX),
    "strings in CSV": Case(by_csv(*HEX), pa.string(), HEX),
    "integers in CSV": Case(by_csv("3", "1", "2"), pa.int64(), [3, 1, 2]),
    "strings in JSON": Case(by_json(*HEX), pa.string(), HEX),
    "integers beyond int64 in JSON": Case(by_json(2**64 - 1, 1, 2), pa.uint64(), [2**64 - 1, 1, 2]),
    "fixed_size_binary(16)": Case(arrow(*BYTES, kind=pa.binary(16)), pa.binary(16), BYTES),
    "bytes": Case(arrow(b"", b"\xff", b"a"), pa.binary(), [b"", b"\xff", b"a"]),
    "large bytes": Case(arrow(*BYTES, kind=pa.large_binary()), pa.large_binary(), BYTES),
    "UUIDs by pyarrow": Case(uuids, pa.uuid(), UUIDS),
    "UUIDs by DuckDB": Case(by_duckdb("v::UUID", *HEX), pa.uuid(), UUIDS),
    "int8": Case(arrow(-128, 127, 0, kind=pa.int8()), pa.int8(), [-128, 127, 0]),
    "int16 by polars": Case(by_polars(3, 1, 2, kind=polars.Int16), pa.int16(), [3, 1, 2]),
    "uint32 by DuckDB": Case(by_duckdb("v::UINTEGER", 2**32 - 1, 1, 2), pa.uint32(), [2**32 - 1, 1, 2]),
    "uint64": Case(arrow(2**64 - 1, 0, 2**63, kind=pa.uint64()), pa.uint64(), [2**64 - 1, 0, 2**63]),
    "dates by polars": Case(by_polars(*(one.date() for one in ZONED)), pa.date32(), [one.date() for one in ZONED]),
    "date64": Case(arrow(*(one.date() for one in ZONED), kind=pa.date64()), pa.date32(), [one.date() for one in ZONED]),
    "decimals by DuckDB": Case(
        by_duckdb("v::DECIMAL(20, 2)", "1.50", "-3", "12345678901234567.25"),
        pa.decimal128(20, 2),
        [Decimal("1.50"), Decimal("-3.00"), Decimal("12345678901234567.25")],
    ),
    "decimals by delta-rs": Case(
        by_delta(Decimal(3), Decimal(1), Decimal(2), kind=pa.decimal128(38, 0)), pa.decimal128(38, 0), [3, 1, 2]
    ),
    "timestamps of the year 9999": Case(
        arrow(FAR, datetime(1, 1, 1), datetime(2026, 1, 1), kind=pa.timestamp("us")),
        pa.timestamp("us"),
        [FAR, datetime(1, 1, 1), datetime(2026, 1, 1)],
    ),
    "INT96 of the year 9999": Case(
        arrow(FAR, datetime(1, 1, 1), datetime(2026, 1, 1), use_deprecated_int96_timestamps=True),
        pa.timestamp("us"),
        [FAR, datetime(1, 1, 1), datetime(2026, 1, 1)],
    ),
    "timestamps with a zone by polars": Case(
        by_polars(*ZONED, kind=polars.Datetime("us", "UTC")), pa.timestamp("us", "UTC"), ZONED
    ),
    "booleans": Case(arrow(True, False, None), pa.bool_(), [True, False, None]),
    "floats": Case(arrow(0.5, 1.5, 2.5), refused=REFUSED.format("double")),
    "structs": Case(arrow({"a": 1}, {"a": 2}, {"a": 3}), refused=REFUSED.format("struct")),
    "lists": Case(arrow([1], [2], [3]), refused=REFUSED.format("list")),
    "times of day": Case(arrow(1, 2, 3, kind=pa.time64("us")), refused=REFUSED.format("time64")),
    "durations": Case(arrow(1, 2, 3, kind=pa.duration("us")), refused=REFUSED.format("duration")),
    "decimals of 50 digits": Case(
        arrow(*map(Decimal, (1, 2, 3)), kind=pa.decimal256(50, 0)), refused=REFUSED.format("decimal256")
    ),
    "nanoseconds with a zone": Case(
        arrow(1, 2, 3, kind=pa.timestamp("ns", "UTC")), refused=REFUSED.format("timestamp")
    ),
    "nulls alone": Case(arrow(None, None, None), refused=REFUSED.format("null")),
}
