"""Write a Parquet file of row groups of a good size from tables of any size."""

from __future__ import annotations

from types import TracebackType

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

GROUP_BYTES = 2**26  # of a row group that is written
GROUP_ROWS = 2**20


class GroupWriter:
    """Writes a Parquet file; small tables are put together to row groups of a good size. A context manager."""

    def __init__(
        self,
        filesystem: pyarrow.fs.FileSystem,
        path: str,
        schema: pa.Schema,
        compression: str | dict[str, str] = "zstd",
        int96: bool = False,
    ) -> None:
        """Begin the file.

        Args:
            filesystem: Where it is to be.
            path: Its path there.
            schema: Of all that is written.
            compression: As pyarrow takes it.
            int96: Whether times are written as INT96.
        """
        self._writer = pq.ParquetWriter(
            path, schema, filesystem=filesystem, compression=compression, use_deprecated_int96_timestamps=int96
        )
        self._schema, self._waiting = schema, list[pa.Table]()

    def __enter__(self) -> GroupWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def write(self, rows: pa.Table) -> None:
        """Write rows of the file's schema."""
        if rows.num_rows:
            self._waiting.append(rows)
        if sum(part.nbytes for part in self._waiting) > GROUP_BYTES or sum(map(len, self._waiting)) > GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).cast(self._schema))
        self._waiting = []
