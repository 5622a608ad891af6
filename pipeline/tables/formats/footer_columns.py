"""The footers of very many Parquet files: read in Ray tasks, or in threads where no Ray is, and kept as columns.

A footer costs a store's latency and some CPU time of the process that reads it. One process has its own cores alone;
tasks have those of the cluster, each with `IN_FLIGHT` requests at a time.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.fs
import ray
import ray.exceptions

from pipeline.common.errors import ConfigError, first_line
from pipeline.tables.file_columns import ListedFiles, OpenedFiles
from pipeline.tables.formats.parquet_footers import Footer, read_footer

HEADS = "vilt.heads"  # key of a manifest's metadata
FILES_PER_TASK = 2_000
IN_FLIGHT = 64  # requests of a task at a time
Chunk = tuple[list[str], list[int]]  # paths of files, and their sizes
TASKS_PER_CORE = 2  # that wait or run, so that none of the cluster's cores waits for the driver


@dataclass(frozen=True)
class Head:
    """The part of a footer that many files share: all but the row groups.

    Attributes:
        schema: The columns.
        int96: See `Footer`.
        unreadable: See `Footer`.
        metadata: See `Footer`.
        file: The path of the first file that says so.
    """

    schema: pa.Schema
    int96: tuple[str, ...]
    unreadable: dict[str, str]
    metadata: dict[str, str]
    file: str

    @property
    def key(self) -> bytes:
        """Return the same bytes for heads that say the same; the file does not count."""
        named = {name: reason.replace(repr(self.file), "") for name, reason in self.unreadable.items()}
        said = json.dumps([self.int96, named, self.metadata]).encode()
        return bytes(self.schema.serialize()) + said

    def footer(self) -> Footer:
        """Return a footer without row groups."""
        return Footer(self.schema, [], self.int96, self.unreadable, self.metadata)


@dataclass(frozen=True)
class FooterColumns:
    """The footers of some files.

    Attributes:
        heads: The distinct heads.
        head: int32 (files,), the head of each file.
        counts: int32 (files,), row groups of each file.
        rows: int64 (row groups,).
        sizes: int64 (row groups,), bytes.
    """

    heads: list[Head]
    head: np.ndarray
    counts: np.ndarray
    rows: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, paths: Sequence[str], footers: Sequence[Footer]) -> FooterColumns:
        """Return what footers say as columns."""
        known: dict[bytes, int] = {}
        heads: list[Head] = []
        head = np.empty(len(footers), np.int32)
        for number, (path, footer) in enumerate(zip(paths, footers, strict=True)):
            one = Head(footer.schema, footer.int96, footer.unreadable, footer.metadata, path)
            index = known.setdefault(one.key, len(heads))
            if index == len(heads):
                heads.append(one)
            head[number] = index
        groups = [group for footer in footers for group in footer.groups]
        counts = np.array([len(footer.groups) for footer in footers], np.int32)
        rows, sizes = (np.array([getattr(group, name) for group in groups], np.int64) for name in ("rows", "size"))
        return cls(heads, head, counts, rows, sizes)

    @classmethod
    def joined(cls, parts: Sequence[FooterColumns]) -> FooterColumns:
        """Return the columns of several parts, one after the other."""
        known: dict[bytes, int] = {}
        heads: list[Head] = []
        numbers = []
        for part in parts:
            renumbered = np.empty(len(part.heads), np.int32)
            for old, one in enumerate(part.heads):
                renumbered[old] = known.setdefault(one.key, len(heads))
                if renumbered[old] == len(heads):
                    heads.append(one)
            numbers.append(renumbered[part.head])
        others = (np.concatenate([getattr(part, name) for part in parts]) for name in ("counts", "rows", "sizes"))
        return cls(heads, np.concatenate(numbers), *others)

    def to_table(self) -> pa.Table:
        """Return a row for each file: its head, and the rows and bytes of its row groups; the heads as metadata."""
        offsets = pa.array(np.append(0, np.cumsum(self.counts)), pa.int32())
        lists = {name: pa.ListArray.from_arrays(offsets, pa.array(getattr(self, name))) for name in ("rows", "sizes")}
        heads = [
            {
                "schema": base64.b64encode(head.schema.serialize()).decode(),
                **{name: getattr(head, name) for name in ("int96", "unreadable", "metadata", "file")},
            }
            for head in self.heads
        ]
        return pa.table({"head": pa.array(self.head), **lists}).replace_schema_metadata({HEADS: json.dumps(heads)})

    @classmethod
    def from_table(cls, table: pa.Table) -> FooterColumns:
        """Return what `to_table` made a table of."""
        heads = [
            Head(
                pa.ipc.read_schema(pa.py_buffer(base64.b64decode(said["schema"]))),
                tuple(said["int96"]),
                said["unreadable"],
                said["metadata"],
                said["file"],
            )
            for said in json.loads(table.schema.metadata[HEADS.encode()])
        ]
        rows, sizes = (table[name].combine_chunks() for name in ("rows", "sizes"))
        counts = rows.value_lengths().to_numpy().astype(np.int32)
        return cls(heads, table["head"].to_numpy(), counts, rows.flatten().to_numpy(), sizes.flatten().to_numpy())

    def opened(self, files: ListedFiles) -> OpenedFiles:
        """Return the files with a split for each row group."""
        offsets = np.append(0, np.cumsum(self.counts, dtype=np.int64))
        numbers = np.arange(len(self.rows)) - np.repeat(offsets[:-1], self.counts)
        before = np.append(0, np.cumsum(self.rows))  # rows of all row groups before
        first = before[:-1] - np.repeat(before[offsets[:-1]], self.counts)
        columns = {"first_row": first, "rows": self.rows, "all_rows": self.rows, "size": self.sizes}
        return OpenedFiles(files, offsets, {**columns, "row_group": numbers})


def read_footer_columns(files: ListedFiles, filesystem: pa.fs.FileSystem, texts: Collection[str]) -> FooterColumns:
    """Read the footers of very many files, on the running Ray if there is one.

    Args:
        files: The files.
        filesystem: Where they are.
        texts: Columns that hold texts, and may be stored as binary.

    Raises:
        ConfigError: A file is no Parquet, is cut off, or has two columns of one name; the message names it.
    """
    chunks = (_paths_and_sizes(files[begin : begin + FILES_PER_TASK]) for begin in range(0, len(files), FILES_PER_TASK))
    texts = tuple(texts)
    if not ray.is_initialized():
        return FooterColumns.joined([_read_chunk(chunk, filesystem, texts) for chunk in chunks])
    return FooterColumns.joined(list(_in_tasks(chunks, filesystem, texts)))


def _in_tasks(
    chunks: Iterator[Chunk], filesystem: pa.fs.FileSystem, texts: tuple[str, ...]
) -> Iterator[FooterColumns]:
    """Yield the columns of each chunk, in order, read by at most so many tasks at a time as the cluster has use for."""
    most = TASKS_PER_CORE * max(1, int(ray.cluster_resources().get("CPU", 1)))
    remote: Any = ray.remote(num_cpus=1)(_read_chunk)
    waiting: list[Any] = []
    try:
        for chunk in chunks:
            waiting.append(remote.remote(chunk, filesystem, texts))
            if len(waiting) >= most:
                yield ray.get(waiting.pop(0))
        while waiting:
            yield ray.get(waiting.pop(0))
    except ray.exceptions.RayTaskError as error:
        for task in waiting:
            ray.cancel(task)
        if isinstance(error.cause, ConfigError):
            raise ConfigError(first_line(error.cause)) from None
        raise


def _paths_and_sizes(files: ListedFiles) -> Chunk:
    return list(files.paths()), files.sizes.tolist()


def _read_chunk(chunk: Chunk, filesystem: pa.fs.FileSystem, texts: tuple[str, ...]) -> FooterColumns:
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        footers = list(pool.map(lambda path, size: read_footer(path, filesystem, texts, size), *chunk))
    return FooterColumns.of(chunk[0], footers)
