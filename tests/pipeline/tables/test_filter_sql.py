"""`input.filter`: which rows pass, which row groups are not read, and what is refused."""

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError
from pipeline.tables.filter_expression import parse_filter

DAYS = [date(2025, 12, 31), date(2026, 1, 1), None, date(2026, 2, 1), date(9999, 12, 31)]
TIMES = [None if day is None else datetime(day.year, day.month, day.day, 12) for day in DAYS]
TABLE = pa.table(
    {
        "source": ["coco", "vg", None, "coco", "sbu"],
        "width": pa.array([50, 100, 200, 300, None], pa.int32()),
        "flag": [True, False, None, True, True],
        "big": pa.array([0, 1, 2**63, 2**64 - 1, None], pa.uint64()),
        "price": pa.array(
            [Decimal("0.10"), Decimal("0.20"), None, Decimal("1.00"), Decimal("2.50")], pa.decimal128(9, 2)
        ),
        "day": pa.array(DAYS, pa.date32()),
        "made": pa.array(TIMES, pa.timestamp("us")),
        "seen": pa.array(TIMES, pa.timestamp("ms", "UTC")),
        "coded": pa.array(["a", "b", None, "a", "c"]).dictionary_encode(),
        "odd name": pa.array([1.5, 2.5, 3.5, None, 5.5]),
        "Kind": [1, 2, 3, 4, 5],
    }
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("source == 'coco' and width > 100", [3]),
        ("source = 'coco' AND width > 100", [3]),
        ("source != 'coco'", [1, 4]),
        ("source <> 'coco'", [1, 4]),
        ("100 <= width and width < 300", [1, 2]),
        ("width between 100 and 200", [1, 2]),
        ("not width between 100 and 200", [0, 3]),
        ("width > -1 or source is null", [0, 1, 2, 3]),
        ("source is not null", [0, 1, 3, 4]),
        ("source in ('vg', 'sbu')", [1, 4]),
        ("source in ['vg', 'sbu']", [1, 4]),
        ("source not in ('vg', 'sbu')", [0, 3]),
        ("not (source in ('vg') or width > 250)", [0]),
        ("width in (50, 300)", [0, 3]),
        ("width in (50, 300.0, 7.5)", [0, 3]),
        ("not (width > 100)", [0, 1]),
        ("flag and not width > 100", [0]),
        ("flag", [0, 3, 4]),
        ("not flag", [1]),
        ("flag = true", [0, 3, 4]),
        ("flag is not true", [1, 2]),
        ("flag is false", [1]),
        ("'coco' = source", [0, 3]),
        (" width\t> 250.5 ", [3]),
        ("width > 5000000000", []),
        ("source like 'co%' or source ILIKE 'SB_'", [0, 3, 4]),
        ("source not like 'co%'", [1, 4]),
        ("not source not like 'co%'", [0, 3]),
        ("source not ilike 'CO%'", [1, 4]),
        ("width not between 100 and 200", [0, 3]),
        ("big >= 9223372036854775808", [2, 3]),
        ("big = 18446744073709551615", [3]),
        ("price = 0.1 or price >= 1", [0, 3, 4]),
        ("day >= DATE '2026-01-01' and day < '2026-02-01'", [1]),
        ("day = TIMESTAMP '2026-02-01 00:00:00'", [3]),
        ("day in ('2026-01-01', '9999-12-31')", [1, 4]),
        ("made > TIMESTAMP '2026-01-01 11:59:59.999999'", [1, 3, 4]),
        ("made < '2026-01-01'", [0]),
        ("made between cast('2026-01-01' as timestamp) and '2026-02-01T12:00:00'::timestamp", [1, 3]),
        ("seen = TIMESTAMPTZ '2026-01-01 14:00:00+02:00'", [1]),
        ("seen = TIMESTAMP '2026-01-01 12:00:00'", [1]),
        ("coded = 'a'", [0, 3]),
        ("coded in ('b', 'c')", [1, 4]),
        ('"odd name" > 2', [1, 2, 4]),
        ("kind > 3 -- a column of any case", [3, 4]),
        ('width < "Kind" or width = KIND', []),
        (" or ".join(f"width = {i}" for i in range(3000)), [0, 1, 2, 3]),
    ],
)
def test_rows_that_pass(text: str, rows: list[int]) -> None:
    keep = parse_filter(text, TABLE.schema)
    numbered = TABLE.append_column("row", pa.array(range(5)))
    assert numbered.filter(keep.pyarrow())["row"].to_pylist() == rows
    assert set(keep.columns()) <= set(TABLE.column_names)
    if "seen" not in text:  # there DuckDB takes the machine's zone
        with duckdb.connect() as database:
            found = database.register("numbered", numbered).sql(f"SELECT row FROM numbered WHERE {text}\n")
            assert [row for (row,) in found.order("row").fetchall()] == rows, "the same language as keep.where"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds 0 conditions, not one"),
        ("width >", "is not SQL"),
        ("\0", "the table has no column"),
        ("width > 100; source", "holds 2 conditions, not one"),
        ("width > 100; DROP TABLE rows", "holds 2 conditions, not one"),
        ("1 == 1", "'1 = 1' is not supported: '1' is no column"),
        ("5", "'5' is not supported"),
        ("not 5", "'5' is not supported"),
        ("width > 100 and 7", "'7' is not supported"),
        ("width + 1 > 2", "'width + 1 > 2' is not supported: '2' is no column"),
        ("100 <= width < 300", "'100 <= width < 300' compares twice: join two comparisons by AND"),
        ("source is None", "'source IS None' is not supported: SQL says IS NULL and IS NOT NULL"),
        ("source == NULL", "'source = NULL' is never true: SQL says IS NULL and IS NOT NULL"),
        ("source in ('a', NULL)", "is never true: SQL says IS NULL"),
        ('source == "coco"', "names no column: SQL writes texts in single quotes, as 'coco'"),
        ("source in 'coco'", "is not supported (field)"),
        ("source in ()", "lists no value"),
        ("'coco' in (source)", "is not supported: \"'coco'\" is no column"),
        ("source.x == 1", "is not supported: it names a field within a column"),
        ("length(source) > 3", "is not supported: '3' is no column"),
        ("width > length('abc')", "is not supported: \"LENGTH('abc')\" is no value"),
        ("day > now() - interval 1 day", "is no value"),
        ("exists(select 1 from rows)", "is not supported"),
        ("source is distinct from 'x'", "is not supported"),
        ("width", "'width' is int32, not true or false"),
        ("width between symmetric 5 and 1", "is not supported (symmetric)"),
        ("source like 'a' escape 'x'", "is not supported"),
        ("width in (select 1)", "is not supported (query)"),
        ("widht > 3", "the table has no column 'widht'; did you mean 'width'"),
        ("width = 'x'", "compares 'width', which is int32, with 'x'"),
        ("source = 5", "compares 'source', which is string, with 5"),
        ("flag = 1", "compares 'flag', which is bool, with 1"),
        ("width = true", "compares 'width', which is int32, with TRUE"),
        ("big > -1", "compares 'big', which is uint64, with -1"),
        ("width > 99999999999999999999", "compares 'width', which is int32, with 99999999999999999999"),
        ("day > DATE '2026-13-01'", "compares 'day', which is date32[day], with CAST('2026-13-01' AS DATE)"),
        ("day > TIMESTAMP '2026-01-01 12:00:00'", "compares 'day', which is date32[day], with"),
        ("day > 20260101", "compares 'day', which is date32[day], with 20260101"),
        ("made > '2026-01-01 00:00:00.0000001'", "compares 'made', which is timestamp[us], with"),
        ("made > TIMESTAMPTZ '2026-01-01 00:00:00+02:00'", "compares 'made', which is timestamp[us], with"),
        ("width > DATE '2026-01-01'", "compares 'width', which is int32, with"),
        ("width like '1%'", "is not supported; LIKE compares a column of texts"),
    ],
)
def test_what_is_refused_is_one_line_that_names_it(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_filter(text, TABLE.schema)
    assert str(caught.value).startswith("input.filter: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_columns_that_differ_in_case_are_not_guessed() -> None:
    schema = pa.schema([("Score", pa.int64()), ("score", pa.int64())])
    assert parse_filter("Score > 1", schema).columns() == ["Score"]
    assert parse_filter("score > 1", schema).columns() == ["score"]
    with pytest.raises(ConfigError, match="has no column 'SCORE'"):
        parse_filter("SCORE > 1", schema)


@pytest.mark.parametrize(
    "text",
    [
        "day >= DATE '2026-01-10' and day < DATE '2026-01-20'",
        "made >= TIMESTAMP '2026-01-10 00:00:00' and made < '2026-01-20'",
        "seen between '2026-01-10' and TIMESTAMPTZ '2026-01-20 01:00:00+02:00'",
        "width in (11, 12, 15)",
        "not (width < 10 or width > 19)",
        "name > 'n10' and name < 'n19'",
    ],
)
def test_row_groups_that_cannot_match_are_not_read(tmp_path: Path, text: str) -> None:
    """Thirty row groups of a row each, by their statistics alone."""
    days = [datetime(2026, 1, i + 1, tzinfo=timezone.utc) for i in range(30)]
    table = pa.table(
        {
            "day": pa.array([day.date() for day in days], pa.date32()),
            "made": pa.array([day.replace(tzinfo=None) for day in days], pa.timestamp("us")),
            "seen": pa.array(days, pa.timestamp("ms", "UTC")),
            "width": pa.array(range(30), pa.int32()),
            "name": [f"n{i:02d}" for i in range(30)],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1)
    keep = parse_filter(text, table.schema).pyarrow()
    fragment = next(ds.dataset(tmp_path / "a.parquet").get_fragments())
    assert len(fragment.subset(keep, table.schema).row_groups) <= 10 < len(fragment.row_groups)
