"""The folder of a table of results, for the run that holds its lock.

- OUT/_delta_log/: which data files make up the table, commit by commit
- OUT/parts/TOKEN/: the data files of a run
- OUT/_reindex/input-TOKEN.parquet: the files of the input that a commit was made from
- OUT/_reindex/failed-TOKEN.parquet: the rows of a commit whose error may pass
- OUT/_reindex/data-TOKEN.parquet: the data files of a commit, and which files of the input their rows are from
- OUT/_reindex/staging.json: the folders with files that are not in the table yet, one for each model and config
- OUT/_reindex/lock.json: which run is at work
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from pipeline.common.errors import ConfigError, first_line
from pipeline.config.storage import StorageConfig
from pipeline.reindexing.data_files import read_data_files, write_data_files
from pipeline.reindexing.input_snapshot import InputSnapshot
from pipeline.reindexing.plan import TableState, why_replaced
from pipeline.reindexing.retries import FailedRows
from pipeline.results.delta.commit import Commit
from pipeline.results.delta.data_files import Added, DataFile, add_action
from pipeline.results.delta.table import ResultTable
from pipeline.results.output_folder import LOCK
from pipeline.results.staging import Staging
from pipeline.results.work_folder import DELTA_LOG, WorkFolder
from pipeline.storage.filesystem import CONNECTIONS, in_threads, make_folder, open_fsspec, storage_errors
from pipeline.storage.lock import RunLock
from vilt.common.counts import counted

FOLDER, PARTS, STAGING = "_reindex", "parts", "staging.json"
LISTS = (
    "input-",
    "failed-",
    "data-",
    "editions-",
)  # begin the names of the lists of a commit; the last: of earlier releases
DAY = 86_400.0  # seconds


class TableFolder:
    """The folder `root` of the table at `uri`.

    Attributes:
        table: The table as it is now.
        latest: Its last commit; None if there is none.

    Raises:
        ConfigError: The folder holds something else.
    """

    def __init__(
        self, filesystem: AbstractFileSystem, root: str, uri: str, storage: StorageConfig, lock: RunLock
    ) -> None:
        self.filesystem, self.root, self.lock = filesystem, root, lock
        self.work = WorkFolder(filesystem, f"{root}/{FOLDER}")
        self.table = ResultTable(uri, storage)
        self.latest = self.table.latest()
        if self.latest is None:
            names = WorkFolder(filesystem, root).names()
            other = None
            if DELTA_LOG in names:
                other = "a Delta table that is not of this program"
            elif any(name.endswith(".parquet") for name in names):
                other = "Parquet files that are no Delta table"
            if other:
                raise ConfigError(f"output.path: {uri!r} holds {other}; choose another folder")
        self._forget_staging(self.latest)

    def state(self, identity: Mapping[str, str], overwrite: bool) -> TableState:
        """Return the table as a run with this identity finds it; overwrite: whether it is to be made anew.

        Raises:
            ConfigError: Another program has added or removed rows.
        """
        replaced = why_replaced(self.latest, identity, overwrite)
        files, columns = tuple(self.table.files()), self.table.schema()
        if self.latest is None or replaced:
            return TableState(self.latest, files, columns, InputSnapshot.empty(), FailedRows.none(), replaced)
        rows, before, version = sum(file.rows for file in files), self.latest.counts["rows_out"], self.latest.version
        if rows != before:
            raise ConfigError(
                f"output.path: {self.table.uri!r} has {counted(rows, 'row')}, and had {before:,} when this program "
                f"last wrote "
                f"it: another one has changed them; restore version {version} by `vilt reindex --rollback {version}`, "
                "or choose another folder"
            )
        snapshot, failed, data = (f"{self.work.path}/{name}" for name in _lists(self.latest))
        known = {file.path: file for file in read_data_files(self.filesystem, data)}
        return TableState(
            latest=self.latest,
            data_files=tuple(known.get(file.path, file) for file in files),
            columns=columns,
            snapshot=InputSnapshot.read(self.filesystem, snapshot),
            failed=FailedRows.read(self.filesystem, failed),
            replaced=None,
        )

    def staging(self, identity: Mapping[str, str]) -> Staging:
        """Return where results of this identity are written: the folder of an earlier run, if one was stopped."""
        tokens = self.work.read(STAGING) or {}
        key = _key(identity)
        if key not in tokens:
            tokens[key] = time.strftime("%Y%m%dT%H%M%S-", time.gmtime()) + uuid.uuid4().hex[:6]
            self.work.write(STAGING, tokens)
        folder = f"{self.root}/{PARTS}/{tokens[key]}"
        make_folder(self.filesystem, folder)
        return Staging(self.filesystem, folder)

    def drop_staging(self, identity: Mapping[str, str]) -> None:
        """Remove what was written for this identity and is not needed."""
        tokens = self.work.read(STAGING) or {}
        if token := tokens.pop(_key(identity), None):
            self.work.write(STAGING, tokens)
            WorkFolder(self.filesystem, f"{self.root}/{PARTS}/{token}").remove_all()

    def adds(self, paths: Sequence[str], finite: Sequence[str]) -> list[Added]:
        """Return data files for a commit; paths: below PARTS. finite: see `add_action`."""
        below = {path.rpartition("/")[0] for path in paths}
        sizes = {
            f"{folder}/{name}": size
            for folder in below
            for name, size in WorkFolder(self.filesystem, f"{self.root}/{PARTS}/{folder}").sizes().items()
        }

        def add(path: str) -> Added:
            return add_action(self.filesystem, self.root, f"{PARTS}/{path}", sizes.get(path, 0), finite)

        return list(in_threads(add, paths, CONNECTIONS))

    def write_lists(
        self, commit: Commit, snapshot: InputSnapshot, failed: FailedRows, files: Sequence[DataFile]
    ) -> None:
        """Write what the next run needs to know of a commit; files: the table's data files then."""
        snapshot.write(self.filesystem, f"{self.work.path}/{_lists(commit)[0]}")
        write_data_files(files, self.filesystem, f"{self.work.path}/{_lists(commit)[2]}")
        self.write_failed(commit, failed)

    def write_failed(self, commit: Commit, failed: FailedRows) -> None:
        """Replace the rows of a commit whose error may pass."""
        failed.write(self.filesystem, f"{self.work.path}/{_lists(commit)[1]}")

    def clean(self, commit: Commit, days: float | None) -> None:
        """Remove what nobody needs after a commit.

        That is unfinished work of other models and configs, and versions older than `days` days.
        """
        for token in (self.work.read(STAGING) or {}).values():
            if token != commit.token:
                WorkFolder(self.filesystem, f"{self.root}/{PARTS}/{token}").remove_all()
        self._forget_staging(commit, others=True)
        if days is not None:
            self.table.vacuum(days)
            self._remove_lists(days)

    def restore(self, version: int | None) -> Commit:
        """Make an earlier version the latest.

        Args:
            version: Its number; None: the one before the latest.

        Raises:
            ConfigError: There is no such version, or its files are gone.
        """
        commits = self.table.commits()
        if len(commits) < 2 and version is None:
            raise ConfigError(f"--rollback: {self.table.uri!r} has no earlier version")
        wanted = commits[1] if version is None else next((c for c in commits if c.version == version), None)
        if wanted is None or self.latest is None:
            known = ", ".join(str(commit.version) for commit in commits[:10]) or "none"
            raise ConfigError(f"--rollback: {version} is no version of {self.table.uri!r}; it has {known}")
        self.lock.check()
        commit = replace(wanted, restored=wanted.version)
        return replace(commit, version=self.table.restore(wanted.version, commit), at=time.time())

    def forget_empty_staging(self) -> None:
        """Remove the folders of runs that were refused before they wrote a file."""
        tokens = self.work.read(STAGING) or {}
        folders = {key: WorkFolder(self.filesystem, f"{self.root}/{PARTS}/{token}") for key, token in tokens.items()}
        left = {key: tokens[key] for key, folder in folders.items() if folder.names()}
        for key in tokens.keys() - left.keys():
            folders[key].remove_all()
        if left:
            self.work.write(STAGING, left)
        elif tokens:
            self.work.remove([STAGING])

    def _forget_staging(self, commit: Commit | None, others: bool = False) -> None:
        """Take from the list of unfinished work what is in the table; with `others`, all."""
        tokens = self.work.read(STAGING)
        if tokens and commit:
            if commit.token in tokens.values():
                self._remove_joined(commit.token)
            left = {} if others else {key: token for key, token in tokens.items() if token != commit.token}
            if left != tokens:
                self.work.write(STAGING, left)

    def _remove_joined(self, token: str) -> None:
        """Remove the small files of a committed run that were joined to larger ones, which the table has."""
        folder = WorkFolder(self.filesystem, f"{self.root}/{PARTS}/{token}")
        held = {file.path for file in self.table.files()}
        small = (name for name in folder.names() if name.startswith("part-") and name.endswith(".parquet"))
        folder.remove(name for name in small if f"{PARTS}/{token}/{name}" not in held)

    def _remove_lists(self, days: float) -> None:
        """Remove the lists of the input that only versions older than `days` days need."""
        commits = self.table.commits()
        since = time.time() - days * DAY
        ended = next((number for number, commit in enumerate(commits) if commit.at < since), len(commits))
        needed = {name for commit in commits[: ended + 1] for name in _lists(commit)}  # the last was latest at `since`
        self.work.remove({name for name in self.work.names() if name.startswith(LISTS)} - needed)


