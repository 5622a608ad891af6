"""The folder of a table of results, for the run that holds its lock.

- OUT/_delta_log/: which data files make up the table, commit by commit
- OUT/parts/TOKEN/: the data files of a run
- OUT/_reindex/editions-TOKEN.parquet: the files of the input that a commit was made from
- OUT/_reindex/staging.json: the folders whose files are not in the table yet, one for each model and config
- OUT/_reindex/lock.json: who is at work
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError, first_line
from pipeline.config.job import StorageConfig
from pipeline.reindexing.input_snapshot import Editions
from pipeline.results.delta_table import Added, Commit, DataFile, ResultTable, add_action
from pipeline.results.output_folder import LOCK
from pipeline.results.staging import Staging
from pipeline.results.work_folder import DELTA_LOG, WorkFolder, each
from pipeline.storage.filesystem import STORAGE_ERRORS, make_folder, open_fsspec
from pipeline.storage.lock import RunLock
from pipeline.tables.schemas import unify

FOLDER, PARTS, STAGING = "_reindex", "parts", "staging.json"
DAY = 86_400.0  # seconds


class TableFolder:
    """The folder `root` of the table at `uri`. table: as it is now. latest: its last commit, None where there is none.

    Raises ConfigError where the folder holds something else.
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
            other = "a Delta table that is not of this program" if DELTA_LOG in names else None
            if any(name.endswith(".parquet") for name in names):
                other = "Parquet files that are no Delta table"
            if other:
                raise ConfigError(f"output.path: {uri!r} holds {other}; choose another folder")
        self._forget(self.latest)

    def editions(self) -> Editions:
        """The files of the input that the table was made from."""
        assert self.latest is not None
        return Editions.read(self.filesystem, f"{self.work.path}/{self.latest.index}")

    def staging(self, identity: dict[str, str]) -> Staging:
        """Where the results of this model and config are written: where an earlier run was stopped, its folder."""
        tokens = self.work.read(STAGING) or {}
        key = _key(identity)
        if key not in tokens:
            tokens[key] = time.strftime("%Y%m%dT%H%M%S-", time.gmtime()) + uuid.uuid4().hex[:6]
            self.work.write(STAGING, tokens)
        folder = f"{self.root}/{PARTS}/{tokens[key]}"
        make_folder(self.filesystem, folder)
        return Staging(self.filesystem, folder)

    def adds(self, paths: Sequence[str]) -> list[Added]:
        """Data files for a commit; paths: below PARTS."""
        return each(lambda path: add_action(self.filesystem, self.root, f"{PARTS}/{path}"), paths)

    def commit(
        self, commit: Commit, adds: Sequence[Added], removes: Sequence[DataFile], editions: Editions, days: float | None
    ) -> Commit:
        """Commit, then remove what nobody needs: work that other models and configs left unfinished, and versions
        older than `days`. The commit with its version."""
        self.lock.check()
        commit = replace(commit, index=f"editions-{commit.token}.parquet")
        editions.write(self.filesystem, f"{self.work.path}/{commit.index}")
        schemas = list(dict.fromkeys(add.schema for add in adds))
        schema = unify(["the results"] * len(schemas), schemas) if schemas else pa.schema([])
        version = self.table.commit([add.action for add in adds], removes, schema, commit)
        for token in (self.work.read(STAGING) or {}).values():
            if token != commit.token:
                WorkFolder(self.filesystem, f"{self.root}/{PARTS}/{token}").remove_all()
        self._forget(commit, others=True)
        if days is not None:
            self.table.vacuum(days)
            self._forget_editions(days)
        return replace(commit, version=version, at=time.time())

    def restore(self, version: int | None) -> Commit:
        """Make an earlier version the latest; version: default: the one before. Raises ConfigError."""
        commits = self.table.commits()
        if len(commits) < 2 and version is None:
            raise ConfigError(f"--rollback: {self.table.uri!r} has no earlier version")
        asked = commits[1] if version is None else next((c for c in commits if c.version == version), None)
        if asked is None or self.latest is None:
            known = ", ".join(str(commit.version) for commit in commits[:10]) or "none"
            raise ConfigError(f"--rollback: {version} is no version of {self.table.uri!r}; it has {known}")
        self.lock.check()
        commit = replace(asked, restored=asked.version)
        return replace(commit, version=self.table.restore(asked.version, commit), at=time.time())

    def _forget(self, commit: Commit | None, others: bool = False) -> None:
        """Take from the list of unfinished work what is in the table; with `others`, all."""
        tokens = self.work.read(STAGING)
        if tokens and commit:
            left = {} if others else {key: token for key, token in tokens.items() if token != commit.token}
            if left != tokens:
                self.work.write(STAGING, left)

    def _forget_editions(self, days: float) -> None:
        """Remove the lists of editions that only versions older than `days` days need."""
        commits = self.table.commits()
        since = time.time() - days * DAY
        ended = next((place for place, commit in enumerate(commits) if commit.at < since), len(commits))
        needed = {commit.index for commit in commits[: ended + 1]}  # the last one was the table when `since` began
        self.work.remove({name for name in self.work.names() if name.startswith("editions-")} - needed)


@contextmanager
def opened(uri: str, storage: StorageConfig) -> Iterator[TableFolder]:
    """The folder of a table, locked while this is open. Raises ConfigError, BusyError."""
    filesystem, root = open_fsspec(uri, "output.path", storage)
    root = root.rstrip("/")
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(RunLock(filesystem, f"{root}/{FOLDER}/{LOCK}"))
            folder = TableFolder(filesystem, root, uri, storage, lock)
        except STORAGE_ERRORS as error:
            raise ConfigError(f"output.path: cannot use {uri!r}: {first_line(error)}") from None
        yield folder


def _key(identity: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
