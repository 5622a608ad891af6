"""What a run is to do, from the table and the input, without reading a row."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from pipeline.reindexing.input_snapshot import InputDiff, InputSnapshot, SnapshotFile, diff
from pipeline.reindexing.plan import TableState, files_with, plan, why_replaced
from pipeline.reindexing.retries import FailedRows, InputRow
from pipeline.results.delta.commit import Commit
from pipeline.results.delta.data_files import DataFile
from pipeline.results.row_source import FileVersion
from pipeline.tables.input_file import InputFile

COLUMNS = pa.schema([("caption", pa.string())])
IDENTITY = {"model": "m", "config": "c", "results": "r"}
LATEST = Commit("token", IDENTITY, {}, {}, {}, 0.0, {})
FILES = (DataFile("1", 1, 9, "a", "b"), DataFile("2", 1, 9, "c", "c"), DataFile("3", 1, 9, None, None))


def snapshot(**versions: str) -> InputSnapshot:
    return InputSnapshot({name: SnapshotFile(f"{version} 10", 3, COLUMNS) for name, version in versions.items()})


def listed(**versions: str) -> list[InputFile]:
    return [InputFile(name, name, 10, version) for name, version in versions.items()]


def state(before: InputSnapshot, **keys: Any) -> TableState:
    values: dict[str, Any] = {"latest": LATEST, "failed": FailedRows.none(), "replaced": None}
    return TableState(data_files=FILES, columns=COLUMNS, snapshot=before, **{**values, **keys})


def failed(*rows: tuple[str, int, int]) -> FailedRows:
    return FailedRows({InputRow(FileVersion(name, "1 10"), row): tries for name, row, tries in rows})


def changes(before: InputSnapshot, **now: str) -> InputDiff:
    return diff(before, listed(**now))


def test_nothing_to_do() -> None:
    before = snapshot(a="1", b="1")
    todo = plan(changes(before, a="1", b="1"), state(before), 3)
    assert todo.is_empty
    assert (str(todo), todo.read, todo.rewrite, todo.remove) == ("nothing to do", (), (), ())


def test_what_is_read_looked_for_and_rewritten() -> None:
    before = snapshot(a="1", b="1", c="1")
    todo = plan(changes(before, a="2", b="1", d="1"), state(before), 3)
    assert [file.name for file in todo.read] == ["d", "a"]
    assert todo.outdated == {FileVersion("a", "1 10"), FileVersion("c", "1 10")}
    assert [file.path for file in todo.reuse] == [file.path for file in todo.rewrite] == ["1", "2", "3"]
    assert str(todo) == "files: 1 new, 1 changed, 1 gone; rows of 2 outdated files are looked for in 3 files"


def test_rows_with_another_image_are_read_again() -> None:
    before, rows = snapshot(a="1", b="1"), failed(("a", 0, 0), ("b", 1, 2))
    images = [InputRow(FileVersion("a", "1 10"), 0), InputRow(FileVersion("b", "1 10"), 5)]
    todo = plan(changes(before, a="1", b="1"), state(before, failed=rows), 2, images)
    assert set(todo.retry) == set(images)
    assert todo.retried == 0, "of the two that had failed one has another image, and one was tried often enough"
    assert not todo.is_empty
    assert not todo.retries_only
    assert str(todo) == "files: 0 new, 0 changed, 0 gone; 2 rows have another image"


def test_rows_are_tried_again_in_files_that_are_unchanged() -> None:
    before = snapshot(a="1", b="1", c="1")
    rows = failed(("a", 0, 0), ("b", 1, 2), ("c", 2, 0))
    todo = plan(changes(before, a="1", b="1", c="2"), state(before, failed=rows), 2)
    assert set(todo.retry) == {InputRow(FileVersion("a", "1 10"), 0)}
    assert not todo.retries_only
    assert "1 row in 1 file is tried again" in str(todo)
    todo = plan(changes(before, a="1", b="1", c="1"), state(before, failed=rows), None)
    assert (len(todo.retry), todo.retries_only) == (3, True)
    assert [file.path for file in todo.rewrite] == ["1", "2", "3"]
    assert plan(changes(before, a="1", b="1", c="1"), state(before, failed=rows), 0).is_empty


@pytest.mark.parametrize(
    ("latest", "overwrite", "why"),
    [
        (None, False, "the table is new"),
        (Commit("t", {**IDENTITY, "model": "x"}, {}, {}, {}, 0.0, {}), False, "another model"),
        (Commit("t", {"model": "m", "config": "x"}, {}, {}, {}, 0.0, {}), False, "another config, other columns"),
        (LATEST, True, "output.overwrite=true"),
    ],
)
def test_why_a_table_is_made_anew(latest: Commit | None, overwrite: bool, why: str) -> None:
    found = why_replaced(latest, IDENTITY, overwrite)
    assert found is not None
    assert found.startswith(why)
    todo = plan(changes(InputSnapshot.empty(), a="1"), state(InputSnapshot.empty(), latest=latest, replaced=found), 3)
    assert (todo.remove, todo.reuse, todo.rewrite) == (FILES, (), ())
    assert f"the whole table is made anew: {why}" in str(todo)


def test_a_table_that_fits_is_kept() -> None:
    assert why_replaced(LATEST, IDENTITY, False) is None


def test_files_are_found_by_their_statistics() -> None:
    assert [file.path for file in files_with(FILES, {"b"})] == ["1", "3"]
    assert [file.path for file in files_with(FILES, {"aa", "d"})] == ["1", "3"]
    assert files_with(FILES, set()) == []
