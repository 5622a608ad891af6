"""Lists of the keys of kept rows, for tools that choose samples by key.

keys/keys.parquet holds a column of the table, in its order. If each key is 32 hexadecimal digits, as uids of
DataComp are, keys/keys.npy holds the distinct ones as pairs of uint64, sorted: a subset, as DataComp's
resharder takes it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.common.columns import ROW_KEY
from pipeline.common.errors import ConfigError
from pipeline.config.filter import KEYS
from pipeline.filtering.group_writer import GroupWriter
from pipeline.filtering.selection import Selection
from pipeline.results.output_folder import OutputFolder
from pipeline.storage.filesystem import arrow_filesystem, make_folder
from pipeline.tables.database import load
from pipeline.tables.reading import read_columns
from pipeline.tables.schemas import is_text
from pipeline.tables.table import TableFiles
from vilt.common.counts import counted

READ_ROWS = 2**17  # whose keys are read at a time
UID = "^[0-9a-fA-F]{32}$"
PAIR = np.dtype("u8,u8")
PAIRS = pa.schema([("high", pa.uint64()), ("low", pa.uint64())])


def write_keys(table: TableFiles, column: str, selection: Selection, folder: OutputFolder) -> list[str]:
    """Write the keys of the kept rows into the work folder; return the names of the files, relative to it.

    Args:
        table: The table.
        column: The column of keys.
        selection: What was decided.
        folder: The output.

    Raises:
        ConfigError: A kept row has no key.
    """
    make_folder(folder.filesystem, f"{folder.work.path}/{KEYS}")
    names = [f"{KEYS}/keys.parquet", f"{KEYS}/keys.npy"]
    schema = pa.schema([pa.field(column, table.schema.field(column).type)])
    are_uids = is_text(schema.field(column).type)
    arrow = arrow_filesystem(folder.filesystem)

    def pairs() -> Iterator[pa.Table]:
        nonlocal are_uids
        with GroupWriter(arrow, f"{folder.work.path}/{names[0]}", schema) as writer:
            for keys in _kept_keys(table, column, selection):
                writer.write(pa.table([keys], schema=schema))
                are_uids = are_uids and _are_uids(keys)
                if are_uids:
                    high, low = _pairs_of(keys).T
                    yield pa.table({"high": high, "low": low}, schema=PAIRS)

    load(selection.database, "CREATE TABLE uids AS SELECT DISTINCT high, low FROM given", PAIRS, pairs())
    if are_uids:
        _write_uids(selection, folder, names[1])
    selection.database.execute("DROP TABLE uids")
    return names if are_uids else names[:1]


def _kept_keys(table: TableFiles, column: str, selection: Selection) -> Iterator[pa.ChunkedArray]:
    """Yield the keys of the kept rows, in the order of the table."""
    for rows in read_columns(table, [column], READ_ROWS):
        keys = rows[column].filter(pa.array(selection.kept(rows[ROW_KEY].to_numpy())))
        if keys.null_count:
            raise ConfigError(
                f"output.keys: column {column!r} is null in {counted(keys.null_count, 'kept row')} or more; choose a "
                f"column "
                "that all rows have, or keep.where to leave them out"
            )
        yield keys


def _are_uids(keys: pa.ChunkedArray) -> bool:
    return bool(pc.all(pc.match_substring_regex(keys.cast(pa.large_binary()), UID), min_count=0).as_py())


def _pairs_of(keys: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Return uint64 (n, 2): the first and the last 16 of the 32 hexadecimal digits of each key."""
    digits = "".join(keys.to_pylist())
    return np.frombuffer(bytes.fromhex(digits), ">u8").reshape(-1, 2).astype(np.uint64)


def _write_uids(selection: Selection, folder: OutputFolder, name: str) -> None:
    """Write the pairs in the table `uids`, sorted, as a `.npy` file of a structured type, without holding them all."""
    count: int = selection.database.execute("SELECT count(*) FROM uids").fetchall()[0][0]
    header = {"descr": np.lib.format.dtype_to_descr(PAIR), "fortran_order": False, "shape": (count,)}
    rows = pa.RecordBatchReader.from_stream(selection.database.sql("SELECT high, low FROM uids ORDER BY high, low"))
    with folder.filesystem.open(f"{folder.work.path}/{name}", "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for batch in rows:
            file.write(np.column_stack([batch["high"].to_numpy(), batch["low"].to_numpy()]).astype("<u8").tobytes())
