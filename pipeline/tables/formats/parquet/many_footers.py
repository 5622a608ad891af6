"""The footers of very many Parquet files: read in Ray tasks, or in threads where no Ray is, and kept as columns.

A footer costs a store's latency and some CPU time of the process that reads it. One process has its own cores alone;
tasks have those of the cluster, each with `IN_FLIGHT` requests at a time.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.fs

from pipeline.cluster.tasks import in_tasks
from pipeline.tables.file_columns import ListedFiles, OpenedFiles, listing_hash
from pipeline.tables.formats.parquet.footers import Footer, RowGroup, read_footer, with_texts
from pipeline.tables.input_file import InputFile
from pipeline.tables.manifest import Manifest
from pipeline.tables.opened_table import OpenedFile, Split

HEADS = "vilt.heads"  # key of a manifest's metadata
FILES_PER_TASK = 2_000
IN_FLIGHT = 64  # requests of a task at a time
Chunk = tuple[list[str], list[int]]  # paths of files, and their sizes


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

    def footer(self, texts: Collection[str] = ()) -> Footer:
        """Return a footer without row groups. texts: columns that hold texts, and may be stored as binary."""
        return Footer(with_texts(self.schema, texts), [], self.int96, self.unreadable, self.metadata)


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

    def footers(self) -> list[Footer]:
        """Return the footer of each file; files of one head share its schema."""
        heads, offsets = [head.footer() for head in self.heads], np.append(0, np.cumsum(self.counts)).tolist()
        rows, sizes = self.rows.tolist(), self.sizes.tolist()
        return [
            heads[head]._replace(
                groups=[RowGroup(n, rows[at], sizes[at]) for n, at in enumerate(range(*offsets[file : file + 2]))]
            )
            for file, head in enumerate(self.head.tolist())
        ]

    def opened(self, files: ListedFiles) -> OpenedFiles:
        """Return the files with a split for each row group."""
        offsets = np.append(0, np.cumsum(self.counts, dtype=np.int64))
        numbers = np.arange(len(self.rows)) - np.repeat(offsets[:-1], self.counts)
        before = np.append(0, np.cumsum(self.rows))  # rows of all row groups before
        first = before[:-1] - np.repeat(before[offsets[:-1]], self.counts)
        columns = {"first_row": first, "rows": self.rows, "all_rows": self.rows, "size": self.sizes}
        return OpenedFiles(files, offsets, {**columns, "row_group": numbers})


def read_footer_columns(files: ListedFiles, filesystem: pa.fs.FileSystem) -> FooterColumns:
    """Read the footers of very many files, on the running Ray if there is one.

    Args:
        files: The files.
        filesystem: Where they are.

    Raises:
        ConfigError: A file is no Parquet, is cut off, or has two columns of one name; the message names it.
    """
    chunks = (_paths_and_sizes(files[begin : begin + FILES_PER_TASK]) for begin in range(0, len(files), FILES_PER_TASK))
    return FooterColumns.joined(list(in_tasks(partial(_read_chunk, filesystem), chunks)))


def kept_footers(files: ListedFiles, filesystem: pa.fs.FileSystem, manifest: Manifest | None) -> FooterColumns:
    """Return the footers of very many files: of the manifest, or read now and kept in it.

    Args:
        files: The files.
        filesystem: Where they are.
        manifest: What keeps them; None: nothing does.

    Raises:
        ConfigError: See `read_footer_columns`.
    """
    if manifest is None:
        return read_footer_columns(files, filesystem)
    key = listing_hash(files)
    footers = manifest.read(key, FooterColumns.from_table)
    if footers is None or len(footers.head) != len(files):
        with manifest.session():
            footers = read_footer_columns(files, filesystem)
        manifest.write(key, footers.to_table())
    return footers


def count_passing_in_tasks(opened: OpenedFiles, count: Callable[[InputFile, list[Split]], list[Split]]) -> OpenedFiles:
    """Return files with the numbers of rows that a filter lets through, counted on the running Ray if there is one.

    Args:
        opened: The files with all their rows.
        count: A file and its splits -> the splits with these numbers.
    """
    chunks = (opened[begin : begin + FILES_PER_TASK] for begin in range(0, len(opened), FILES_PER_TASK))
    rows = np.concatenate(list(in_tasks(partial(_count_chunk, count), chunks)))
    return OpenedFiles(opened.files, opened.offsets, {**opened.splits, "rows": rows})


def _count_chunk(count: Callable[[InputFile, list[Split]], list[Split]], files: list[OpenedFile]) -> np.ndarray:
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        counted = list(pool.map(lambda one: count(one.file, one.splits), files))
    return np.array([split.rows for splits in counted for split in splits], np.int64)


def _paths_and_sizes(files: ListedFiles) -> Chunk:
    return list(files.paths()), files.sizes.tolist()


def _read_chunk(filesystem: pa.fs.FileSystem, chunk: Chunk) -> FooterColumns:
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        footers = list(pool.map(lambda path, size: read_footer(path, filesystem, (), size), *chunk))
    return FooterColumns.of(chunk[0], footers)
