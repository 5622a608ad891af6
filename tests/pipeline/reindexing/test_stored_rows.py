"""Rows that a table of results has, and those that are found again in other files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pytest

from pipeline.common.row_ranges import RowSet, row_key
from pipeline.reindexing.stored_rows import Moved, StoredRows, find_moved, read_columns_of, stored_rows
from pipeline.reindexing.table_folder import TableFolder, open_folder
from pipeline.results.row_source import FileVersion
from pipeline.tables.table import open_table
from tests.pipeline.killed import the_dead_are_dead
from tests.pipeline.reindexing.world import World, world

assert the_dead_are_dead  # a fixture of every test here
assert world  # a fixture


def rows(*given: tuple[str, int, int, int, list[str | None]]) -> StoredRows:
    """Rows as (file, row, id, hash, errors), of version 1 of their file."""
    sources = [FileVersion(name, "1 10").key for name, *_ in given]
    kinds = [pa.string(), pa.int64(), pa.int64(), pa.int64(), pa.list_(pa.string())]
    columns = [sources, *(list(values) for values in zip(*(one[1:] for one in given), strict=True))]
    names = ["source", "row", "row_id", "hash", "errors"]
    return StoredRows(pa.table([pa.array(v, k) for v, k in zip(columns, kinds, strict=True)], names=names))


def test_keys_and_errors() -> None:
    found = rows(("a", 5, 1, 1, [None]), ("b", 0, 2, 2, ["image_null", None]))
    numbers = {FileVersion("a", "1 10"): 3, FileVersion("b", "1 10"): 0, FileVersion("b", "2 10"): 9}
    assert found.row_keys(numbers).tolist() == [row_key(3, 5), row_key(0, 0)]
    assert found.errors == [frozenset(), {"image_null"}]
    assert StoredRows.none().row_keys(numbers).tolist() == StoredRows.none().errors == []


def test_results_that_need_not_be_made_again() -> None:
    """Rows whose error may pass are tried again; of doubles none can be told from the other."""
    found = rows(
        ("a", 0, 1, 10, [None]),
        ("a", 1, 2, 20, ["image_corrupt"]),
        ("a", 2, 3, 30, ["fetch_timeout", None]),
        ("a", 3, 4, 40, [None]),
        ("b", 3, 4, 40, [None]),
        ("a", 4, 5, 50, [None]),
        ("a", 5, 5, 51, [None]),
        ("a", 6, 6, 60, ["image_missing"]),
        ("a", 7, 6, 60, [None]),
    )
    ids = sorted(zip(*(found.with_result()[name].to_pylist() for name in ("row_id", "hash")), strict=True))
    assert ids == [(1, 10), (2, 20), (5, 50), (5, 51)]


@pytest.fixture
def here(world: Callable[[], World]) -> Iterator[World]:
    made = world()
    made.put("a", [(1, "a"), (2, "gone"), (3, "bb")])
    made.put("b", [(4, "a")])
    made.run()
    yield made
    shutil.rmtree(made.folder)


@pytest.fixture
def folder(here: World) -> Iterator[TableFolder]:
    with open_folder(here.config.output.path, here.config.storage) as opened:
        yield opened


def read(folder: TableFolder, *names: str) -> StoredRows:
    """Read the rows of these files of the input, of the version that is there."""
    paths = [file.path for file in folder.table.files()]
    sources = pa.concat_tables(read_columns_of(folder, path, ["row_source"]) for path in paths)["row_source"]
    versions = {FileVersion(row["file"], row["edition"]) for row in sources.to_pylist()}
    return stored_rows(folder, paths, {one for one in versions if one.name.removesuffix(".parquet") in names})


def test_rows_of_some_versions(folder: TableFolder) -> None:
    found = read(folder, "a")
    values = zip(*(found.rows[name].to_pylist() for name in ("row", "row_id")), found.errors, strict=True)
    assert sorted(values) == [(0, 1, frozenset()), (1, 2, {"image_missing"}), (2, 3, frozenset())]
    assert read(folder, "b").rows["row_id"].to_pylist() == [4]
    assert read(folder).rows.num_rows == 0
    assert stored_rows(folder, [], {FileVersion("a", "1")}).rows.num_rows == 0


def test_rows_in_other_files(here: World, folder: TableFolder) -> None:
    outdated = read(folder, "a")
    here.put("a", [])
    here.put("c", [(7, "a"), (3, "bb"), (1, "changed"), (2, "gone")])
    table = open_table(here.config)
    moved = find_moved(table, here.config, RowSet.none(), outdated)
    number = next(i for i, file in enumerate(table.files) if file.name == "c.parquet")
    assert moved.rows["row_id"].to_pylist() == [3], "the row that failed is tried again"
    assert moved.row_set == RowSet.of(np.array([row_key(number, 1)]))
    done = RowSet.of_range(row_key(number, 1), row_key(number, 2))
    assert len(find_moved(table, here.config, done, outdated)) == 0
    assert len(find_moved(table, here.config, RowSet.none(), StoredRows.none())) == len(Moved.none()) == 0


def test_a_row_that_is_there_twice_is_not_taken(here: World, folder: TableFolder) -> None:
    outdated = read(folder, "a")
    here.put("a", [])
    here.put("c", [(3, "bb"), (3, "bb"), (1, "a")])
    moved = find_moved(open_table(here.config), here.config, RowSet.none(), outdated)
    assert moved.rows["row_id"].to_pylist() == [1]
