"""Delta tables of results beside tables as other tools write them, and other tools that read and change them.

The right values, or a refusal in one line before any work: nothing that was written is then left behind.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, QueryBuilder

from pipeline import ConfigError
from pipeline.reindexing.reindex import rollback
from tests.pipeline.killed import the_dead_are_dead
from tests.pipeline.reindexing.world import World, world
from tests.pipeline.results.plain import plain, values

assert the_dead_are_dead  # a fixture of every test here
assert world  # a fixture
TWO_CASES = pa.struct([("a", pa.int64()), ("A", pa.int64())])  # pyarrow 22 sorts the fields of values without a type
NOON = datetime.datetime(2026, 11, 21, 12, 0, 0, 5)

# What two files of the input hold in a column `x`, and what is in the table of results after both.
TWO_FILES: dict[str, tuple[pa.Array, pa.Array, list[Any]]] = {
    "null, then integers": (pa.nulls(2), pa.array([1, 2]), [None, None, 1, 2]),
    "null, then strings": (pa.nulls(1), pa.array(["u"]), [None, "u"]),
    "null, then structs": (pa.nulls(1), pa.array([{"a": 1}]), [None, {"a": 1}]),
    "integers, then null": (pa.array([1]), pa.nulls(1), [1, None]),
    "lists of nothing, then of strings": (pa.array([[]]), pa.array([["s"]]), [[], ["s"]]),
    "a struct gains a field": (
        pa.array([{"a": 1}]),
        pa.array([{"a": 2, "b": "y"}]),
        [{"a": 1, "b": None}, {"a": 2, "b": "y"}],
    ),
    "a struct loses a field": (
        pa.array([{"a": 1, "b": "x"}]),
        pa.array([{"a": 2}]),
        [{"a": 1, "b": "x"}, {"a": 2, "b": None}],
    ),
    "a struct's field had no type": (pa.array([{"a": None}]), pa.array([{"a": [1]}]), [{"a": None}, {"a": [1]}]),
    "narrow, then wide integers": (pa.array([1], pa.int8()), pa.array([2**40]), [1, 2**40]),
    "wide, then narrow integers": (pa.array([2**40]), pa.array([1], pa.int8()), [2**40, 1]),
    "uint64 beside int64": (pa.array([1]), pa.array([2**63 - 1], pa.uint64()), [1, 2**63 - 1]),
    "integers, then floats": (pa.array([1], pa.int32()), pa.array([0.5]), [1.0, 0.5]),
    "milliseconds, then microseconds": (
        pa.array([NOON.replace(microsecond=0)], pa.timestamp("ms")),
        pa.array([NOON], pa.timestamp("us")),
        [NOON.replace(microsecond=0), NOON],
    ),
    "strings, then views": (pa.array(["a"]), pa.array(["b"], pa.string_view()), ["a", "b"]),
    "decimals of more digits": (
        pa.array([Decimal("1.5")], pa.decimal128(3, 1)),
        pa.array([Decimal("123456.25")], pa.decimal128(10, 2)),
        [Decimal("1.50"), Decimal("123456.25")],
    ),
}


@pytest.mark.parametrize("case", TWO_FILES)
def test_a_column_that_takes_another_type(case: str, world: Callable[[], World]) -> None:
    """The table holds what one that is made anew holds, and only the new rows are read."""
    first, second, wanted = TWO_FILES[case]
    here = world()
    here.put_table("1", x=first)
    here.run()
    here.put_table("2", x=second)
    done = here.run()
    assert done
    assert done["rows_read"] == len(second)
    assert values(here.table()["x"]) == [plain(one) for one in wanted]
    assert here.held() == here.expected()
    before = here.table()
    assert here.run() is None
    shutil.rmtree(here.folder / "out")
    here.run()
    assert here.table()["x"].to_pylist() == before["x"].to_pylist()
    shutil.rmtree(here.folder)


def test_a_version_from_before_a_change_of_types_can_be_restored(world: Callable[[], World]) -> None:
    here = world()
    here.put_table("1", x=pa.nulls(2))
    here.run()
    old = here.table().to_pylist()
    here.put_table("2", x=pa.array([1.5]))
    here.run()
    rollback(str(here.folder / "out"), here.config.storage, 0)
    assert here.table().to_pylist() == old
    done = here.run()
    assert done
    assert done["rows_read"] == 1
    assert here.table()["x"].to_pylist() == [None, None, 1.5]
    shutil.rmtree(here.folder)


@pytest.mark.parametrize(
    ("folders", "wanted"),
    [
        (["year=2024", "year=2025"], [2024, 2025]),
        (["year=2024", "year=__HIVE_DEFAULT_PARTITION__"], [2024, None]),
        (["year=2024", "year=unknown"], ["2024", "unknown"]),
        (["year=unknown", "year=2024"], ["unknown", "2024"]),
    ],
)
def test_folders_that_name_a_column(folders: list[str], wanted: list[Any], world: Callable[[], World]) -> None:
    here = world()
    for folder in folders:
        here.put_table(f"{folder}/a", n=pa.array([1]))
        done = here.run()
        assert done
        assert done["rows_read"] == 1
    assert here.table()["year"].to_pylist() == wanted
    assert here.run() is None
    shutil.rmtree(here.folder)


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ({"Score": pa.array([1])}, "'Score': Delta Lake ignores case, and there is a column 'score'"),
        (
            {"note": pa.array([1]), "Note": pa.array([1])},
            "'Note': Delta Lake .* there is a column 'note'",
        ),
        ({"x": pa.array([1500], pa.timestamp("ns"))}, "column 'x' holds a value, in '1.parquet', that is not exact as"),
        (
            {"x": pa.array([2**60], pa.timestamp("ms"))},
            "column 'x' holds a value, in '1.parquet', that is not exact as",
        ),
        ({"x": pa.array([1], pa.duration("s"))}, "'x': duration"),
        (
            {"a b": pa.array([1]), "t": pa.array([1], pa.time64("us")), "row": pa.array([{"a": 1, "A": 2}], TWO_CASES)},
            "'a b': names are .*; 't': time64.*; 'row.a': Delta Lake .*; 'row.A': Delta Lake .* without them",
        ),
    ],
)
def test_what_is_refused_before_any_work(columns: dict[str, pa.Array], line: str, world: Callable[[], World]) -> None:
    here = world()
    here.put_table("1", **columns)
    with pytest.raises(ConfigError, match=line) as raised:
        here.run()
    assert "\n" not in str(raised.value)
    assert not (here.folder / "out").exists()
    here.set_input(columns=["id"])  # as the message says
    here.run()
    assert here.table().num_rows == 1
    shutil.rmtree(here.folder)


@pytest.mark.parametrize(
    ("first", "second", "line"),
    [
        (pa.array([1]), pa.array(["s"]), "column 'x' is"),
        (pa.array([2**53 + 1]), pa.array([0.5]), "whose values do not fit: Integer value 9007199254740993"),
        (pa.array([NOON]), pa.array([NOON], pa.timestamp("us", "UTC")), "column 'x' is"),
    ],
)
def test_a_new_file_that_does_not_fit(first: pa.Array, second: pa.Array, line: str, world: Callable[[], World]) -> None:
    here = world()
    here.put_table("1", x=first)
    here.run()
    before, names = here.table(), sorted((here.folder / "out").rglob("*"))
    here.put_table("2", x=second)
    with pytest.raises(ConfigError, match=line):
        here.run()
    assert sorted((here.folder / "out").rglob("*")) == names
    here.put("1", [])  # without the old file there is nothing that it does not fit
    here.run()
    assert here.table()["x"].to_pylist() == second.to_pylist()
    assert before["x"].to_pylist() == first.to_pylist()
    shutil.rmtree(here.folder)


def test_int96_times_of_the_year_9999(world: Callable[[], World]) -> None:
    """Spark's times; pyarrow reads them as nanoseconds, which end in 2262."""
    far = datetime.datetime(9999, 12, 31)
    here = world()
    here.put_table("1", at=pa.array([far, NOON], pa.timestamp("us")))
    path = here.folder / "in" / "1.parquet"
    pq.write_table(pq.read_table(path), path, use_deprecated_int96_timestamps=True)
    assert pq.ParquetFile(path).schema.column(3).physical_type == "INT96"
    here.run()
    assert here.table()["at"].to_pylist() == [far, NOON]
    path.rename(path.with_name("2.parquet"))
    done = here.run()
    assert done
    assert (done["rows_moved"], done["rows_read"]) == (2, 0)
    assert here.table()["at"].to_pylist() == [far, NOON]
    shutil.rmtree(here.folder)


