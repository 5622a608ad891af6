"""A Parquet file whose page headers are read before pyarrow decodes the pages, from the bytes that it reads anyway."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from pipeline.common.errors import ConfigError
from pipeline.storage.parquet.page_headers import ChunkPages, PageHeader, read_header
from vilt.common.counts import counted

Out = TypeVar("Out")
HEADER_BYTES, MOST_HEADER_BYTES = 2**10, 2**24  # that are read for a header, at first and at most, as pyarrow does
JOINED_BYTES = 2**25  # of neighbouring columns that are fetched together
FETCHES = 8  # at a time
UNTOLD = 4  # times what the footer says that the pages of a column may have, and so many bytes more:
UNTOLD_BYTES = 2**26
MOST_REPEATED = 2**31  # bytes of rows that may all have one long value, where pages are checked as they are read


@dataclass
class _Chunk:
    """A column in one row group: where it lies, the next page header to read, and the pages before it."""

    begin: int
    end: int
    next: int
    all_values: int
    told: int
    pages: ChunkPages


class GuardedFile:
    """A file for pyarrow to read, which raises ConfigError as soon as a page is read that lies about its size.

    Args:
        source: The file.
        path: Its path, for messages.
        key: What names the file, for messages: a key of the config, or OUT.
    """

    closed = False

    def __init__(self, source: pa.NativeFile, path: str, key: str = "input.path") -> None:
        self.source, self.path, self.key = source, path, key
        self._length: int = source.size()
        self._at = 0
        self._chunks: list[_Chunk] = []
        self._fetched: list[tuple[int, pa.Buffer]] = []
        self._whole = True
        self.rows = 1  # that are read at a time

    def watch(self, metadata: pq.FileMetaData, group: int, names: Collection[str], whole: bool) -> list[ChunkPages]:
        """Check the pages of a row group from now on.

        Args:
            metadata: The footer.
            group: Number of the row group.
            names: The columns that will be read.
            whole: Fetch the columns now, several at a time, and check all their pages; otherwise as they are read.

        Returns:
            The pages of each column: all of them if `whole`, otherwise the first, which may be a dictionary.

        Raises:
            ConfigError: The file is cut off, or a page is not to be decoded.
        """
        columns = list(chunks_of(metadata.row_group(group), names))
        self._chunks = sorted(map(self._chunk, columns), key=lambda chunk: chunk.begin)
        self._fetched, self._whole = [], whole
        if whole:
            ranges = _joined(self._chunks)
            self._fetched = list(zip((begin for begin, _ in ranges), _in_threads(self._fetch, ranges), strict=True))
            for chunk in self._chunks:
                self._check(chunk, chunk.end, *self._holding(chunk.begin))
        else:
            self.rows = 1
            _in_threads(lambda chunk: self._check(chunk, chunk.begin + 1, 0, None), self._chunks)
        return [chunk.pages for chunk in self._chunks]

    def read_buffer(self, count: int = -1) -> pa.Buffer:
        """Return the next bytes, and check the pages that they hold."""
        begin = self._at
        count = self._length - begin if count < 0 else min(count, self._length - begin)
        start, buffer = self._holding(begin)
        if buffer is None or begin + count > start + buffer.size:
            buffer = self._fetch((begin, begin + count))
            for chunk in self._chunks:
                if chunk.begin < begin + count and chunk.next < begin + count:
                    self._check(chunk, min(chunk.end, begin + count), begin, buffer)
        else:
            buffer = buffer.slice(begin - start, count)
        self._at += buffer.size
        return buffer

    def read(self, count: int = -1) -> bytes:
        """Return the next bytes."""
        data: bytes = self.read_buffer(count).to_pybytes()
        return data

    def seek(self, position: int, whence: int = 0) -> int:
        """Move to a position."""
        self._at = position + (0, self._at, self._length)[whence]
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def size(self) -> int:
        """Return the bytes of the file."""
        return self._length

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that it can be read from anywhere."""
        return True

    def writable(self) -> bool:
        """Return that it cannot be written."""
        return False

    def close(self) -> None:
        """Forget what was fetched; who has opened the source closes it."""
        self._chunks, self._fetched = [], []

    def _fetch(self, section: tuple[int, int]) -> pa.Buffer:
        begin, end = section
        return pa.py_buffer(self.source.read_at(end - begin, begin))  # a stream of a section takes four times as long

    def _holding(self, position: int) -> tuple[int, pa.Buffer | None]:
        """Return what was fetched of the file around a position, and where it begins."""
        number = bisect_right(self._fetched, position, key=lambda one: one[0]) - 1
        return self._fetched[number] if number >= 0 else (0, None)

    def _chunk(self, column: pq.ColumnChunkMetaData) -> _Chunk:
        begin, size = column.data_page_offset, column.total_compressed_size
        if column.has_dictionary_page and 0 < column.dictionary_page_offset < begin:
            begin = column.dictionary_page_offset
        if begin < 0 or size < 0 or begin + size > self._length:
            raise ConfigError(
                f"{self.key}: {self.path!r} is cut off, or its footer is wrong: it has {self._length:,} bytes"
            )
        told = max(column.total_uncompressed_size, size)
        pages = ChunkPages(column.path_in_schema, column.physical_type != "BYTE_ARRAY")
        return _Chunk(begin, begin + size, begin, column.num_values, told, pages)

    def _check(self, chunk: _Chunk, upto: int, start: int, data: pa.Buffer | None) -> None:
        """Read the headers of a column up to a position in the file, from bytes that begin at `start`."""
        pages, view = chunk.pages, memoryview(b"") if data is None else _bytes_of(data)
        while chunk.next < upto and pages.values < chunk.all_values:
            at = chunk.next - start
            held = view[at : at + HEADER_BYTES] if at >= 0 else view[:0]
            try:
                page = self._header(held, chunk)
            except ValueError as error:
                raise ConfigError(
                    f"{self.key}: {self.path!r} is damaged: column {pages.column!r} has {error}; it is not read"
                ) from None
            why = pages.add(page)
            if why is None and not self._whole and pages.size > UNTOLD * chunk.told + UNTOLD_BYTES:
                why = f"{chunk.told:,} bytes as the footer says, but pages that say they unpack to {pages.size:,}"
            if why is None and pages.repeated * self.rows > MOST_REPEATED:
                why = f"a page of {pages.repeated:,} bytes that each of {counted(self.rows, 'row')} may repeat"
            if why is not None:
                raise ConfigError(
                    f"{self.key}: {self.path!r} lies about its size, or is damaged: column {pages.column!r} has {why}; "
                    "it is not read"
                )
            chunk.next += page.length + page.stored

    def _header(self, held: memoryview, chunk: _Chunk) -> PageHeader:
        """Read the next header of a column, from the bytes at hand if they hold it."""
        count = HEADER_BYTES
        while True:
            try:
                return read_header(held)
            except IndexError:
                if len(held) >= min(MOST_HEADER_BYTES, chunk.end - chunk.next):
                    raise ValueError("a page header without end") from None
            end = min(chunk.next + count, chunk.end)
            held, count = _bytes_of(self._fetch((chunk.next, end))), count * 16


