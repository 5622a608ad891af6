"""What each run of reindexing reads, keeps and commits, with a stand-in for the model, on a local table without Ray."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from fsspec.implementations.local import LocalFileSystem

from pipeline import ConfigError
from pipeline.reindexing.reindex import rollback
from pipeline.results.output_folder import OutputFolder
from tests.pipeline.killed import the_dead_are_dead
from tests.pipeline.reindexing.world import World, score, world

assert the_dead_are_dead  # a fixture of every test here
assert world  # a fixture


def test_only_what_is_new_is_read(world: Callable[[], World]) -> None:
    here = world()
    here.put("a", [(i, "a") for i in range(5)])
    here.put("b", [(i, "bb") for i in range(5, 10)])
    assert here.run() == counts(files=2, files_new=2, rows_in=10, rows_read=10, rows_out=10)
    assert here.run() is None

    here.put("c", [(10, "a")])
    assert here.run() == counts(files=3, files_new=1, rows_in=11, rows_read=1, rows_out=11)
    here.put("a", [(0, "a"), (1, "other"), (2, "a"), (11, "a")])  # one is as it was, one is not, two are gone, one new
    assert here.run() == counts(
        files=3, files_changed=1, rows_in=10, rows_read=2, rows_moved=2, rows_left=3, rows_out=10
    )
    here.put("a", [])
    here.put("c", [])
    here.put("all", [(10, "a"), (0, "a"), (1, "other"), (2, "a"), (11, "a")])  # two files have become one
    assert here.run() == counts(files=2, files_new=1, files_gone=2, rows_in=10, rows_moved=5, rows_out=10)
    here.put("b", [])
    assert here.run() == counts(files=1, files_gone=1, rows_in=5, rows_left=5, rows_out=5)
    assert here.held() == here.expected()
    assert sum(here.held(version=0).values()) == 10
    shutil.rmtree(here.folder)


def counts(**given: int) -> dict[str, int]:
    names = ("files", "files_new", "files_changed", "files_gone", "rows_in", "rows_read")
    names += ("rows_retried", "rows_image_changed", "rows_moved", "rows_left")
    return {name: given.get(name, 0) for name in (*names, "rows_out")}


def test_doubles_are_read_anew(world: Callable[[], World]) -> None:
    """Two rows with one id and one content cannot be told from each other."""
    here = world()
    here.put("a", [(1, "a"), (1, "a"), (2, "bb")])
    here.run()
    here.put("a", [(1, "a"), (2, "bb"), (2, "bb")])
    found = here.run()
    assert found
    assert (found["rows_read"], found["rows_moved"]) == (3, 0)
    assert here.held() == here.expected()
    shutil.rmtree(here.folder)


def test_a_row_that_failed_is_not_taken_for_its_double_that_did_not(world: Callable[[], World]) -> None:
    here = world()
    here.put("c", [(1, "a"), (4, "flaky")])
    here.run()
    here.up = False
    here.put("a", [(4, "flaky")])
    here.run()
    here.put("a", [])
    here.put("c", [(4, "flaky")])
    found = here.run()
    assert found
    assert (found["rows_in"], found["rows_out"], found["rows_moved"]) == (1, 1, 0)
    shutil.rmtree(here.folder)


def test_each_run_tries_errors_again_that_may_pass(world: Callable[[], World]) -> None:
    here = world()
    here.put("a", [(1, "a"), (2, "flaky"), (3, "late")])
    here.put("b", [(4, "bb")])
    here.up = False
    here.run()
    assert here.commit().standing == here.commit().rejected == {"fetch_timeout": 1, "image_missing": 1}
    version = here.commit().version
    assert here.run() is None  # they fail as before: the table stays as it is
    assert here.retried == 2
    assert here.commit().version == version
    here.up = True
    here.put("b", [(4, "bb"), (5, "flaky")])
    found = here.run()
    assert found
    counted = {name: found[name] for name in ("rows_read", "rows_retried", "rows_moved", "rows_left")}
    assert counted == {"rows_read": 3, "rows_retried": 2, "rows_moved": 1, "rows_left": 2}
    assert here.commit().standing == {}
    assert here.held() == here.expected()
    assert (here.run(), here.retried) == (None, 0)
    shutil.rmtree(here.folder)


def test_some_pass_and_some_fail_again(world: Callable[[], World]) -> None:
    here = world()
    here.put("a", [(1, "late"), (2, "flaky"), (3, "gone")])
    here.up = False
    here.run()
    assert here.commit().standing == {"image_missing": 2, "fetch_timeout": 1}
    here.up = True
    found = here.run()
    assert found
    assert (found["rows_read"], found["rows_retried"], found["rows_left"]) == (3, 3, 3)
    assert here.commit().standing == {"image_missing": 1}
    assert here.held() == here.expected()
    shutil.rmtree(here.folder)


def test_errors_are_tried_again_so_many_times(world: Callable[[], World]) -> None:
    """At most as often as the config says; --retry-errors tries all, and a file that changes begins anew."""
    here = world()
    here.set_output(retry_errors=2)
    here.put("a", [(1, "gone"), (2, "a")])
    here.put("b", [(3, "bb")])
    here.run()
    tried = []
    for number in range(5):
        if number == 1:
            here.put("b", [(3, "dd")])  # whether a run commits or not, it counts
        here.run()
        tried.append(here.retried)
        assert here.commit().standing == {"image_missing": 1}
    assert tried == [1, 1, 0, 0, 0]
    here.run(retry_errors=True)
    assert here.retried == 1
    here.run()
    assert here.retried == 0
    here.put("a", [(1, "gone"), (2, "bb")])
    here.run()
    here.run()
    assert here.retried == 1
    here.set_output(retry_errors=0)
    here.run()
    assert here.retried == 0
    shutil.rmtree(here.folder)


def test_a_new_model_is_seen_when_it_is_whole(world: Callable[[], World]) -> None:
    here = world()
    here.set_output(file_bytes=0)  # files keep the names that they are written with
    for name in "abc":
        here.put(name, [(ord(name) * 10 + i, "a") for i in range(6)])
    here.run()
    old = here.held()
    here.model = "another"
    here.run(kill_at=8)  # after some files of results, before all
    assert here.held() == old
    staged = list((here.folder / "out" / "parts").rglob("part-*"))
    here.put("b", [(1, "bb")])  # meanwhile
    found = here.run()
    assert found
    assert 0 < found["rows_read"] == 13
    assert here.held() == here.expected()
    assert here.held(version=0) == old
    kept = {path.name for path in (here.folder / "out" / "parts").rglob("part-*")}
    assert any(path.name in kept or f"part-rest-{path.name.removeprefix('part-')}" in kept for path in staged[2:])

    commit = rollback(str(here.folder / "out"), here.config.storage, 0)
    assert commit.restored == 0
    assert here.held() == old
    here.model = "m"
    found = here.run()  # what has changed since
    assert found
    assert (found["files_changed"], found["rows_read"]) == (1, 1)
    assert here.held() == here.expected()
    shutil.rmtree(here.folder)


def test_retention_removes_old_files(world: Callable[[], World]) -> None:
    here = world()
    here.put("a", [(1, "a"), (2, "bb")])
    here.run()
    here.put("a", [(1, "a"), (3, "dd")])
    here.run()
    assert sum(here.held(version=0).values()) == 2
    here.set_output(retention_days=0)
    here.put("a", [(4, "dd")])
    here.run()
    assert here.held() == here.expected()
    files = list((here.folder / "out" / "parts").rglob("*.parquet"))
    table = DeltaTable(here.folder / "out")
    assert {Path(uri).name for uri in table.file_uris()} == {path.name for path in files}
    assert here.run() is None
    shutil.rmtree(here.folder)


def test_the_table_says_where_rows_come_from_and_prunes(world: Callable[[], World]) -> None:
    here = world()
    here.put("a", [(1, "a"), (2, "bb")])
    here.run()
    table = DeltaTable(here.folder / "out")
    actions = pa.table(table.get_add_actions(flatten=True))
    assert actions["num_records"].to_pylist() == [2]
    assert actions["min.row_source.file"].to_pylist() == ["a.parquet"]
    assert actions["min.score"].to_pylist() == [score("a", "m")]
    rows = table.to_pyarrow_dataset().to_table(filter=pc.field("score") > score("a", "m"))
    assert rows["id"].to_pylist() == [2]
    shutil.rmtree(here.folder)


def test_folders_names_keep_their_type(world: Callable[[], World]) -> None:
    """Columns from folders' names are strings where one name is no number, also when only numbers are new."""
    here = world()
    here.put("a", [(1, "a")])
    for year in ("unknown", "2025"):
        (here.folder / "in" / f"year={year}").mkdir()
    (here.folder / "in" / "a.parquet").rename(here.folder / "in" / "year=unknown" / "a.parquet")
    here.files.clear()
    here.run()
    table = pa.table({"id": [2], "image": [b"i"], "caption": ["bb"]})
    pq.write_table(table, here.folder / "in" / "year=2025" / "b.parquet")
    assert here.run() == counts(files=2, files_new=1, rows_in=2, rows_read=1, rows_out=2)
    rows = DeltaTable(here.folder / "out").to_pyarrow_table()
    assert sorted(rows["year"].to_pylist()) == ["2025", "unknown"]
    shutil.rmtree(here.folder)


def test_other_jobs_leave_a_delta_table_alone(world: Callable[[], World]) -> None:
    here = world()
    here.put("a", [(1, "a")])
    here.run()
    out = str(here.folder / "out")
    with OutputFolder(LocalFileSystem(), out, {}) as score, pytest.raises(ConfigError, match="holds a Delta table"):
        score.begin(overwrite=True, retry_errors=False)
    filters = OutputFolder(LocalFileSystem(), out, {}, ("", "kept", "dropped"))
    with filters, pytest.raises(ConfigError, match="holds a Delta table"):
        filters.begin(overwrite=True)
    shutil.rmtree(here.folder)
