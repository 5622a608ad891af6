"""A commit says what it did, and is not made if files hold other rows than were written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from pipeline.common.errors import RowsLostError
from pipeline.reindexing import delta_output
from pipeline.results.file_footer import ResultFile
from tests.pipeline.killed import the_dead_are_dead
from tests.pipeline.reindexing.world import World, world

assert the_dead_are_dead  # a fixture of every test here
assert world  # a fixture


@pytest.fixture
def here(world: Callable[[], World]) -> Iterator[World]:
    made = world()
    made.put("a", [(1, "a"), (2, "gone"), (3, "bb")])
    yield made
    shutil.rmtree(made.folder)


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], Any]], None]:
    """Change what is staged before it is committed."""
    commit = delta_output.commit

    def changed(how: Callable[[Any], Any]) -> None:
        monkeypatch.setattr(delta_output, "commit", lambda staged, *args: commit(how(staged), *args))

    return changed


def test_what_a_commit_says(here: World) -> None:
    here.run()
    first = here.commit()
    assert first.counts == {
        "files": 1, "files_new": 1, "files_changed": 0, "files_gone": 0, "rows_in": 3, "rows_read": 3,
        "rows_retried": 0, "rows_moved": 0, "rows_left": 0, "rows_out": 3,
    }  # fmt: skip
    assert (first.rejected, first.standing) == ({"image_missing": 1}, {"image_missing": 1})
    assert first.identity["model"] == "m"
    assert first.lineage["vilt.precision"] == "float32 on cpu"
    assert first.input == {"path": str(here.folder / "in"), "text": "caption", "id": "id"}
    here.put("a", [(1, "a"), (2, "bb")])
    here.put("b", [(7, "gone"), (8, "gone")])
    here.run()
    second = here.commit()
    assert (second.version, second.rejected, second.standing) == (1, {"image_missing": 2}, {"image_missing": 2})
    assert (second.counts["rows_moved"], second.counts["rows_left"], second.counts["rows_out"]) == (1, 2, 4)
    assert second.token != first.token


def test_files_with_other_rows_than_were_written(here: World, change: Any) -> None:
    def one_more(staged: Any) -> Any:
        first: ResultFile = staged.results[0]
        return replace(staged, results=(replace(first, rows=first.rows + 1), *staged.results[1:]))

    change(one_more)
    with pytest.raises(RowsLostError, match=r": the files hold other rows than were written; run it again$"):
        here.run()
    assert not DeltaTable.is_deltatable(str(here.folder / "out"))


def test_files_with_a_column_of_another_type(here: World, change: Any) -> None:
    here.run()
    before = here.held()

    def other(staged: Any) -> Any:
        columns = staged.columns
        number = columns.get_field_index("caption")
        return replace(staged, columns=columns.set(number, pa.field("caption", pa.int64())))

    change(other)
    here.put("b", [(9, "bb")])
    with pytest.raises(
        RowsLostError,
        match=r": column 'caption' is string, and int64 in the table; nothing was "
        r"committed$",
    ):
        here.run()
    assert here.held() == before
