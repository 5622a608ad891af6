"""A folder of input that is edited, and the table of results that `reindex` keeps of it, without Ray or a model."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from ray.data._internal.execution.interfaces import TaskContext

from pipeline import JobConfig
from pipeline.cluster.actor_pool import Pool
from pipeline.common.columns import ROW_ID
from pipeline.common.row_ranges import RowSet
from pipeline.reindexing.reindex import reindex
from pipeline.results.delta.commit import Commit
from pipeline.results.delta.table import ResultTable
from pipeline.results.file_footer import ResultFile
from pipeline.results.parquet_sink import ParquetSink
from pipeline.results.staging import Staging
from pipeline.scoring.prepare import PreparedJob
from pipeline.stages.batch_stats import BatchStats
from pipeline.stages.checkpoints import Models
from pipeline.stages.output_rows import carried_names
from pipeline.tables.datasource import windows_of
from pipeline.tables.reading import read_plan
from pipeline.tables.row_id_column import with_row_id
from pipeline.tables.table import InputTable
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
        self.first_ids: dict[str, int] = {}
        self.runs = 0
        self.config = JobConfig.parse(
            "score",
            {
                "input": {"path": str(folder / "in"), "text": "caption", "id": "id"},
                "model": "none",
                "output": {"path": str(folder / "out"), "report": False, "format": "delta"},
                "batch": {"window_rows": 3},
                "max_error_rate": 1,
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

    def put_table(self, name: str, **columns: pa.Array) -> None:
        """Write a file of the input with more columns; its captions are all alike."""
        rows = max(len(column) for column in columns.values())
        self.first_ids.setdefault(name, 100 * len(self.first_ids))
        ids = np.arange(rows) + self.first_ids[name]
        self.files[name] = [(int(i), "a") for i in ids]
        table = pa.table({"id": ids, "image": [b"i"] * rows, "caption": ["a"] * rows, **columns})
        path = self.folder / "in" / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table, path)

    def table(self) -> pa.Table:
        """What another program finds in the table of results, in the order of the ids."""
        return DeltaTable(self.folder / "out").to_pyarrow_table().sort_by("id")

    def run(self, kill_at: int = 0, **keys: Any) -> dict[str, int] | None:
        """One run; what it did, None where it found nothing to do, or was killed."""
        self.storage = Storage(kill_at)
        try:
            commit, new, self.retried, _ = reindex(self.config, **keys)
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

    def set_input(self, **keys: Any) -> None:
        """Change the config's section `input`."""
        spec = {**self.config.input.model_dump(), **keys}
        self.config = JobConfig.checked(self.config.model_dump() | {"input": spec})

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

    def read(self, table: InputTable, config: JobConfig, done: RowSet, then: Callable[..., Any]) -> World:
        self.batches = list(then(self.windows(table, config, done)))
        return self

    def iter_batches(self, **_: Any) -> Iterator[pa.Table]:
        return iter(self.batches)

    def windows(self, table: InputTable, config: JobConfig, done: RowSet) -> Iterator[pa.Table]:
        plan = replace(read_plan(table, config.batch.window_rows), row_source=True)
        yield from windows_of((t for one in table.unread(done) for t in one.read(plan)), 3)

    def score_rows(
        self, job: PreparedJob, work: Staging, before: ResultFile, log_every: float, types: Any
    ) -> list[ResultFile]:
        del before, log_every
        self.runs += 1
        config, table, models = job.config, job.table, job.models
        sink = ParquetSink(self.storage, work.folder, f"r{self.runs:04d}", models.lineage, 100, 3, types)
        out = []
        for number, window in enumerate(self.windows(table, config, work.done)):
            found = [self.result(caption) for caption in window["caption"].to_pylist()]
            stats = BatchStats(pairs=len(found), tokens=1, precision="float32", device="cpu")
            kept = carried_names(window.schema, config)
            block = window.select([name for name in kept if name != "row_hash"])
            ids = with_row_id(window, config.input.id)[ROW_ID]
            for name, values, kind in (
                ("row_id", ids.combine_chunks(), ids.type),
                ("score", [s for s, _ in found], pa.float32()),
                ("error", [e for _, e in found], pa.string()),
                ("error_detail", [None] * len(found), pa.string()),
                ("__texts", [1] * len(found), pa.int32()),
            ):
                block = block.append_column(name, values if name == ROW_ID else pa.array(values, kind))
            written = sink.write([stats.attach(block)], TaskContext(task_idx=number, op_name="write"))
            assert written
            out.append(written)
        return out


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Callable[[], World]:
    """A new world, and no other one."""
    now: list[World] = []
    commit = ResultTable.commit

    def committed(self: ResultTable, *args: Any) -> int:
        now[-1].storage.step()
        version = commit(self, *args)
        now[-1].storage.step()
        return version

    def lineage(config: JobConfig, _: object) -> Models:
        names = {"vilt.weights_sha256": now[-1].model, "vilt.config_sha256": config.sha256, "vilt.task": "score"}
        return Models({**names, "vilt.model": "none", "vilt.versions": "{}"}, 1)

    monkeypatch.setattr(ResultTable, "commit", committed)
    monkeypatch.setattr("pipeline.reindexing.table_folder.open_fsspec", lambda uri, *_: (now[-1].storage, uri))
    monkeypatch.setattr("pipeline.reindexing.reindex.check_models", lineage)
    monkeypatch.setattr("pipeline.reindexing.reindex.open_checkpoints", lambda _: {})
    monkeypatch.setattr("pipeline.reindexing.reindex.fit_inputs", lambda config, _: config)
    monkeypatch.setattr("pipeline.scoring.run.ray_session", lambda *_: tempfile.TemporaryDirectory())
    monkeypatch.setattr("pipeline.reindexing.stored_rows.read", lambda *args: now[-1].read(*args[:4]))
    monkeypatch.setattr("pipeline.reindexing.stored_rows.plan_pool", lambda _: Pool(1, 1, 0, 100, 3))
    monkeypatch.setattr("pipeline.scoring.dataflow.score_rows", lambda *args: now[-1].score_rows(*args))

    def make() -> World:
        now.append(World(Path(tempfile.mkdtemp(prefix="reindex-"))))
        return now[-1]

    return make
