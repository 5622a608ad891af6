"""A job that makes all its files anew: in a hidden folder, moved to their place once they are whole.

- OUT/FOLDER/...: the files, once the job is whole
- OUT/_summary.json: what made them; it is there when all of them are
- OUT/_making/job.json: which job is unfinished
- OUT/_making/publish.json: it is whole, these files are on their way to their place
- OUT/_making/lock.json: who is at work
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError
from pipeline.results.output_folder import JOB, LOCK, LOCKS, PROGRESS, PUBLISH, SUMMARY
from pipeline.results.work_folder import WorkFolder, each, refuse_delta
from pipeline.storage.filesystem import STORAGE_ERRORS, make_folder, write_whole
from pipeline.storage.lock import RunLock

FOLDER = "_making"


class Publishing:
    """The state of a job on its output folder `path`, with its files in `folders` below it.

    identity: what makes it the same job: key -> hash. A context manager that holds the lock. Raises BusyError where
    another run is at work there.
    """

    def __init__(
        self, filesystem: AbstractFileSystem, path: str, folders: tuple[str, ...], identity: dict[str, str]
    ) -> None:
        self.filesystem, self.path, self.folders, self.identity = filesystem, path.rstrip("/"), folders, identity
        self.folder = f"{self.path}/{FOLDER}"  # where the files are made
        self.lock = RunLock(filesystem, f"{self.folder}/{LOCK}")

    def __enter__(self) -> Publishing:
        self.lock.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(*STORAGE_ERRORS):  # what ended the job is told, not that its storage is still away
            if self._read(JOB) == self.identity and not self._read(PUBLISH):
                self._discard()
        self.lock.__exit__(*exception)
        with suppress(*STORAGE_ERRORS):
            if not set(self._files(self.folder)) - LOCKS:
                self.filesystem.rm(self.folder, recursive=True)

    def begin(self, overwrite: bool) -> dict[str, Any] | None:
        """Find out where the job stands. The summary, where there is nothing left to do.

        Raises ConfigError where the folder holds the results, or the unfinished work, of another job.
        """
        refuse_delta(WorkFolder(self.filesystem, self.path))
        unfinished = self._read(JOB)
        if (plan := self._read(PUBLISH)) and unfinished == plan.get("identity"):
            self._carry_out(plan)
            if plan["identity"] == self.identity:
                return plan["summary"]
            unfinished = None
        if unfinished and unfinished != self.identity and not overwrite:
            raise ConfigError(differs(self.path, unfinished, self.identity))
        if self._files(f"{self.path}/{PROGRESS}"):
            raise ConfigError(f"output.path: {self.path!r} holds an unfinished job that scores; choose another folder")
        summary = json.loads(self._cat(f"{self.path}/{SUMMARY}") or b"null") or {}
        if summary.get("identity") == self.identity and not overwrite:
            return summary
        old = self._old()
        if old and not overwrite:
            raise ConfigError(
                f"output.path: {self.path!r} already holds {len(old)} .parquet files; "
                "choose another folder, or set output.overwrite=true to replace them"
            )
        self._discard()
        write_whole(self.filesystem, f"{self.folder}/{JOB}", json.dumps(self.identity).encode())
        return None

    def publish(self, summary: dict[str, Any]) -> None:
        """Remove the files of an earlier run, move the new ones to their place, write the summary.

        Once begun, it is finished by the next run where this one is stopped.
        """
        self.lock.check()
        files = sorted(set(self._files(self.folder)) - {JOB, *LOCKS})
        plan = {"identity": self.identity, "files": files, "old": self._old(), "summary": summary}
        write_whole(self.filesystem, f"{self.folder}/{PUBLISH}", json.dumps(plan).encode())
        self._carry_out(plan)

    def _carry_out(self, plan: dict[str, Any]) -> None:
        """Publish, from wherever it was stopped."""
        waiting, there = set(self._files(self.folder)), set(self._files(self.path))
        moves = [name for name in plan["files"] if name in waiting]
        done = set(plan["files"]) - waiting
        for names in ([SUMMARY], plan["old"]):  # where there is no summary, nobody takes the files for whole
            each(self._remove, [name for name in names if name in there - done])
        for parent in {f"{self.path}/{name}".rpartition("/")[0] for name in moves}:
            make_folder(self.filesystem, parent)
        each(lambda name: self.filesystem.mv(f"{self.folder}/{name}", f"{self.path}/{name}"), moves)
        text = json.dumps(plan["summary"], indent=2)
        write_whole(self.filesystem, f"{self.path}/{SUMMARY}", text.encode() + b"\n")
        self._discard()

    def _old(self) -> list[str]:
        """The Parquet files of an earlier run: directly in the output, and in the job's folders."""
        names = [name for name in self._files(self.path) if name.endswith(".parquet")]
        return sorted(name for name in names if "/" not in name or name.partition("/")[0] in self.folders)

    def _discard(self) -> None:
        """Remove all work, the lock not included; what is needed to go on is removed last."""
        names = set(self._files(self.folder)) - LOCKS
        for some in (names - {JOB, PUBLISH}, names & {PUBLISH}, names & {JOB}):
            each(lambda name: self._remove(f"{FOLDER}/{name}"), sorted(some))

    def _remove(self, name: str) -> None:
        self.filesystem.rm_file(f"{self.path}/{name}")

    def _files(self, folder: str) -> list[str]:
        """The files below a folder, relative to it; none where it does not exist."""
        self.filesystem.invalidate_cache()
        try:
            found = self.filesystem.find(folder)
        except FileNotFoundError:
            return []
        return [path.partition(f"{folder.lstrip('/')}/")[2] for path in found]

    def _read(self, name: str) -> dict[str, Any] | None:
        return json.loads(self._cat(f"{self.folder}/{name}") or b"null")

    def _cat(self, path: str) -> bytes | None:
        self.filesystem.invalidate_cache()
        try:
            return self.filesystem.cat_file(path)
        except FileNotFoundError:
            return None


def differs(path: str, unfinished: dict[str, str], asked: dict[str, str]) -> str:
    """The line for a folder with the unfinished work of another job."""
    names = [key for key in asked if unfinished.get(key) != asked[key]]
    return (
        f"output.path: {path!r} holds an unfinished job of another {' and '.join(names)}; finish it with that, choose "
        "another folder, or set output.overwrite=true to discard it"
    )
