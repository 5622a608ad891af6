"""The output folder of a job: begin, resume, publish, discard.

- OUT/...parquet: results, once the job is whole
- OUT/_summary.json: the summary of the job, written last: a folder without it is not whole
- OUT/_progress/job.json: the identity of the unfinished job
- OUT/_progress/...parquet: its finished files, under the names that they will have below OUT
- OUT/_progress/publish.json: the job is whole; these files are being moved to OUT
- OUT/_progress/lock.json: the process at work
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError
from pipeline.results.differences import differences
from pipeline.results.moving import move_files
from pipeline.results.shard_folders import refuse_shards
from pipeline.results.work_folder import JOB, PROGRESS, SUMMARY, WorkFolder, each, refuse_delta
from pipeline.storage.filesystem import full_uri, make_folder, storage_errors, write_whole
from pipeline.storage.lock import RunLock
from pipeline.tables.side_files import SIZES
from vilt.common.counts import counted

PUBLISH, LOCK = "publish.json", "lock.json"
BASE = "base.json"  # in the work folder: what an output in which results are committed was when the job began
VERSION, CONFIG = "version", "config_values"  # in JOB, beside the identity
WRITTEN = "set of columns or release of this program"  # a key of the identity of unfinished work, for messages
RESULT_ENDS = (".parquet", ".tar", ".npy", "sizes.json")  # of files in the folders of results
LOCKS = {LOCK, f".{LOCK}"}  # the second while it is being written


class _Unfinished(NamedTuple):
    """What a stopped run has noted: what makes its job the same one, its version of the input, and its config."""

    request: dict[str, str]
    version: str
    config: dict[str, Any]


class OutputFolder:
    """The output folder of one job, locked while the object is open as a context manager.

    Attributes:
        filesystem: The storage.
        path: The folder on it.
        identity: What makes it the same job: key -> hash.
        folders: Names of the folders below `path` that hold results; "" is `path` itself.
        version: The version of the input, in words, for the message to who resumes with another one; "" if unknown.
        written: Hash of what the code writes, see `pipeline.results.results_version`; files of another are not mixed.
        work: The folder of the unfinished job.
        ends: Ends of the names of results directly in `path`.
        targets: Files, relative to `path`, that the job is known to write: those that are there are earlier results.
        replaced: Files of earlier results, relative to `path`, that publishing removes.
        nested: Files of earlier results that have the folders of the input's files.
        config: The keys of the job's config that are set, without secrets, for messages.
    """

    def __init__(
        self,
        filesystem: AbstractFileSystem,
        path: str,
        identity: dict[str, str],
        folders: tuple[str, ...] = ("",),
        version: str = "",
        written: str = "",
        ends: tuple[str, ...] = (".parquet",),
        targets: Iterable[str] = (),
    ) -> None:
        """Describe a folder; nothing is read or written before it is entered."""
        self.written, self.ends, self.targets = written, ends, frozenset(targets)
        self.filesystem, self.path, self.identity = filesystem, path.rstrip("/"), identity
        self.folders, self.version = folders, version
        self.out = WorkFolder(filesystem, self.path)
        self.work = WorkFolder(filesystem, f"{self.path}/{PROGRESS}")
        self.lock = RunLock(filesystem, f"{self.work.path}/{LOCK}")
        self.replaced: list[str] = []
        self.nested: list[str] = []
        self.config: Mapping[str, Any] = {}
        self._request = identity

    def __enter__(self) -> OutputFolder:
        """Take the lock.

        Raises:
            BusyError: Another run is at work on the folder.
        """
        self.lock.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """Release the lock, and remove what the next run has no use for."""
        self.lock.__exit__(*exception)
        try:
            if set(self.work.files()) <= {JOB, BASE, *LOCKS}:  # nothing was written
                self.work.remove_all()
        except storage_errors():
            pass  # the error that ended the job matters, not that its storage is still away

    @property
    def uri(self) -> str:
        """Return the URI of the folder of the unfinished job."""
        return full_uri(self.filesystem, self.work.path)

    def begin(self, overwrite: bool, retry_errors: bool = False) -> dict[str, Any] | None:
        """Find out where the job stands, and finish publishing if an earlier run was stopped in the middle of it.

        Args:
            overwrite: Replace the results, or discard the unfinished work, of another job.
            retry_errors: The job repeats the rows of finished results whose error may pass.

        Returns:
            The summary if there is nothing left to do; else None, and the job's files may be written to `work`.

        Raises:
            ConfigError: The folder holds a Delta table, or the results or unfinished work of another job.
        """
        refuse_delta(self.out)
        self._request = {**self.identity, "retry_errors": str(retry_errors)}
        if self.written:
            self._request[WRITTEN] = self.written
        plan = self.work.read(PUBLISH)
        if plan and self._carry_out(plan) and plan["job"] == self._request:
            return plan["summary"]
        unfinished, results = self._unfinished(), self.results()
        if unfinished and unfinished.request != self._request:
            if not overwrite:
                raise ConfigError(self._unfinished_line(unfinished))
            self.discard()
            unfinished = None
        summary = self.out.read(SUMMARY) or {}
        self.nested = nested_results(summary)
        results = sorted({*results, *self.nested})
        same = summary.get("identity") == self.identity
        if not same or unfinished or overwrite or retry_errors:
            what = "repeat their errors one by one" if same and retry_errors else "they are another job's"
            refuse_shards(self.out, what)
        if retry_errors and not unfinished:
            self._check_retry(results, same, summary.get("written", ""))
        elif same and not unfinished and not overwrite:
            return summary
        elif results and not unfinished and not overwrite:
            raise ConfigError(
                f"output.path: {self.path!r} already holds {counted(len(results), f'{_kinds(results)} file')}; "
                "choose another folder, or set output.overwrite=true to replace them"
                f"{self._differences(summary.get('config'), summary.get('identity'))}"
            )
        more = {VERSION: self.version, CONFIG: dict(self.config)}
        self.work.write(JOB, {**self._request, **{key: value for key, value in more.items() if value}})
        self.replaced = results
        return None

    def results(self) -> list[str]:
        """Return the files of earlier results, relative to the folder; in `folders` below it at any depth."""
        names = [name for name in self._names("") if name.endswith(self.ends)] if "" in self.folders else []
        for folder in self.folders:
            names += [f"{folder}/{name}" for name in self._names(folder) if folder and name.endswith(RESULT_ENDS)]
        return sorted({*names, *self.nested, *self._targets_there()})

    def _targets_there(self) -> set[str]:
        """Return the files that are there, of those that the job is known to write."""
        folders = sorted({name.rpartition("/")[0] for name in self.targets})
        held = each(lambda folder: WorkFolder(self.filesystem, f"{self.path}/{folder}".rstrip("/")).names(), folders)
        there = (f"{folder}/{name}".lstrip("/") for folder, some in zip(folders, held, strict=True) for name in some)
        return set(self.targets.intersection(there))

    def publish(self, summary: dict[str, Any], files: Iterable[str]) -> None:
        """Replace earlier results by files of the work folder, and write the summary.

        Once begun, it is finished by the next run if this one is stopped.

        Args:
            summary: JSON values.
            files: The files, relative to the work folder, as they will be to the output folder.

        Raises:
            BusyError: Another run has taken over the job.
        """
        self.lock.check()
        plan = {"job": self._request, "files": sorted(files), "old": self.replaced, "summary": summary}
        self.work.write(PUBLISH, plan)
        self._carry_out(plan)

    def discard(self) -> None:
        """Remove the unfinished job, but not the lock; what is needed to resume is removed last."""
        names = set(self.work.files()) - LOCKS
        for some in (names - {JOB, PUBLISH}, names & {PUBLISH}, names & {JOB}):
            self.work.remove(sorted(some))

    def _carry_out(self, plan: dict[str, Any]) -> bool:
        """Publish, from wherever it was stopped.

        The summary goes first, so that nobody takes a mixture of files for whole results.
        """
        waiting = set(self.work.files())
        moves = [name for name in plan["files"] if name in waiting]
        moved = set(plan["files"]) - waiting
        there = {*self.results(), *(self.out.names() & {SUMMARY})}
        if any("/" in name for name in plan["old"]):  # of results in folders that no summary names any more
            there = (there | set(plan["old"])) & set(self.out.files())
        self.out.remove(name for name in (SUMMARY, *plan["old"]) if name in there - moved)
        for folder in {name.rpartition("/")[0] for name in moves} - {""}:
            make_folder(self.filesystem, f"{self.path}/{folder}")
        move_files(self.filesystem, [(f"{self.work.path}/{name}", f"{self.path}/{name}") for name in moves])
        text = json.dumps(plan["summary"], indent=2)
        write_whole(self.filesystem, f"{self.path}/{SUMMARY}", text.encode() + b"\n")
        self.discard()
        return True

    def _check_retry(self, results: list[str], same: bool, written: str) -> None:
        if not results:
            raise ConfigError(f"--retry-errors: {self.path!r} holds no results; run the job without it first")
        if not same:
            raise ConfigError(f"--retry-errors: {self.path!r} does not hold the results of this config and input")
        if written != self.written:
            raise ConfigError(
                f"--retry-errors: {self.path!r} holds results of another release of this program or of another "
                "output.keep_image, with other columns or values; make them anew with output.overwrite=true"
            )

    def _names(self, folder: str) -> Iterable[str]:
        return WorkFolder(self.filesystem, f"{self.path}/{folder}").files() if folder else self.out.names()

    def _unfinished(self) -> _Unfinished | None:
        """Return the unfinished job, None if there is none."""
        job = self.work.read(JOB) or {}
        version, config = job.pop(VERSION, ""), job.pop(CONFIG, {})
        return _Unfinished(job, version, config if isinstance(config, dict) else {}) if job else None

    def _differences(self, config: Any, identity: Any) -> str:
        """Return what tells this job from an earlier one, as part of a line; "" if it is not known."""
        if not (isinstance(config, Mapping) and isinstance(identity, Mapping)):
            return ""
        found = differences(config, self.config, (identity, self.identity))
        return f"; they are of another job: {found}" if found else ""

    def _unfinished_line(self, unfinished: _Unfinished) -> str:
        names = [key for key in self._request if unfinished.request.get(key) != self._request[key]]
        moved_on = ""
        if names == ["input"] and unfinished.version and unfinished.version != self.version:
            number = unfinished.version.rpartition(" ")[2]
            moved_on = (
                f"; it reads {unfinished.version} of the table, which is at {self.version} now: to finish it, run the "
                f"same command with input.version={number}"
            )
        found = differences(unfinished.config, self.config, (unfinished.request, self.identity))
        return (
            f"output.path: {self.path!r} holds an unfinished job of another {' and '.join(names)}"
            f"{f' ({found})' if found else ''}; finish it with that, choose another folder, or set "
            f"output.overwrite=true to discard it{moved_on}"
        )


def _kinds(results: list[str]) -> str:
    """Return the ends of the names of results, as in ".parquet, .tar"."""
    return ", ".join(sorted({f".{name.rpartition('.')[2]}" for name in results}))


def nested_results(summary: dict[str, Any]) -> list[str]:
    """Return the files of results that a summary names and that `OutputFolder.results` would not find by their names.

    These lie in folders of the input's own, as results in the input's files do; or they are tars.
    """
    if summary.get("tasks") in (["filter"], ["rank"]):
        return []
    names = [name for name in summary.get("files", []) if isinstance(name, str) and ("/" in name or _is_of_tars(name))]
    return [
        name
        for name in names
        if (name.endswith(".parquet") or _is_of_tars(name)) and not {"", ".", ".."} & set(name.split("/"))
    ]


def _is_of_tars(name: str) -> bool:
    """Return whether a file of results is a tar, or says how many samples tars hold."""
    return name.lower().endswith(".tar") or name.rpartition("/")[2] == SIZES