def test_a_new_file_in_another_spelling(world: Callable[[], World]) -> None:
    here = world()
    here.put_table("1", note=pa.array(["x"]))
    here.run()
    here.put_table("2", Note=pa.array(["y"]))
    with pytest.raises(ConfigError, match="Delta Lake ignores case, and there is a column 'Note'"):
        here.run()
    assert here.table()["note"].to_pylist() == ["x"]
    shutil.rmtree(here.folder)


EXACT = {
    "u64": pa.array([2**64 - 1, 0], pa.uint64()),
    "naive": pa.array([NOON, None], pa.timestamp("ns")),
    "zoned": pa.array([NOON, None], pa.timestamp("us", "Asia/Tokyo")),
    "meta": pa.array([{"width": 1}, {"width": 2}]),
    "meta.width": pa.array([3, 4]),
    "a": pa.array([1, 2]),
    "a.b": pa.array(["x", "y"]),
    "ok": pa.array([True, False]),
    "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
    "row_source.file": pa.array(["q", "r"]),
}


def test_values_are_exact_for_every_reader(world: Callable[[], World]) -> None:
    here = world()
    here.put_table("1", **EXACT)
    here.run()
    table = here.table()
    for name, wanted in EXACT.items():
        assert values(table[name]) == values(wanted), name
    assert table.schema.field("naive").type == pa.timestamp("us")
    delta = DeltaTable(here.folder / "out")
    database = duckdb.connect()
    database.register("t", delta.to_pyarrow_dataset())
    for condition in ('"meta.width" > 3', "meta['width'] > 1", "\"a.b\" = 'y'", "ok", "u64 > 9223372036854775807"):
        query = f"SELECT count(*) AS n FROM t WHERE {condition}"
        assert database.execute(query).fetchall() == [(1,)], condition
        found = pa.table(QueryBuilder().register("t", delta).execute(query).read_all())
        assert found["n"].to_pylist() == [1], condition
    here.put_table("2", **EXACT)
    here.run()
    assert here.table().num_rows == 4
    shutil.rmtree(here.folder)


def test_a_byte_that_is_no_utf8(world: Callable[[], World]) -> None:
    here = world()
    bad = pa.array([b"a\xffb", b"c"]).view(pa.string())
    here.put_table("1", note=bad, notes=pa.ListArray.from_arrays([0, 1, 2], bad))
    here.run()
    assert here.table()["note"].to_pylist() == ["a\ufffdb", "c"]
    assert here.table()["notes"].to_pylist() == [["a\ufffdb"], ["c"]]
    here.put_table("1", note=bad, notes=pa.ListArray.from_arrays([0, 1, 2], bad))
    assert (here.run() or {"rows_moved": 0})["rows_moved"] in (0, 2)
    shutil.rmtree(here.folder)
