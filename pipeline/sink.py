"""Write: Parquet files that appear whole, with lineage in their footers, published when all are written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from ray.data._internal.execution.interfaces import TaskContext
from ray.data.block import Block, BlockAccessor
from ray.data.datasource.datasink import Datasink, WriteResult

from pipeline.config import ConfigError, JobConfig
from pipeline.schema import ERROR, STATS, TEXT_INDEX
from pipeline.storage import STORAGE_ERRORS, arrow_filesystem, open_fsspec

STAGING = "_staging-"


class RowsLostError(RuntimeError):
    """Rows in and rows out differ: an output that must not be trusted."""


@dataclass
class Written:
    """What one write task wrote: counts that add up to the summary."""

    files: list[str] = field(default_factory=list)
    input_rows: int = 0
    pairs: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    micro_batches: int = 0
    tokens: int = 0
    model_seconds: float = 0.0
    places: Counter[str] = field(default_factory=Counter)  # "bfloat16 on cpu" -> micro-batches

    def add(self, other: Written) -> None:
        """Add another task's counts."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def count(self, block: pa.Table) -> None:
        """Count the rows of one block of the output, which still has its stats."""
        self.pairs += block.num_rows
        self.input_rows += block.num_rows
        if TEXT_INDEX in block.column_names:  # the second and later texts of a row do not start a new row
            self.input_rows -= sum(index > 0 for index in block[TEXT_INDEX].drop_null().to_pylist())
        self.errors.update(block[ERROR].drop_null().to_pylist())
        for stats in block[STATS].drop_null().to_pylist():
            self.micro_batches += bool(stats["pairs"])
            self.tokens += stats["tokens"]
            self.model_seconds += stats["seconds"]
            self.places[f"{stats['precision']} on {stats['device']}"] += 1


class ParquetSink(Datasink[Written]):
    """Ray Data's write stage.

    Each task writes one file into a staging folder that readers skip; a task that is retried writes the same file
    again. When all are written `publish` moves them to their place, and with `overwrite` the files of earlier runs go.
    """

    def __init__(self, config: JobConfig, run_id: str, lineage: dict[str, str]) -> None:
        self.config, self.run_id, self.lineage = config, run_id, lineage
        self.total = Written()
        self.filesystem, self.path = open_fsspec(config.output.path, "output.path")
        self.staging = f"{self.path}/{STAGING}{run_id}"

    def open(self) -> None:
        """Make the staging folder. Raises ConfigError where nothing can be written there, or where the folder holds
        the results of an earlier run and `overwrite` is not set."""
        given = self.config.output.path
        try:
            present = old_files(self.filesystem, self.path)
            if not present or self.config.output.overwrite:
                self.filesystem.makedirs(self.staging, exist_ok=True)
                self.filesystem.pipe_file(f"{self.staging}/_started", self.run_id.encode())
                return
        except STORAGE_ERRORS as error:
            raise ConfigError(f"output.path: cannot write to {given!r}: {error}") from None
        raise ConfigError(
            f"output.path: {given!r} already holds {len(present)} .parquet files; "
            "choose another folder, or set output.overwrite=true to replace them"
        )

    def close(self) -> None:
        """Remove the staging folder, whatever became of the run."""
        if self.filesystem.exists(self.staging):
            self.filesystem.rm(self.staging, recursive=True)

    @property
    def min_rows_per_write(self) -> int | None:
        """Rows of a file; unless images are kept, whose bytes decide."""
        return None if self.config.output.keep_image else self.config.output.rows_per_file

    @property
    def min_bytes_per_write(self) -> int | None:
        """Bytes of a file that carries images."""
        return 2**28 if self.config.output.keep_image else None

    def write(self, blocks: Iterable[Block], ctx: TaskContext) -> Written:
        """One task: its blocks -> one file."""
        written = Written()
        name = f"part-{self.run_id}-{ctx.task_idx:06d}.parquet"
        writer: pq.ParquetWriter | None = None
        for block in blocks:
            table = BlockAccessor.for_block(block).to_arrow()
            if not table.num_rows:
                continue
            written.count(table)
            table = table.drop_columns([STATS])
            if writer is None:
                where = f"{self.staging}/{name}"
                writer = pq.ParquetWriter(
                    where, table.schema, filesystem=arrow_filesystem(self.filesystem), compression="zstd"
                )
            writer.write_table(table)
        if writer is not None:
            precision = ", ".join(sorted(written.places))
            writer.add_key_value_metadata({**self.lineage, "vilt.precision": precision})
            writer.close()
            written.files.append(name)
        return written

    def on_write_complete(self, write_result: WriteResult[Written]) -> None:
        """Add up what the tasks wrote."""
        for written in write_result.write_returns:
            self.total.add(written)

    def publish(self, rows: int) -> None:
        """Move every file that a finished task wrote, and no other, to its place, if they hold all `rows` input rows.

        Raises RowsLostError where they do not; the files of earlier runs are then still there.
        """
        if self.total.input_rows != rows:
            raise RowsLostError(f"{rows} rows in, {self.total.input_rows} rows out: nothing written to {self.path}")
        old = old_files(self.filesystem, self.path)
        for name in self.total.files:
            self.filesystem.mv(f"{self.staging}/{name}", f"{self.path}/{name}")
        for file in old:
            self.filesystem.rm_file(file)

    def write_summary(self, summary: dict[str, object]) -> None:
        """`_summary.json` beside the files."""
        self.filesystem.pipe_file(f"{self.path}/_summary.json", json.dumps(summary, indent=2).encode() + b"\n")


def old_files(filesystem: AbstractFileSystem, path: str) -> list[str]:
    """The Parquet files directly in a folder; none where it does not exist."""
    if not filesystem.exists(path):
        return []
    return sorted(file for file in filesystem.ls(path, detail=False) if file.endswith(".parquet"))
