"""A folder of input that is edited, and the table of results that `reindex` keeps of it, without Ray or a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from ray.data._internal.execution.interfaces import TaskContext

from pipeline import JobConfig
from pipeline.common.row_ranges import Places
from pipeline.reindexing.reindex import reindex
from pipeline.results.delta_commit import Commit
from pipeline.results.delta_table import ResultTable
from pipeline.results.file_footer import Written
from pipeline.results.parquet_sink import ParquetSink
from pipeline.results.staging import Staging
from pipeline.scoring.prepare import PreparedJob
from pipeline.stages.batch_stats import BatchStats
from pipeline.tables.datasource import windows_of
from pipeline.tables.table import InputTable, read_plan
from tests.pipeline.killed import Killed, Storage

UNSTEADY = {"flaky": "fetch_timeout", "late": "image_missing"}  # what these give while a server is down
Rows = list[tuple[int, str]]  # id and caption


def score(caption: str, model: str) -> float:
    """What the stand-in finds."""
    return float(sum(map(ord, caption)) + len(model))


class World:
    """An input folder, a table of results, and the storage of the run at hand."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.storage, self.model, self.up = folder, Storage(), "m", True
        self.files: dict[str, Rows] = {}
        self.config = JobConfig.parse(
            "score",
            {
                "input": {"path": str(folder / "in"), "text": "caption", "id": "id"},
                "model": "none",
                "output": {"path": str(folder / "out"), "format": "delta"},
                "batch": {"window_rows": 3},
            },
        )
        (folder / "in").mkdir()

    def put(self, name: str, rows: Rows) -> None:
        """Write a file of the input, or remove it where it has no rows."""
        path = self.folder / "in" / f"{name}.parquet"
        if rows:
            table = pa.table({"id": [i for i, _ in rows], "image": [b"i"] * len(rows), "caption": [c for _, c in rows]})
            pq.write_table(table, path, row_group_size=2)
            self.files[name] = rows
        elif self.files.pop(name, None):
            path.unlink()

    def run(self, kill_at: int = 0, **keys: Any) -> dict[str, int] | None:
        """One run; what it did, None where it found nothing to do, or was killed."""
        self.storage = Storage(kill_at)
        try:
            commit, new, self.retried = reindex(self.config, **keys)
        except Killed:
            return None
        return commit.counts if new else None

    def commit(self) -> Commit:
        """The table's last commit."""
        latest = ResultTable(self.config.output.path, self.config.storage).latest()
        assert latest
        return latest

    def set_output(self, **keys: Any) -> None:
        """Change the config's section `output`."""
        output = {**self.config.output.model_dump(), **keys}
        self.config = JobConfig.checked(self.config.model_dump() | {"output": output})

    def expected(self) -> Counter[tuple[Any, ...]]:
        """The rows that the table must hold."""
        return Counter(
            (i, caption, *self.result(caption), f"{name}.parquet", row)
            for name, rows in self.files.items()
            for row, (i, caption) in enumerate(rows)
        )

    def result(self, caption: str) -> tuple[float | None, str | None]:
        """The result of a caption, now: some depend on whether a server is up."""
        if caption == "gone" or (caption in UNSTEADY and not self.up):
            return None, UNSTEADY.get(caption, "image_missing")
        return score(caption, self.model), None

    def held(self, version: int | None = None) -> Counter[tuple[Any, ...]]:
        """The rows that the table holds."""
        if not DeltaTable.is_deltatable(str(self.folder / "out")):
            return Counter()
        rows = DeltaTable(self.folder / "out", version=version).to_pyarrow_table().to_pylist()
        return Counter(
            (r["id"], r["caption"], r["score"], r["error"], r["row_source"]["file"], r["row_source"]["row"])
            for r in rows
        )

    # What takes the place of Ray and of the model.

    def read(self, table: InputTable, config: JobConfig, done: Places, then: Callable[..., Any]) -> World:
        self.batches = list(then(self.windows(table, config, done)))
        return self

    def iter_batches(self, **_: Any) -> Iterator[pa.Table]:
        return iter(self.batches)

    def windows(self, table: InputTable, config: JobConfig, done: Places) -> Iterator[pa.Table]:
        plan = replace(read_plan(table, config.batch.window_rows), row_source=True)
        yield from windows_of((t for one in table.unread(done) for t in one.read(plan)), 3)

    def score_rows(
        self, job: PreparedJob, work: Staging, before: Written, log_every: float, types: Any
    ) -> list[Written]:
        del before, log_every
        config, table, models = job.config, job.table, job.models
        sink = ParquetSink(self.storage, work.folder, f"r{len(work.parts)}", models.lineage, 100, 3, types)
        out = []
        for number, window in enumerate(self.windows(table, config, work.done)):
            found = [self.result(caption) for caption in window["caption"].to_pylist()]
            stats = BatchStats(pairs=len(found), tokens=1, precision="float32", device="cpu")
            block = window.drop_columns(["image", "row_hash"])
            for name, values, kind in (
                ("row_id", window["id"].to_pylist(), pa.int64()),
                ("score", [s for s, _ in found], pa.float32()),
                ("error", [e for _, e in found], pa.string()),
                ("error_detail", [None] * len(found), pa.string()),
                ("__texts", [1] * len(found), pa.int32()),
            ):
                block = block.append_column(name, pa.array(values, kind))
            written = sink.write([stats.attach(block)], TaskContext(task_idx=number, op_name="write"))
            assert written
            out.append(written)
        return out
