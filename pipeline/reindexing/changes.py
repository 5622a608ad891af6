"""What becomes of the rows of a table of results when files of the input have changed or gone.

A row whose id and content are those of a row in a new or changed file keeps its results: it has only moved.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.cluster.actor_pool import plan_pool
from pipeline.common.columns import ERROR, PLACE, ROW_ID, ROW_SOURCE
from pipeline.common.error_codes import RETRYABLE
from pipeline.common.row_ranges import ROW_BITS, Places
from pipeline.config.job import JobConfig
from pipeline.monitoring.progress_reporter import quiet
from pipeline.reindexing.table_folder import PARTS, TableFolder
from pipeline.results.delta_table import DataFile
from pipeline.results.staging import Source, is_of, source_key, source_keys
from pipeline.results.work_folder import each, read_part, write_parquet
from pipeline.storage.filesystem import arrow_filesystem
from pipeline.tables.provenance import row_sources
from pipeline.tables.table import InputTable, read, with_row_id

KEYS = [ROW_ID, "hash"]
NO_MOVES = pa.schema([(name, pa.int64()) for name in (*KEYS, "place")]).empty_table()
RESULTS = pa.schema([("source", pa.string()), *((name, pa.int64()) for name in ("row", *KEYS)), ("again", pa.bool_())])


@dataclass(frozen=True)
class Changes:
    """leaving: editions whose rows leave. moved: `row_id`, `hash` and new `place` of those that stay all the same.
    revisited: editions with rows that are read again. again: the places of these rows. table: the files being read."""

    leaving: Collection[Source]
    moved: pa.Table
    revisited: Collection[Source]
    again: Places
    table: InputTable | None

    @cached_property
    def numbers(self) -> dict[str, int]:
        """`source_key` -> the number of the file among those being read."""
        files = self.table.files if self.table else ()
        return {source_key((file.name, file.file.version)): number for number, file in enumerate(files)}


def files_with(files: Sequence[DataFile], names: Collection[str]) -> list[DataFile]:
    """The data files that may hold rows of one of these files of the input, by their statistics."""
    ordered = sorted(names)

    def may_hold(file: DataFile) -> bool:
        if file.first is None or file.last is None:
            return True
        at = bisect_left(ordered, file.first)
        return at < len(ordered) and ordered[at] <= file.last

    return [file for file in files if may_hold(file)]


def results_of(folder: TableFolder, files: Sequence[DataFile], sources: Collection[Source]) -> pa.Table:
    """The rows of the input, of these editions, that the table has results of: `source`, `row`, `row_id`, `hash`, and
    `again`: whether a result is an error that may pass."""

    def one(file: DataFile) -> pa.Table:
        table = _columns(folder, file, [ROW_ID, ROW_SOURCE, ERROR])
        table = table.filter(is_of(table, sources))
        source = table[ROW_SOURCE].combine_chunks()
        return pa.table(
            {
                "source": source_keys(table),
                "row": source.field("row"),
                ROW_ID: table[ROW_ID],
                "hash": source.field("hash"),
                "again": _may_pass(table),
            }
        )

    found = pa.concat_tables([RESULTS.empty_table(), *each(one, files_with(files, {name for name, _ in sources}))])
    rows = found.group_by(["source", "row", *KEYS]).aggregate([("again", "any")])
    return rows.rename_columns([*RESULTS.names[:-1], "again"])


def sources_to_retry(folder: TableFolder, files: Sequence[DataFile]) -> set[Source]:
    """The editions with results that are errors which may pass."""

    def one(file: DataFile) -> list[str]:
        table = _columns(folder, file, [ROW_SOURCE, ERROR])
        return source_keys(table.filter(_may_pass(table))).unique().to_pylist()

    found = {key for keys in each(one, files) for key in keys}
    return {(name, edition) for name, _, edition in (key.partition("\0") for key in found)}


def find_moved(table: InputTable, config: JobConfig, done: Places, leaving: pa.Table) -> pa.Table:
    """Of the rows of the input that are not in `done`, those that `results_of` leaving editions are of: `row_id`,
    `hash`, `place`. Rows with a double are left out."""
    old = _once(leaving.filter(pc.invert(leaving["again"])).select(KEYS))
    if not old.num_rows:
        return NO_MOVES
    id_column = config.input.id

    def keys(windows: Iterator[pa.Table]) -> Iterator[pa.Table]:
        for window in windows:
            ids = with_row_id(window, id_column)[ROW_ID]
            hashes = pc.struct_field(window[ROW_SOURCE], "hash")
            yield pa.table({ROW_ID: ids, "hash": hashes, "place": window[PLACE]})

    with quiet():
        windows_read = read(table, config, done, keys, plan_pool(config).decode_on)
        batches = windows_read.iter_batches(batch_size=None, batch_format="pyarrow")
        found = [batch.join(old, KEYS, join_type="inner").select(NO_MOVES.column_names) for batch in batches]
    moved = pa.concat_tables([NO_MOVES, *found])
    return moved.join(_once(moved.select(KEYS)), KEYS, join_type="inner")


def rewrite(folder: TableFolder, file: DataFile, target: str, changes: Changes) -> int | None:
    """Write what stays of a data file to `target`, below PARTS; the rows, or None where all stay as they are."""
    table, lineage = read_part(folder.filesystem, f"{folder.root}/{file.path}")
    leaves, again = is_of(table, changes.leaving), _again(table, changes)
    if not pc.any(pc.or_(leaves, again)).as_py():
        return None
    out = pa.concat_tables([table.filter(pc.invert(pc.or_(leaves, again))), _moved(table.filter(leaves), changes)])
    if out.num_rows:
        write_parquet(folder.filesystem, f"{folder.root}/{PARTS}/{target}", [out.combine_chunks()], lineage)
    return out.num_rows


def _again(table: pa.Table, changes: Changes) -> pa.Array:
    """bool (rows,): rows that are read again."""
    out = np.zeros(table.num_rows, bool)
    if len(changes.again):
        rows = table[ROW_SOURCE].combine_chunks().field("row").to_numpy()
        files = np.array([changes.numbers.get(key, -1) for key in source_keys(table).to_pylist()], np.int64)
        out = (files >= 0) & changes.again.contains((files << ROW_BITS) + rows)
    return pa.array(out)


def _moved(table: pa.Table, changes: Changes) -> pa.Table:
    """Rows of leaving editions that stay, with the places where they are now."""
    source = table[ROW_SOURCE].combine_chunks()
    keyed = pa.table({ROW_ID: table[ROW_ID], "hash": source.field("hash"), "at": np.arange(table.num_rows)})
    found = keyed.join(changes.moved, KEYS, join_type="inner")
    out = table.take(found["at"])
    if not out.num_rows:
        return out
    assert changes.table is not None
    places = found["place"].to_numpy()
    files = [changes.table.files[number].file for number in places >> ROW_BITS]
    numbers = places & (1 << ROW_BITS) - 1
    moved = row_sources(
        [file.name for file in files], [file.version for file in files], numbers, found["hash"].to_numpy()
    )
    return out.set_column(out.column_names.index(ROW_SOURCE), out.schema.field(ROW_SOURCE), moved)


def places_of(rows: pa.Table, changes: Changes) -> np.ndarray:
    """int64 (rows,): the places, among the files being read, of `results_of` their editions."""
    files = np.array([changes.numbers[key] for key in rows["source"].to_pylist()], np.int64)
    return (files << ROW_BITS) + rows["row"].to_numpy()


def _may_pass(table: pa.Table) -> pa.Array:
    """bool (rows,): results that are errors which may pass."""
    return pc.fill_null(pc.is_in(table[ERROR], pa.array(sorted(RETRYABLE))), False).combine_chunks()


def _once(keys: pa.Table) -> pa.Table:
    """The keys that there is one row of."""
    counted = keys.group_by(KEYS).aggregate([([], "count_all")])
    return counted.filter(pc.equal(counted["count_all"], 1)).select(KEYS)


def _columns(folder: TableFolder, file: DataFile, names: list[str]) -> pa.Table:
    return pq.read_table(f"{folder.root}/{file.path}", columns=names, filesystem=arrow_filesystem(folder.filesystem))
