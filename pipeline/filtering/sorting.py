"""`output.sort`: the kept rows of all files in one order, whatever the size of the table.

DuckDB, which holds the decisions on disk, puts the row ids in order; the rows themselves, with their images, are moved
by Arrow, which keeps their types, as DuckDB's sort would not, and needs no cluster, as Ray Data's would: they are
written to temporary files by their position, each of which is divided again until it fits into memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.common.columns import ROW_KEY
from pipeline.config.filter import KEPT, Sort
from pipeline.config.output import FILE_BYTES
from pipeline.filtering.group_writer import GroupWriter
from pipeline.filtering.selection import Selection
from pipeline.storage.filesystem import arrow_filesystem, make_folder
from pipeline.tables.reading import read_columns
from pipeline.tables.table import TableFiles

READ_ROWS = 512  # of the table at a time
MOST_BYTES = 2**28  # of rows that are put in order in memory
MOST_FILES = 64  # that rows are written to at a time
WAITING_BYTES = 2**22  # of the rows that wait to be written to one of them
POSITION = "__position"  # int64: of a row among the kept ones
SORTS: dict[Sort, str] = {"score": "score DESC NULLS LAST, row_id", "row_id": "row_id"}


def copy_sorted(
    table: TableFiles, sort: Sort, selection: Selection, filesystem: AbstractFileSystem, folder: str, scores: bool
) -> dict[str, int]:
    """Write the kept rows to files of about `FILE_BYTES`, all in one order; return the rows of each file by its name.

    The same rows in the same order give the same files.

    Args:
        table: The table.
        sort: What decides the order.
        selection: What was decided.
        filesystem: Where the files go.
        folder: The folder above them.
        scores: Whether the rows get the columns of their scores.
    """
    selection.order_kept(SORTS[sort])
    added = selection.score_schema if scores else pa.schema([])
    schema = pa.schema([*table.schema, *(f for f in added if f.name not in table.schema.names)], table.schema.metadata)
    kept: int = selection.database.execute("SELECT count(*) FROM ordered").fetchall()[0][0]
    size = sum(opened.file.size for opened in table.files) * kept / max(1, table.rows)
    make_folder(filesystem, f"{folder}/{KEPT}")
    written: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="vilt-sort-") as temporary:
        sorter = Sorter(pa.schema([*schema, (POSITION, pa.int64())]), Path(temporary))
        for rows in sorter.sorted(_kept_rows(table, selection, scores), 0, kept, int(size)):
            name = f"{KEPT}/part-{len(written):05d}.parquet"
            with GroupWriter(arrow_filesystem(filesystem), f"{folder}/{name}", schema) as writer:
                writer.write(rows.select(schema.names))
            written[name] = rows.num_rows
    if not written:
        name = f"{KEPT}/part-00000.parquet"
        GroupWriter(arrow_filesystem(filesystem), f"{folder}/{name}", schema).__exit__(None, None, None)
        written[name] = 0
    return written


def _kept_rows(table: TableFiles, selection: Selection, scores: bool) -> Iterator[pa.Table]:
    """Yield the kept rows in the order of the table, with their positions, and their scores if they are asked for."""
    for rows in read_columns(table, table.schema.names, READ_ROWS):
        keys = rows[ROW_KEY].to_numpy()
        if len(keys) == 0:
            continue
        begin, end = int(keys[0]), int(keys[-1]) + 1
        verdicts = selection.verdicts(begin, end)
        is_kept = np.isin(keys, verdicts.keys)
        if not is_kept.any():
            continue
        kept = rows.filter(pa.array(is_kept)).select(table.schema.names)
        for name in verdicts.kept.column_names if scores else ():
            if name not in kept.column_names:
                kept = kept.append_column(verdicts.kept.schema.field(name), verdicts.kept[name])
        yield kept.append_column(POSITION, pa.array(selection.positions(begin, end), pa.int64()))


class Sorter:
    """Puts rows in order by their positions, in temporary files."""

    def __init__(self, schema: pa.Schema, folder: Path) -> None:
        """Prepare to sort.

        Args:
            schema: Of the rows, with the column `__position`.
            folder: For the temporary files.
        """
        self.schema, self.folder, self._files = schema, folder, 0

    def sorted(self, rows: Iterable[pa.Table], begin: int, end: int, size: int) -> Iterator[pa.Table]:
        """Yield the rows in order, in tables of about `FILE_BYTES`, and of `MOST_BYTES` at most unless it is one row.

        Args:
            rows: Those with the positions from `begin` up to, not including, `end`.
            begin: The first position.
            end: The last position, and one.
            size: About how many bytes they have.
        """
        parts = min(MOST_FILES, max(1, -(-size // FILE_BYTES)), end - begin)
        if parts < 1:
            return
        edges = [begin + (end - begin) * part // parts for part in range(parts + 1)]
        paths, sizes = self._scatter(rows, edges)
        for part, (path, held) in enumerate(zip(paths, sizes, strict=True)):
            first, last = edges[part], edges[part + 1]
            if held <= MOST_BYTES or last - first == 1:
                with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
                    found = stream.read_all()
                path.unlink()
                yield found.take(np.argsort(found[POSITION].to_numpy()))
            else:
                yield from self.sorted(_read(path), first, last, max(held, 2 * FILE_BYTES))

    def _scatter(self, rows: Iterable[pa.Table], edges: list[int]) -> tuple[list[Path], list[int]]:
        """Write rows to a file for each two neighbours of `edges`; return the files, and the bytes of their rows."""
        paths = [self.folder / str(self._files + number) for number in range(len(edges) - 1)]
        self._files += len(paths)
        sizes, waiting = [0] * len(paths), [list[pa.Table]() for _ in paths]
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with ExitStack() as stack:
            files = [stack.enter_context(pa.OSFile(str(path), "wb")) for path in paths]
            streams = [stack.enter_context(pa.ipc.new_stream(file, self.schema, options=options)) for file in files]
            bytes_waiting = [0] * len(paths)

            def flush(number: int) -> None:
                if waiting[number]:
                    streams[number].write_table(pa.concat_tables(waiting[number]).combine_chunks())
                waiting[number], bytes_waiting[number] = [], 0

            for table in rows:
                table = table.cast(self.schema)
                part_of = np.searchsorted(edges, table[POSITION].to_numpy(), side="right") - 1
                for number in np.unique(part_of).tolist():
                    part = table.take(np.flatnonzero(part_of == number))
                    waiting[number].append(part)
                    sizes[number] += part.nbytes
                    bytes_waiting[number] += part.nbytes
                    if bytes_waiting[number] > WAITING_BYTES:
                        flush(number)
            for number in range(len(paths)):
                flush(number)
        return paths, sizes


def _read(path: Path) -> Iterator[pa.Table]:
    """Yield the rows of a temporary file, and remove it."""
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
        for batch in stream:
            yield pa.Table.from_batches([batch])
    path.unlink()
