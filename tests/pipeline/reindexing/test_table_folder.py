"""The folder of a table of results: who may use it, unfinished work, rollback, and what is removed when."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from pipeline import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.reindexing.table_folder import open_folder
from tests.pipeline.killed import the_dead_are_dead
from tests.pipeline.reindexing.world import World, world

assert the_dead_are_dead  # a fixture of every test here
assert world  # a fixture
IDENTITY = {"model": "m", "config": "c", "results": "r"}


@pytest.fixture
def here(world: Callable[[], World]) -> Iterator[World]:
    made = world()
    yield made
    shutil.rmtree(made.folder)


def out(here: World) -> Path:
    return here.folder / "out"


def names(here: World) -> set[str]:
    return {path.name for path in (out(here) / "_reindex").iterdir()}


def test_a_new_folder(here: World) -> None:
    with open_folder(str(out(here)), StorageConfig()) as folder:
        state = folder.state(IDENTITY, overwrite=False)
        assert (state.latest, state.data_files, state.replaced) == (None, (), "the table is new")
        with pytest.raises(ConfigError, match=r"^--rollback: "):
            folder.restore(None)
    assert not out(here).exists(), "who does nothing leaves nothing"


def test_what_the_folder_may_not_hold(here: World) -> None:
    out(here).mkdir()
    pq.write_table(pa.table({"n": [1]}), out(here) / "a.parquet")
    with (
        pytest.raises(ConfigError, match=r"holds Parquet files that are no Delta table; choose another folder$"),
        open_folder(str(out(here)), StorageConfig()),
    ):
        pass
    (out(here) / "a.parquet").unlink()
    write_deltalake(out(here), pa.table({"n": [1]}))
    with pytest.raises(ConfigError) as caught, open_folder(str(out(here)), StorageConfig()):
        pass
    uri = str(out(here))
    assert str(caught.value) == (
        f"output.path: {uri!r} holds a Delta table that is not of this program; choose another folder"
    )


def test_a_table_that_another_program_has_changed(here: World) -> None:
    here.put("a", [(1, "a"), (2, "bb")])
    here.run()
    identity = here.commit().identity
    DeltaTable(out(here)).delete("id = 1")
    with (
        pytest.raises(ConfigError, match=r"has 1 row, and had 2 when this program last wrote it: .* --rollback 0`"),
        open_folder(str(out(here)), StorageConfig()) as folder,
    ):
        folder.state(identity, overwrite=False)
    with open_folder(str(out(here)), StorageConfig()) as folder:
        assert folder.state(identity, overwrite=True).replaced == "output.overwrite=true"
        assert folder.state({**identity, "model": "x"}, overwrite=False).replaced == "another model"


def test_the_state_of_a_table(here: World) -> None:
    here.put("a", [(1, "a"), (2, "gone")])
    here.put("b", [(3, "bb")])
    here.run()
    with open_folder(str(out(here)), StorageConfig()) as folder:
        state = folder.state(here.commit().identity, overwrite=False)
    assert state.replaced is None
    assert state.latest == here.commit()
    assert (state.snapshot.files.keys(), state.snapshot.rows) == ({"a.parquet", "b.parquet"}, 3)
    assert len(state.failed) == 1
    assert [(file.first, file.last, file.rows) for file in state.data_files] == [("a.parquet", "b.parquet", 3)]


def test_unfinished_work_is_resumed_by_who_began_it(here: World) -> None:
    other = {**IDENTITY, "model": "n"}
    with open_folder(str(out(here)), StorageConfig()) as folder:
        first = folder.staging(IDENTITY).folder
        assert folder.staging(other).folder != first
        assert folder.staging(IDENTITY).folder == first
        Path(first, "part-1.parquet").write_bytes(b"x")
    with open_folder(str(out(here)), StorageConfig()) as folder:
        assert folder.staging(IDENTITY).folder == first
        folder.drop_staging(other)
        assert Path(first).exists()
        folder.drop_staging(IDENTITY)
        folder.drop_staging(IDENTITY)
    assert not Path(first).exists()
    assert json.loads((out(here) / "_reindex" / "staging.json").read_text()) == {}


def test_a_run_that_is_refused_leaves_no_empty_folders(here: World) -> None:
    with pytest.raises(ConfigError), open_folder(str(out(here)), StorageConfig()) as folder:  # noqa: PT012
        folder.staging(IDENTITY)
        raise ConfigError("refused")
    assert not out(here).exists()
    with pytest.raises(ConfigError), open_folder(str(out(here)), StorageConfig()) as folder:  # noqa: PT012
        Path(folder.staging(IDENTITY).folder, "part-1.parquet").write_bytes(b"x")
        folder.staging({**IDENTITY, "model": "n"})
        raise ConfigError("refused")
    assert len(json.loads((out(here) / "_reindex" / "staging.json").read_text())) == 1


def test_rollback(here: World) -> None:
    here.put("a", [(1, "a")])
    here.run()
    before = here.held()
    here.put("b", [(2, "bb")])
    here.run()
    with open_folder(str(out(here)), StorageConfig()) as folder:
        with pytest.raises(ConfigError) as caught:
            folder.restore(9)
        assert str(caught.value) == f"--rollback: 9 is no version of {str(out(here))!r}; it has 1, 0"
        commit = folder.restore(None)
        assert (commit.restored, commit.version) == (0, 2)
    assert here.held() == before
    assert here.commit().restored == 0


def test_lists_of_versions_that_are_gone_are_removed(here: World) -> None:
    tokens = []
    for number in range(3):
        here.put("a", [(number, "a")])
        here.run()
        tokens.append(here.commit().token)
    kept = {f"{kind}-{token}.parquet" for token in tokens for kind in ("input", "failed", "data")}
    assert kept <= names(here)
    (out(here) / "_reindex" / "editions-old.parquet").write_bytes(b"x")
    with open_folder(str(out(here)), StorageConfig()) as folder:
        unfinished = folder.staging({**IDENTITY, "model": "other"}).folder
        folder.clean(here.commit(), None)
        assert kept <= names(here), "without a retention everything stays"
        assert not Path(unfinished).exists(), "but for unfinished work"
        folder.clean(here.commit(), 0)
    assert {name for name in names(here) if name.endswith(".parquet")} == {
        f"{kind}-{tokens[-1]}.parquet" for kind in ("input", "failed", "data")
    }
    assert here.run() is None
