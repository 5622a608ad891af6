"""Ray Data's write stage: each task writes one Parquet file into the job's work folder, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
from fsspec import AbstractFileSystem
from ray.data.block import Block, BlockAccessor
from ray.data.datasource.datasink import Datasink, WriteResult

from pipeline.common.columns import without_hidden
from pipeline.monitoring.stage_timing import Stopwatch, Watch
from pipeline.results.delta.values import as_delta
from pipeline.results.file_footer import FOOTER, ResultFile
from pipeline.results.input_order import in_key_order
from pipeline.results.work_folder import write_parquet

if TYPE_CHECKING:
    from pipeline.common.ray_compat import TaskContext

BYTES_PER_FILE_WITH_IMAGES = 2**28


class ParquetSink(Datasink[ResultFile | None]):
    """Writes `part-RUN-TASK.parquet`; a task that is retried writes the same file again.

    Attributes:
        parts: What was written, once all is.
    """

    def __init__(
        self,
        filesystem: AbstractFileSystem,
        folder: str,
        run_id: str,
        lineage: dict[str, str],
        full_batch_tokens: int,
        rows_per_file: int | None,
        types: Mapping[str, pa.DataType] | None = None,
        watch: Watch | None = None,
        keep_row_keys: bool = False,
    ) -> None:
        """Describe the files.

        Args:
            filesystem: The storage.
            folder: The folder on it.
            run_id: The id of the run, part of every file's name.
            lineage: Keys and values for the footers, those of the input's files included.
            full_batch_tokens: Tokens of a full micro-batch.
            rows_per_file: Rows of a file; None if images are kept, when bytes decide.
            types: Column types of a Delta table.
            watch: Where files are reported; None reports nothing.
            keep_row_keys: Whether files are written in the order of the input's rows, with the column `__row_key`, for
                `pipeline.results.input_order`.
        """
        self.filesystem, self.folder, self.run_id, self.lineage = filesystem, folder, run_id, lineage
        self.full_batch_tokens, self.rows_per_file = full_batch_tokens, rows_per_file
        self.types, self.watch, self.keep_row_keys = types, watch, keep_row_keys
        self.parts: list[ResultFile] = []

    @property
    def min_rows_per_write(self) -> int | None:
        """Return the rows that a write task waits for."""
        return self.rows_per_file

    @property
    def min_bytes_per_write(self) -> int | None:
        """Return the bytes that a write task waits for; Ray 2.53 asks nobody, and writes a file for each block."""
        return None if self.rows_per_file else BYTES_PER_FILE_WITH_IMAGES

    def write(self, blocks: Iterable[Block], ctx: TaskContext) -> ResultFile | None:
        """Write the blocks of one task as one file; return what is in it."""
        tables = [table for block in blocks if (table := BlockAccessor.for_block(block).to_arrow()).num_rows]
        if not tables:
            return None
        name = f"part-{self.run_id}-{ctx.task_idx:06d}.parquet"
        written = ResultFile.of(name, tables, self.full_batch_tokens)
        precision = {"vilt.precision": ", ".join(sorted(written.devices))}
        metadata = {**self.lineage, **precision, FOOTER: written.to_json()}
        visible = in_key_order(tables) if self.keep_row_keys else [without_hidden(table) for table in tables]
        if self.types is not None:
            visible = [as_delta(table, self.types) for table in visible]
        clock = Stopwatch()
        size = write_parquet(self.filesystem, f"{self.folder}/{name}", visible, metadata)
        if self.watch:
            self.watch.wrote(written.rows, size, clock.lap())
        return written

    def on_write_complete(self, write_result: WriteResult[ResultFile | None]) -> None:
        """Keep what the tasks wrote."""
        self.parts = [written for written in write_result.write_returns if written is not None]
