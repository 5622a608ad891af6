"""Rows of a table of results whose images have changed behind their URIs since they were read (`input.verify`)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fsspec import AbstractFileSystem

from pipeline.cluster.session import ray_session
from pipeline.cluster.tasks import in_tasks
from pipeline.common.columns import IMAGE_VERSION, ROW_SOURCE
from pipeline.common.errors import ConfigError
from pipeline.config.job import JobConfig
from pipeline.images.versions import VersionFetcher, row_version
from pipeline.monitoring.events import emit
from pipeline.reindexing.input_snapshot import InputSnapshot
from pipeline.reindexing.plan import TableState
from pipeline.reindexing.retries import InputRow
from pipeline.reindexing.stored_rows import read_stored
from pipeline.reindexing.table_folder import TableFolder
from pipeline.results.row_source import FileVersion, is_from
from pipeline.stages.image_cells import image_cells
from vilt.common.counts import counted

ROWS_TOGETHER = 2**14  # rows of a data file that are compared at once


@dataclass(frozen=True)
class Verified:
    """What asking for the versions of images has found.

    Attributes:
        changed: Rows with another version of an image than the one that they were read with.
        images: How many images were asked for.
        unknown: How many of these did not tell their version.
    """

    changed: tuple[InputRow, ...] = ()
    images: int = 0
    unknown: int = 0

    @classmethod
    def total(cls, parts: Sequence[Verified]) -> Verified:
        """Return what all parts have found."""
        changed = dict.fromkeys(row for part in parts for row in part.changed)
        return cls(tuple(changed), sum(part.images for part in parts), sum(part.unknown for part in parts))


@dataclass(frozen=True)
class Asker:
    """Asks for the versions of the images of a data file's rows; sent to the tasks that do so.

    Attributes:
        filesystem: Where the table of results is.
        root: Its folder.
        columns: The columns to read: `row_source`, `image_version` and those of images.
        unchanged: The versions of the input's files that are as they were.
        config: The job.
        base: The folder to which relative image URIs are relative.
        seed: Which rows are asked about, if not all.
    """

    filesystem: AbstractFileSystem
    root: str
    columns: pa.Schema
    unchanged: frozenset[FileVersion]
    config: JobConfig
    base: str
    seed: int

    def __call__(self, path: str) -> Verified:
        """Compare the rows of a data file at a path below the folder."""
        rows = self._rows(read_stored(self.filesystem, f"{self.root}/{path}", self.columns))
        parts = (rows.slice(begin, ROWS_TOGETHER) for begin in range(0, rows.num_rows, ROWS_TOGETHER))
        return Verified.total([self._compared(part) for part in parts])

    def _compared(self, rows: pa.Table) -> Verified:
        cells = image_cells(rows, self.config)
        uris = list(dict.fromkeys(cell for row in cells for cell in row if isinstance(cell, str)))
        now = VersionFetcher(self.base, self.config).versions_of(uris)
        unknown = {uri for uri, version in now.items() if version is None}
        changed = dict[InputRow, None]()  # a row with several texts is several rows of results
        stored = zip(cells, rows[ROW_SOURCE].to_pylist(), rows[IMAGE_VERSION].to_pylist(), strict=True)
        for row, source, before in stored:
            known = not unknown.intersection(cell for cell in row if isinstance(cell, str))
            if known and row_version(row, now) != before:
                changed[InputRow(FileVersion(source["file"], source["edition"]), source["row"])] = None
        return Verified(tuple(changed), len(uris), len(unknown))

    def _rows(self, table: pa.Table) -> pa.Table:
        """Return the rows to ask about: of files that are unchanged, with a known version, in the sample."""
        table = table.filter(pc.and_(is_from(table, self.unchanged), pc.is_valid(table[IMAGE_VERSION])))
        share = self.config.input.verify_share
        if share == 1:
            return table
        return table.filter(pa.array(np.random.default_rng([self.seed, table.num_rows]).random(table.num_rows) < share))


def check_verified(config: JobConfig, columns: pa.Schema) -> None:
    """Check that the table of results says which images its rows were read with.

    Args:
        config: The job.
        columns: The columns that results carry.

    Raises:
        ConfigError: It does not.
    """
    if config.input.verify is None:
        return
    missing = next((name for name in config.image_columns if name not in columns.names), None)
    if config.region_columns or missing is not None:
        name = missing or config.region_columns[0]
        raise ConfigError(
            f"input.verify: {config.input.verify}, but results carry no URIs of images: those in column {name!r} lie "
            "in the table itself, whose files are compared in any case (leave the key out), or the column is not in "
            "input.columns (list it there)"
        )


def verify_images(
    folder: TableFolder, state: TableState, unchanged: InputSnapshot, config: JobConfig, base: str
) -> Verified:
    """Ask for the versions of the images of rows that would stay as they are, and emit `images_verified`.

    Args:
        folder: The folder of the table.
        state: The table.
        unchanged: The input's files that are as they were.
        config: The job.
        base: The folder to which relative image URIs are relative.
    """
    if config.input.verify is None or state.replaced or IMAGE_VERSION not in state.columns.names:
        return Verified()
    columns = pa.schema([state.columns.field(name) for name in (ROW_SOURCE, IMAGE_VERSION, *config.image_columns)])
    ask = Asker(folder.filesystem, folder.root, columns, unchanged.versions, config, base, time.time_ns())
    paths = [file.path for file in state.data_files]
    address = config.ray.address or os.environ.get("RAY_ADDRESS")
    with ray_session(address) if address else nullcontext():  # a Ray of this machine alone would ask no faster
        verified = Verified.total(list(in_tasks(ask, paths)))
    changed = len(verified.changed)
    text = f"{counted(verified.images, 'image')} asked for: changed for {counted(changed, 'row')}"
    if verified.unknown:
        text = f"{text}; {verified.unknown:,} did not tell their version, and are asked again by the next run"
    fields = {"images": verified.images, "rows_changed": changed, "unknown": verified.unknown}
    emit("images_verified", text, logging.WARNING if verified.unknown else logging.INFO, **fields)
    return verified
