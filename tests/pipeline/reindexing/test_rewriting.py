"""Data files are rewritten without the rows that leave, with new keys for those that move, or stay as they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError
from pipeline.common.row_ranges import RowSet, row_key
from pipeline.reindexing.rewriting import Rewrite, Rewritten, check_rewrite, error_counts, rewrite
from pipeline.reindexing.stored_rows import Moved
from pipeline.reindexing.table_folder import PARTS, TableFolder, open_folder
from pipeline.results.row_source import FileVersion
from pipeline.tables.table import InputTable, open_table
from tests.pipeline.killed import the_dead_are_dead
from tests.pipeline.reindexing.world import World, world

assert the_dead_are_dead  # a fixture of every test here
assert world  # a fixture


@pytest.fixture
def here(world: Callable[[], World]) -> Iterator[World]:
    """A table of one data file, with the rows of two files of the input."""
    made = world()
    made.put("a", [(1, "a"), (2, "gone")])
    made.put("b", [(3, "bb")])
    made.run()
    yield made
    shutil.rmtree(made.folder)


@pytest.fixture
def folder(here: World) -> Iterator[TableFolder]:
    with open_folder(here.config.output.path, here.config.storage) as opened:
        yield opened


class Table:
    """The data file of the table, and what is in it."""

    def __init__(self, folder: TableFolder) -> None:
        self.folder = folder
        self.files = folder.table.files()
        path = f"{folder.root}/{self.files[0].path}"
        self.rows = pq.read_table(path, partitioning=None)
        self.versions = {
            row["row_source"]["file"]: FileVersion(row["row_source"]["file"], row["row_source"]["edition"])
            for row in self.rows.to_pylist()
        }

    def rewritten(
        self, table: InputTable | None = None, **change: Any
    ) -> tuple[Rewritten | None, list[dict[str, Any]]]:
        values: dict[str, Any] = {"outdated": set(), "moved": Moved.none(), "again": RowSet.none(), "numbers": {}}
        columns = self.folder.table.schema()
        how = Rewrite(**{**values, "columns": columns, **change}, table=table)
        found = rewrite(self.folder, self.files[0], "target.parquet", how)
        path = f"{self.folder.root}/{PARTS}/target.parquet"
        exists = found is not None and found.path is not None
        return found, pq.read_table(path, partitioning=None).sort_by("id").to_pylist() if exists else []


@pytest.fixture
def table(folder: TableFolder) -> Table:
    found = Table(folder)
    assert len(found.files) == 1
    assert found.rows.num_rows == 3
    return found


def test_a_file_without_rows_that_leave_stays(table: Table) -> None:
    assert table.rewritten() == (None, [])
    assert table.rewritten(outdated={FileVersion("other.parquet", "1 10")}) == (None, [])


def test_rows_that_leave(table: Table) -> None:
    found, rows = table.rewritten(outdated={table.versions["a.parquet"]})
    assert found == Rewritten(table.files[0], "target.parquet", 1, found.errors if found else None)  # type: ignore[arg-type]
    assert found is not None
    assert found.errors == {"image_missing": 1}
    assert [row["id"] for row in rows] == [3]
    assert rows == table.rows.filter(pa.array([i == 3 for i in table.rows["id"].to_pylist()])).to_pylist()


def test_a_file_of_which_nothing_stays(table: Table) -> None:
    found, _ = table.rewritten(outdated=set(table.versions.values()))
    assert found is not None
    assert (found.path, found.rows, found.errors) == (None, 0, {"image_missing": 1})


def test_rows_that_are_read_again(table: Table) -> None:
    numbers = {table.versions["a.parquet"]: 4, table.versions["b.parquet"]: 5}
    again = RowSet.of_range(row_key(4, 1), row_key(4, 2))
    found, rows = table.rewritten(again=again, numbers=numbers)
    assert found is not None
    assert (found.errors, [row["id"] for row in rows]) == ({"image_missing": 1}, [1, 3])
    assert table.rewritten(again=RowSet.of_range(row_key(4, 7), row_key(4, 9)), numbers=numbers) == (None, [])


def test_rows_that_move(here: World, table: Table) -> None:
    here.put("a", [])
    here.put("z", [(9, "new"), (1, "a")])
    opened = open_table(here.config)
    number = next(i for i, file in enumerate(opened.files) if file.name == "z.parquet")
    old = next(row for row in table.rows.to_pylist() if row["id"] == 1)
    moved = {"row_id": [1], "hash": [old["row_source"]["hash"]], "row_key": [row_key(number, 1)]}
    found, rows = table.rewritten(opened, outdated={table.versions["a.parquet"]}, moved=Moved(pa.table(moved)))
    assert found is not None
    assert (found.rows, found.errors) == (2, {"image_missing": 1})
    assert [row["id"] for row in rows] == [1, 3]
    version = opened.files[number].file.version
    source = {"file": "z.parquet", "edition": version, "row": 1, "hash": old["row_source"]["hash"]}
    assert rows[0] == {**old, "row_source": source}


def test_lineage_stays(table: Table) -> None:
    table.rewritten(outdated={table.versions["a.parquet"]})
    metadata = pq.read_metadata(f"{table.folder.root}/{PARTS}/target.parquet").metadata
    assert metadata[b"vilt.weights_sha256"] == b"m"
    assert b"vilt.written" not in metadata, "it is another file"


def test_columns_take_other_types(table: Table) -> None:
    columns = table.folder.table.schema()
    wider = columns.set(columns.get_field_index("id"), pa.field("id", pa.string()))
    with pytest.raises(pa.ArrowException):
        table.rewritten(columns=wider)
    narrower = columns.set(columns.get_field_index("id"), pa.field("id", pa.int32()))
    found, rows = table.rewritten(columns=narrower)
    assert found is not None
    assert (found.rows, found.errors, [row["id"] for row in rows]) == (3, {}, [1, 2, 3])


def test_types_are_checked_before_any_work(folder: TableFolder, table: Table) -> None:
    columns = folder.table.schema()
    check_rewrite(folder, table.files, set(), columns)
    other = columns.set(columns.get_field_index("id"), pa.field("id", pa.string()))
    with pytest.raises(ConfigError) as caught:
        check_rewrite(folder, table.files, set(), other)
    assert str(caught.value).startswith(
        "input.columns: column 'id' is string in the new files and int64 in the table of results, whose values do "
        "not fit: "
    )
    check_rewrite(folder, table.files, set(table.versions.values()), other)


def test_errors_are_counted() -> None:
    table = pa.table({"error": ["a", None, "b", "a"]})
    assert error_counts(table) == {"a": 2, "b": 1}
    assert error_counts(table.slice(1, 1)) == {}
