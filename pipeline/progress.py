"""What a job has done so far: a hidden folder beside its results, from which the same job goes on after a stop.

- OUT/part-*.parquet: results, once the job is whole
- OUT/_summary.json: what made them
- OUT/_progress/job.json: which job is unfinished
- OUT/_progress/part-*.parquet: what it has written
- OUT/_progress/publish.json: it is whole, these files are on their way to their place
- OUT/_progress/lock.json: who is at work
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.lock import RunLock
from pipeline.places import Places
from pipeline.reasons import RETRYABLE
from pipeline.schema import ERROR
from pipeline.sections import ConfigError
from pipeline.storage import STORAGE_ERRORS, THREADS, arrow_filesystem, full_uri, write_whole
from pipeline.written import FOOTER, Written, done_places, settle

FOLDER, SUMMARY, JOB, PUBLISH, LOCK = "_progress", "_summary.json", "job.json", "publish.json", "lock.json"
LOCKS = {LOCK, f".{LOCK}"}  # the second while it is written


class RowsLostError(RuntimeError):
    """Rows in and rows out differ: an output that must not be trusted."""


class Progress:
    """The state of a job on its output folder `path`. `identity`: what makes it the same job: key -> hash.

    A context manager that holds the lock. Raises BusyError where another run is at work there.
    """

    def __init__(self, filesystem: AbstractFileSystem, path: str, identity: dict[str, str]) -> None:
        self.filesystem, self.path, self.identity = filesystem, path, identity
        self.folder = f"{path}/{FOLDER}"
        self.lock = RunLock(filesystem, f"{self.folder}/{LOCK}")
        self.parts: list[Written] = []  # whole files of this job, in the hidden folder
        self.kept: list[Written] = []  # results of an earlier run that stay, when its errors are tried again
        self.old: list[str] = []  # files that go when the job is published

    def __enter__(self) -> Progress:
        self.lock.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.lock.__exit__(*exception)
        with suppress(*STORAGE_ERRORS):  # what ended the job is told, not that its storage is still away
            if self.names(self.folder) <= {JOB, *LOCKS}:  # nothing was written
                self._remove_folder()

    def begin(self, overwrite: bool, retry_errors: bool) -> dict[str, Any] | None:
        """Find out where the job stands. The summary of its results, where there is nothing left to do.

        Raises ConfigError where the folder holds the results, or the unfinished work, of another job.
        """
        asked = self.asked = {**self.identity, "retry_errors": str(retry_errors)}
        if plan := self._read(f"{self.folder}/{PUBLISH}"):
            self._carry_out(plan)
            if plan["job"] == asked:
                return plan["summary"]
        unfinished, results = self._read(f"{self.folder}/{JOB}"), self._results()
        if unfinished and unfinished != asked:
            if not overwrite:
                raise ConfigError(differs(self.path, unfinished, asked))
            self._discard()
            unfinished = None
        if results and not unfinished:
            summary = self._read(f"{self.path}/{SUMMARY}") or {}
            same = summary.get("identity") == self.identity
            if retry_errors and not same:
                raise ConfigError(f"--retry-errors: {self.path!r} does not hold the results of this config and input")
            if same and not retry_errors and not overwrite:
                return summary
            if not retry_errors and not overwrite:
                raise ConfigError(
                    f"output.path: {self.path!r} already holds {len(results)} .parquet files; "
                    "choose another folder, or set output.overwrite=true to replace them"
                )
        elif retry_errors and not unfinished:
            raise ConfigError(f"--retry-errors: {self.path!r} holds no results; run the job without it first")
        write_whole(self.filesystem, f"{self.folder}/{JOB}", json.dumps(asked).encode())
        self._load()
        if retry_errors:
            return self._prepare_retry(results)
        self.old = results
        return None

    @property
    def uri(self) -> str:
        """The hidden folder."""
        return full_uri(self.filesystem, self.folder)

    @property
    def done(self) -> Places:
        """The rows of the input that need not be read again."""
        return done_places(self.total_parts())

    def total_parts(self) -> list[Written]:
        """Every file that the results will have."""
        return [*self.kept, *self.parts]

    def audit(self, rows: int) -> None:
        """Check that the files hold all `rows` rows of the input, each once. Raises RowsLostError."""
        good, bad = settle(self.total_parts())
        out = sum(len(part.places) for part in good) + len({place for part in good for place in part.split})
        if bad or out != rows:
            raise RowsLostError(
                f"{rows} rows in, {out} rows out, {len(bad)} files that do not hold together: nothing was published to "
                f"{self.path}; run the same command again to finish what is missing"
            )

    def publish(self, summary: dict[str, Any]) -> None:
        """Move the files to their place, remove those of earlier runs, write the summary, remove the hidden folder.

        Once begun, it is finished by the next run where this one is stopped.
        """
        self.lock.check()
        plan = {"job": self.asked, "files": [p.name for p in self.parts], "old": self.old, "summary": summary}
        write_whole(self.filesystem, f"{self.folder}/{PUBLISH}", json.dumps(plan).encode())
        self._carry_out(plan)

    def _carry_out(self, plan: dict[str, Any]) -> None:
        """Publish, from wherever it was stopped."""
        waiting = self.names(self.folder)
        moves = [name for name in plan["files"] if name in waiting]
        self._each(lambda name: self.filesystem.mv(f"{self.folder}/{name}", f"{self.path}/{name}"), moves)
        there = self.names(self.path)
        self._each(lambda name: self.filesystem.rm_file(f"{self.path}/{name}"), [n for n in plan["old"] if n in there])
        text = json.dumps(plan["summary"], indent=2)
        write_whole(self.filesystem, f"{self.path}/{SUMMARY}", text.encode() + b"\n")
        self._discard()

    def _load(self) -> None:
        """Read what earlier runs of this job wrote; what does not hold together, and what is no part, goes."""
        names = sorted(self.names(self.folder) - {JOB, *LOCKS})
        parts = [name for name in names if name.startswith("part-")]
        self.parts, bad = settle(self._footers(self.folder, parts))
        gone = [*(part.name for part in bad), *(name for name in names if name not in parts)]
        self._each(lambda name: self.filesystem.rm_file(f"{self.folder}/{name}"), gone)

    def _prepare_retry(self, results: list[str]) -> dict[str, Any] | None:
        """Keep the results but for the rows whose error may pass. The summary, where there is no such row."""
        replaced = {part.replaces for part in self.parts}
        for written in self._footers(self.path, results):
            if written.name not in replaced and not len(written.retryable):
                self.kept.append(written)
                continue
            self.old.append(written.name)
            if written.name not in replaced:
                self.parts += self._without_retryable(written)
        if self.old:
            return None
        return self._read(f"{self.path}/{SUMMARY}")

    def _without_retryable(self, written: Written) -> list[Written]:
        """Write a copy of a file of results without the rows whose error may pass; none where no row is left."""
        arrow = arrow_filesystem(self.filesystem)
        with pq.ParquetFile(f"{self.path}/{written.name}", filesystem=arrow) as file:
            table, metadata = file.read(), file.metadata.metadata
        retried = pc.fill_null(pc.is_in(table[ERROR], pa.array(sorted(RETRYABLE))), False)
        table = table.filter(pc.invert(retried))
        if not table.num_rows:
            return []
        split = np.array(list(written.split), np.int64)
        rest = replace(
            written,
            name=f"part-rest-{written.name.removeprefix('part-')}",
            places=written.places.minus(written.retryable),
            split={int(place): written.split[place] for place in split[~written.retryable.contains(split)]},
            retryable=Places.none(),
            rows=table.num_rows,
            errors=Counter({reason: n for reason, n in written.errors.items() if reason not in RETRYABLE}),
            replaces=written.name,
        )
        lineage = {key.decode(): value.decode() for key, value in metadata.items() if key.startswith(b"vilt.")}
        metadata = {**lineage, FOOTER: rest.to_json()}
        write_parquet(self.filesystem, f"{self.folder}/{rest.name}", [table.replace_schema_metadata(None)], metadata)
        return [rest]

    def _footers(self, folder: str, names: list[str]) -> list[Written]:
        filesystem = arrow_filesystem(self.filesystem)

        def read(name: str) -> Written:
            metadata = pq.read_metadata(f"{folder}/{name}", filesystem=filesystem).metadata
            written = Written.from_json(metadata[FOOTER.encode()])
            written.name = name
            return written

        return self._each(read, names)

    def _results(self) -> list[str]:
        """The Parquet files directly in the output folder."""
        return sorted(name for name in self.names(self.path) if name.endswith(".parquet"))

    def names(self, folder: str) -> set[str]:
        """The names directly in a folder; none where it does not exist."""
        self.filesystem.invalidate_cache()
        try:
            return {path.rstrip("/").rpartition("/")[2] for path in self.filesystem.ls(folder, detail=False)} - {""}
        except FileNotFoundError:
            return set()

    def _read(self, path: str) -> dict[str, Any] | None:
        try:
            return json.loads(self.filesystem.cat_file(path))
        except FileNotFoundError:
            return None

    def _discard(self) -> None:
        """Remove all work, the lock not included; what is needed to go on is removed last."""
        names = self.names(self.folder) - LOCKS
        self._each(lambda name: self.filesystem.rm_file(f"{self.folder}/{name}"), sorted(names - {JOB, PUBLISH}))
        self._each(lambda name: self.filesystem.rm_file(f"{self.folder}/{name}"), sorted(names & {JOB, PUBLISH}))

    def _remove_folder(self) -> None:
        self.filesystem.invalidate_cache()
        if self.filesystem.exists(self.folder):
            self.filesystem.rm(self.folder, recursive=True)

    def _each(self, do: Callable[[str], Any], names: Iterable[str]) -> list[Any]:
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(do, names))


def write_parquet(
    filesystem: AbstractFileSystem, path: str, tables: Iterable[pa.Table], metadata: Mapping[str, str]
) -> None:
    """Tables of one schema -> one file with `metadata` in its footer, whole or not at all."""
    sink, writer = pa.BufferOutputStream(), None
    for table in tables:
        if writer is None:
            writer = pq.ParquetWriter(sink, table.schema, compression="zstd")
        writer.write_table(table)
    assert writer is not None
    writer.add_key_value_metadata(dict(metadata))
    writer.close()
    write_whole(filesystem, path, sink.getvalue())


def differs(path: str, unfinished: dict[str, str], asked: dict[str, str]) -> str:
    """The line for a folder with the unfinished work of another job."""
    names = [key for key in asked if unfinished.get(key) != asked[key]]
    return (
        f"output.path: {path!r} holds an unfinished job of another {' and '.join(names)}; finish it with that, choose "
        "another folder, or set output.overwrite=true to discard it"
    )
