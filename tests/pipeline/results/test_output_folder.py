"""A job that makes all its files anew: a kill at any step leaves either the old files or the new ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import ConfigError
from pipeline.results.output_folder import OutputFolder
from tests.pipeline.killed import Killed, Storage, entered, the_dead_are_dead

assert the_dead_are_dead  # a fixture of every test here


def publish(storage: Storage, out: Path, run: str, overwrite: bool = False, written: str = "") -> dict[str, Any] | None:
    """A job that makes two files in folders."""
    folders = ("", "kept", "dropped")
    folder = OutputFolder(storage, str(out), {"config": run[0]}, folders, written=written)
    with entered(folder):
        finished = folder.begin(overwrite)
        if finished is None:
            names = ("kept/a.parquet", f"dropped/{run[0]}/b.parquet")
            for name in names:
                storage.makedirs(f"{folder.work.path}/{name}".rpartition("/")[0], exist_ok=True)
                storage.pipe_file(f"{folder.work.path}/{name}", run.encode())
            folder.publish({"identity": folder.identity, "run": run}, names)
    return finished


def test_a_kill_at_any_step_is_made_good_by_the_same_command(tmp_path: Path) -> None:
    for step in range(1, 100):
        out = tmp_path / str(step)
        publish(Storage(), out, "old")
        storage = Storage(step)
        try:
            publish(storage, out, "new", overwrite=True)
        except Killed:
            if (out / "_summary.json").exists():  # then all that it names is there
                run = json.loads((out / "_summary.json").read_text())["run"]
                assert (out / "kept" / "a.parquet").read_text() == run
            publish(Storage(), out, "new again", overwrite=True)
        files = {str(path.relative_to(out)): path.read_text() for path in out.rglob("*") if path.is_file()}
        assert set(files) == {"_summary.json", "kept/a.parquet", "dropped/n/b.parquet"}
        run = json.loads(files["_summary.json"])["run"]
        assert run.startswith("new")
        assert files["kept/a.parquet"] == files["dropped/n/b.parquet"]
        if storage.steps < step:
            return
    raise AssertionError("it never ended")


def test_another_jobs_unfinished_work_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        publish(Storage(5), tmp_path, "old")
    with pytest.raises(ConfigError, match="holds an unfinished job of another config"):
        publish(Storage(), tmp_path, "new")


def test_files_of_an_earlier_release_are_not_mixed_with_those_of_this_one(tmp_path: Path) -> None:
    """A release may write other columns, or other values for the same row."""
    with pytest.raises(Killed):
        publish(Storage(5), tmp_path, "same", written="columns of then")
    with pytest.raises(
        ConfigError, match="holds an unfinished job of another set of columns or release of this program; finish"
    ):
        publish(Storage(), tmp_path, "same", written="columns of now")
    publish(Storage(), tmp_path, "same", overwrite=True, written="columns of now")
    assert publish(Storage(), tmp_path, "same", written="columns of later") is not None, "finished results stay"


@pytest.mark.parametrize("stopped", [True, False])
def test_the_line_names_what_differs(tmp_path: Path, stopped: bool) -> None:
    def begin(text: str) -> None:
        storage = Storage()
        folder = OutputFolder(storage, str(tmp_path), {"config": text})
        folder.config = {"input": {"text": text}}
        with entered(folder):
            folder.begin(False)
            storage.makedirs(folder.work.path, exist_ok=True)
            storage.pipe_file(f"{folder.work.path}/a.parquet", b"a")
            if not stopped:
                summary = {"identity": folder.identity, "config": folder.config}
                folder.publish(summary, ["a.parquet"])

    begin("caption")
    held = (
        r"holds an unfinished job of another config \(input\.text was 'caption' and is 'alt'\); finish it with that, ch"
        if stopped
        else r"already holds 1 \.parquet file; choose .*; they are of another job: input\.text was 'caption' and is"
    )
    with pytest.raises(ConfigError, match=held):
        begin("alt")