@contextmanager
def open_folder(uri: str, storage: StorageConfig) -> Iterator[TableFolder]:
    """Open the folder of a table, and lock it while it is open.

    A run that is refused leaves no empty folders.

    Raises:
        ConfigError: The folder cannot be used.
        BusyError: Another run is at work there.
    """
    filesystem, root = open_fsspec(uri, "output.path", storage)
    root = root.rstrip("/")
    made = [path for path in (f"{root}/{FOLDER}", f"{root}/{PARTS}", root) if not filesystem.exists(path)]
    with ExitStack() as stack:
        if isinstance(filesystem, LocalFileSystem):  # object stores have no folders, only buckets
            stack.callback(_remove_empty, filesystem, made)
        try:
            lock = stack.enter_context(RunLock(filesystem, f"{root}/{FOLDER}/{LOCK}"))
            folder = TableFolder(filesystem, root, uri, storage, lock)
        except storage_errors() as error:
            raise ConfigError(f"output.path: cannot use {uri!r}: {first_line(error)}") from None
        try:
            yield folder
        except ConfigError:
            folder.forget_empty_staging()
            raise


def _remove_empty(filesystem: AbstractFileSystem, folders: Sequence[str]) -> None:
    """Remove those of the folders that are there and hold nothing."""
    for folder in folders:
        with suppress(OSError):
            filesystem.rmdir(folder)


def _lists(commit: Commit) -> tuple[str, str, str]:
    """Return the names of the files with the input's files, the failed rows and the data files of a commit."""
    return f"input-{commit.token}.parquet", f"failed-{commit.token}.parquet", f"data-{commit.token}.parquet"


def _key(identity: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(identity), sort_keys=True).encode()).hexdigest()[:16]