@contextmanager
def open_guarded(
    path: str, filesystem: pa.fs.FileSystem, key: str = "input.path", **options: Any
) -> Iterator[tuple[pq.ParquetFile, GuardedFile]]:
    """Open a Parquet file; call `watch` of the second before a row group is read.

    Args:
        path: The file.
        filesystem: Where it is.
        key: What names the file, for messages.
        options: Of `pyarrow.parquet.ParquetFile`.
    """
    with filesystem.open_input_file(path) as source, guarded_source(source, path, key, **options) as both:
        yield both


@contextmanager
def guarded_source(
    source: pa.NativeFile, path: str, key: str, **options: Any
) -> Iterator[tuple[pq.ParquetFile, GuardedFile]]:
    """Open a Parquet file that is open for reading; see `open_guarded`."""
    guard = GuardedFile(source, path, key)
    with pq.ParquetFile(guard, pre_buffer=False, **options) as opened:
        yield opened, guard


def chunks_of(group: pq.RowGroupMetaData, names: Collection[str]) -> Iterator[pq.ColumnChunkMetaData]:
    """Yield what the footer says of some columns of a row group, their fields included."""
    for column in map(group.column, range(group.num_columns)):
        parts = column.path_in_schema.split(".")
        if any(".".join(parts[:i]) in names for i in range(1, len(parts) + 1)):
            yield column


def _in_threads(function: Callable[[Any], Out], items: Sequence[Any]) -> list[Out]:
    if len(items) < 2:
        return list(map(function, items))
    with ThreadPoolExecutor(FETCHES) as pool:
        return list(pool.map(function, items))


def _bytes_of(buffer: pa.Buffer) -> memoryview:
    return memoryview(buffer).cast("B")  # which are signed otherwise


def _joined(chunks: Sequence[_Chunk]) -> list[tuple[int, int]]:
    """Return sections of the file that hold some columns each; columns are in the order in which they lie there."""
    sections: list[tuple[int, int]] = []
    for chunk in chunks:
        if sections and chunk.begin <= sections[-1][1] and chunk.end - sections[-1][0] <= JOINED_BYTES:
            sections[-1] = sections[-1][0], max(sections[-1][1], chunk.end)
        else:
            sections.append((chunk.begin, chunk.end))
    return sections
