"""Ray Data's write stage: each task writes one Parquet file into the job's hidden folder, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
from fsspec import AbstractFileSystem
from ray.data.block import Block, BlockAccessor
from ray.data.datasource.datasink import Datasink, WriteResult

from pipeline.common.columns import without_hidden
from pipeline.monitoring.stage_timing import Stopwatch, Watch
from pipeline.results.delta_types import as_delta
from pipeline.results.file_footer import FOOTER, Written
from pipeline.results.work_folder import write_parquet

if TYPE_CHECKING:
    from ray.data._internal.execution.interfaces import TaskContext  # what Ray hands to a Datasink

KEPT_BYTES = 2**28  # of a file that carries images


class ParquetSink(Datasink[Written | None]):
    """Writes `part-RUN-TASK.parquet`; a task that is retried writes the same file again.

    lineage: key -> value for the footers. budget: tokens of a full micro-batch. rows: of a file; None where images are
    kept, whose bytes decide. types: of the columns of a Delta table, where it is one. watch: is told of each file.
    `parts`: what was written, when all is.
    """

    def __init__(
        self,
        filesystem: AbstractFileSystem,
        folder: str,
        run_id: str,
        lineage: dict[str, str],
        budget: int,
        rows: int | None,
        types: Mapping[str, pa.DataType] | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.filesystem, self.folder, self.run_id, self.lineage = filesystem, folder, run_id, lineage
        self.budget, self.rows, self.types, self.watch = budget, rows, types, watch
        self.parts: list[Written] = []

    @property
    def min_rows_per_write(self) -> int | None:
        """Rows that a task waits for."""
        return self.rows

    @property
    def min_bytes_per_write(self) -> int | None:
        """Bytes that a task waits for."""
        return None if self.rows else KEPT_BYTES

    def write(self, blocks: Iterable[Block], ctx: TaskContext) -> Written | None:
        """One task: its blocks -> one file, and what is in it."""
        tables = [table for block in blocks if (table := BlockAccessor.for_block(block).to_arrow()).num_rows]
        if not tables:
            return None
        name = f"part-{self.run_id}-{ctx.task_idx:06d}.parquet"
        written = Written.of(name, tables, self.budget)
        precision = {"vilt.precision": ", ".join(sorted(written.devices))}
        metadata = {**self.lineage, **precision, FOOTER: written.to_json()}
        shown = [without_hidden(table) for table in tables]
        if self.types is not None:
            shown = [as_delta(table, self.types) for table in shown]
        clock = Stopwatch()
        size = write_parquet(self.filesystem, f"{self.folder}/{name}", shown, metadata)
        if self.watch:
            self.watch.wrote(written.rows, size, clock.lap())
        return written

    def on_write_complete(self, write_result: WriteResult[Written | None]) -> None:
        """Keep what the tasks wrote."""
        self.parts = [written for written in write_result.write_returns if written is not None]
