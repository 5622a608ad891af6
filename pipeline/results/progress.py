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
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fsspec import AbstractFileSystem

from pipeline.common.columns import ERROR
from pipeline.common.error_codes import TRIED_BY_NEXT_RUN
from pipeline.common.errors import ConfigError, RowsLostError
from pipeline.common.row_ranges import Places
from pipeline.results.file_footer import FOOTER, Written, done_places, settle
from pipeline.results.work_folder import WorkFolder, each, read_part, refuse_delta, write_parquet
from pipeline.storage.filesystem import STORAGE_ERRORS, full_uri, write_whole
from pipeline.storage.lock import RunLock

FOLDER, SUMMARY, JOB, PUBLISH, LOCK = "_progress", "_summary.json", "job.json", "publish.json", "lock.json"
LOCKS = {LOCK, f".{LOCK}"}  # the second while it is written


class Progress:
    """The state of a job on its output folder `path`. `identity`: what makes it the same job: key -> hash.

    A context manager that holds the lock. Raises BusyError where another run is at work there.
    """

    def __init__(self, filesystem: AbstractFileSystem, path: str, identity: dict[str, str]) -> None:
        self.filesystem, self.path, self.identity = filesystem, path, identity
        self.folder = f"{path}/{FOLDER}"
        self.out, self.work = WorkFolder(filesystem, path), WorkFolder(filesystem, self.folder)
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
            if self.work.names() <= {JOB, *LOCKS}:  # nothing was written
                self.work.remove_all()

    def begin(self, overwrite: bool, retry_errors: bool) -> dict[str, Any] | None:
        """Find out where the job stands. The summary of its results, where there is nothing left to do.

        Raises ConfigError where the folder holds the results, or the unfinished work, of another job, or a Delta table.
        """
        refuse_delta(self.out)
        asked = self.asked = {**self.identity, "retry_errors": str(retry_errors)}
        if plan := self.work.read(PUBLISH):
            self._carry_out(plan)
            if plan["job"] == asked:
                return plan["summary"]
        unfinished, results = self.work.read(JOB), self._results()
        if unfinished and unfinished != asked:
            if not overwrite:
                raise ConfigError(differs(self.path, unfinished, asked))
            self._discard()
            unfinished = None
        if results and not unfinished:
            summary = self.out.read(SUMMARY) or {}
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
        self.work.write(JOB, asked)
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
        self.work.write(PUBLISH, plan)
        self._carry_out(plan)

    def _carry_out(self, plan: dict[str, Any]) -> None:
        """Publish, from wherever it was stopped."""
        waiting = self.work.names()
        moves = [name for name in plan["files"] if name in waiting]
        each(lambda name: self.filesystem.mv(f"{self.folder}/{name}", f"{self.path}/{name}"), moves)
        there = self.out.names()
        self.out.remove(name for name in plan["old"] if name in there)
        text = json.dumps(plan["summary"], indent=2)
        write_whole(self.filesystem, f"{self.path}/{SUMMARY}", text.encode() + b"\n")
        self._discard()

    def _load(self) -> None:
        """Read what earlier runs of this job wrote; what does not hold together, and what is no part, goes."""
        names = sorted(self.work.names() - {JOB, *LOCKS})
        parts = [name for name in names if name.startswith("part-")]
        self.parts, bad = settle(self.work.parts(parts))
        self.work.remove([*(part.name for part in bad), *(name for name in names if name not in parts)])

    def _prepare_retry(self, results: list[str]) -> dict[str, Any] | None:
        """Keep the results but for the rows whose error may pass. The summary, where there is no such row."""
        replaced = {part.replaces for part in self.parts}
        for written in self.out.parts(results):
            if written.name not in replaced and not len(written.retryable):
                self.kept.append(written)
                continue
            self.old.append(written.name)
            if written.name not in replaced:
                self.parts += self._without_retryable(written)
        if self.old:
            return None
        return self.out.read(SUMMARY)

    def _without_retryable(self, written: Written) -> list[Written]:
        """Write a copy of a file of results without the rows whose error may pass; none where no row is left."""
        table, lineage = read_part(self.filesystem, f"{self.path}/{written.name}")
        retried = pc.fill_null(pc.is_in(table[ERROR], pa.array(sorted(TRIED_BY_NEXT_RUN))), False)
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
            errors=Counter({reason: n for reason, n in written.errors.items() if reason not in TRIED_BY_NEXT_RUN}),
            replaces=written.name,
        )
        metadata = {**lineage, FOOTER: rest.to_json()}
        write_parquet(self.filesystem, f"{self.folder}/{rest.name}", [table], metadata)
        return [rest]

    def _results(self) -> list[str]:
        """The Parquet files directly in the output folder."""
        return sorted(name for name in self.out.names() if name.endswith(".parquet"))

    def _discard(self) -> None:
        """Remove all work, the lock not included; what is needed to go on is removed last."""
        names = self.work.names() - LOCKS
        self.work.remove(sorted(names - {JOB, PUBLISH}))
        self.work.remove(sorted(names & {JOB, PUBLISH}))


def differs(path: str, unfinished: dict[str, str], asked: dict[str, str]) -> str:
    """The line for a folder with the unfinished work of another job."""
    names = [key for key in asked if unfinished.get(key) != asked[key]]
    return (
        f"output.path: {path!r} holds an unfinished job of another {' and '.join(names)}; finish it with that, choose "
        "another folder, or set output.overwrite=true to discard it"
    )
