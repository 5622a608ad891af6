"""Many files of a storage get other names: all of them, once, also when a Ray helps or a process ends in between."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipeline.results import moving
from pipeline.results.moving import move_files
from pipeline.results.output_folder import OutputFolder
from tests.pipeline.killed import Killed, Storage, entered, the_dead_are_dead

assert the_dead_are_dead  # a fixture of every test here


class Bucket(Storage):
    """A local folder that passes for an object store, on which copies and removals are steps of their own.

    Nothing outside the folder is removed, whatever is asked for.
    """

    protocol = ("s3",)

    def __init__(self, folder: Path, kill_at: int = 0) -> None:
        super().__init__(kill_at)
        self.folder = folder.resolve()

    def info(self, path: Any, **kwargs: Any) -> dict[str, Any]:
        bucket = isinstance(path, str) and "/" not in path
        found: dict[str, Any] = {"type": "directory"} if bucket else super().info(path, **kwargs)
        return found

    def pipe_file(self, path: str, *args: Any, **kwargs: Any) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        super().pipe_file(path, *args, **kwargs)

    def cp_file(self, *args: Any, **kwargs: Any) -> None:
        self.step()
        super().cp_file(*args, **kwargs)

    def mv(self, *args: Any, **kwargs: Any) -> None:
        self.check_inside(args[0])
        super().mv(*args, **kwargs)

    def rmdir(self, path: Any) -> None:
        self.check_inside(path)
        super().rmdir(path)

    def rm_file(self, path: Any) -> None:
        self.check_inside(path)
        super().rm_file(path)

    def rm(self, path: Any, **kwargs: Any) -> None:
        for one in [path] if isinstance(path, str) else path:
            self.check_inside(one)
            self.step()
            super().rm(one, **kwargs)

    def check_inside(self, path: Any) -> None:
        """Raise AssertionError if a path is not below the folder."""
        assert isinstance(path, str)
        assert Path(path).is_absolute()
        assert self.folder in Path(path).resolve().parents, f"{path} is outside of {self.folder}"


def publish(storage: Storage, out: Path, run: str) -> None:
    folder = OutputFolder(storage, str(out), {"config": run[0]})
    with entered(folder):
        if folder.begin(overwrite=True) is None:
            names = [f"part-{run[0]}{number}.parquet" for number in range(3)]
            for name in names:
                storage.pipe_file(f"{folder.work.path}/{name}", run.encode())
            folder.publish({"identity": folder.identity, "run": run}, names)


@pytest.mark.parametrize("path", ["/", "{}", "{}/../other/file", "inside", "{}/link/file"])
def test_the_bucket_of_these_tests_removes_nothing_outside(tmp_path: Path, path: str) -> None:
    bucket, other = tmp_path / "bucket", tmp_path / "other"
    bucket.mkdir()
    other.mkdir()
    (other / "file").write_text("kept")
    (bucket / "link").symlink_to(other)
    storage = Bucket(bucket)
    with pytest.raises(AssertionError):
        storage.check_inside(path.format(bucket))
    with pytest.raises(AssertionError):
        storage.rm([str(other / "file")])
    with pytest.raises(AssertionError):
        storage.rm_file(str(other / "file"))
    assert (other / "file").read_text() == "kept"


def test_a_kill_at_any_step_of_publishing_to_a_bucket(tmp_path: Path) -> None:
    for step in range(1, 100):
        out = tmp_path / str(step)
        publish(Bucket(out), out, "old")
        storage = Bucket(out, step)
        try:
            publish(storage, out, "new")
        except Killed:
            if (out / "_summary.json").exists():  # then all that it names is there
                run = json.loads((out / "_summary.json").read_text())["run"]
                assert {path.read_text() for path in out.glob("*.parquet")} == {run}
            publish(Bucket(out), out, "new again")
        files = {path.name: path.read_text() for path in out.rglob("*") if path.is_file()}
        assert set(files) == {"_summary.json", "part-n0.parquet", "part-n1.parquet", "part-n2.parquet"}
        run = json.loads(files.pop("_summary.json"))["run"]
        assert set(files.values()) == {run}
        if storage.steps < step:
            return
    raise AssertionError("it never ended")


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("many", [2, 1000], ids=["tasks", "threads"])
def test_files_on_s3(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    monkeypatch.setattr(moving, "MANY_MOVES", many)
    monkeypatch.setattr(moving, "MOVES_PER_TASK", 3)
    driver, move = os.getpid(), moving._move

    def noted(filesystem: Any, moves: Any) -> None:
        assert (os.getpid() == driver) == (many == 1000), "tasks are other processes"
        move(filesystem, moves)

    monkeypatch.setattr(moving, "_move", noted)
    storage, bucket = fsspec.filesystem("s3"), f"moving-{many}"
    storage.mkdir(bucket)
    for number in range(7):
        storage.pipe_file(f"{bucket}/work/{number}", str(number).encode())
    move_files(storage, [(f"{bucket}/work/{number}", f"{bucket}/out/{number}") for number in range(7)])
    storage.invalidate_cache()
    assert storage.find(bucket) == [f"{bucket}/out/{number}" for number in range(7)]
    assert [storage.cat_file(f"{bucket}/out/{number}") for number in range(7)] == [b"%d" % n for n in range(7)]


@pytest.mark.usefixtures("ray_cluster")
def test_names_on_s3_that_could_be_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    """`rm` of fsspec takes *, ? and [ for patterns: of other files, which are not moved yet."""
    monkeypatch.setattr(moving, "MOVES_PER_TASK", 2)
    storage, names = fsspec.filesystem("s3"), ["a*", "a[1]", "a1", "a2", "a?"]
    storage.mkdir("patterns")
    for name in names:
        storage.pipe_file(f"patterns/work/{name}", name.encode())
    move_files(storage, [(f"patterns/work/{name}", f"patterns/out/{name}") for name in names])
    storage.invalidate_cache()
    assert storage.find("patterns") == sorted(f"patterns/out/{name}" for name in names)
    assert [storage.cat_file(f"patterns/out/{name}") for name in names] == [name.encode() for name in names]


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("discarded", [False, True], ids=["published", "left"])
def test_an_output_on_s3_whose_name_could_be_a_pattern(discarded: bool) -> None:
    storage, bucket = fsspec.filesystem("s3"), f"pattern-outputs-{discarded}".lower()
    storage.mkdir(bucket)
    others = [f"{bucket}/run1/_progress/{name}" for name in ("job.json", "part-n0.parquet", "lock.json")]
    for path in others:
        storage.pipe_file(path, b"another run's")
    with OutputFolder(storage, f"{bucket}/run[1*]", {"config": "n"}) as folder:
        assert folder.begin(overwrite=False) is None
        if not discarded:
            storage.pipe_file(f"{folder.work.path}/part-n0.parquet", b"new")
            folder.publish({"identity": folder.identity}, ["part-n0.parquet"])
    storage.invalidate_cache()
    published = [] if discarded else [f"{bucket}/run[1*]/{name}" for name in ("_summary.json", "part-n0.parquet")]
    assert storage.find(bucket) == sorted([*others, *published])
