"""Read and write Parquet so that a copy has the values, the schema, the metadata and the compression of its source."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from pipeline.common.errors import ConfigError

GROUP_BYTES = 2**26  # of a row group that is written
GROUP_ROWS = 2**20
INT96_ROWS = 2**17  # of times, looked at together
MOST_MICROS = (2**63 - 1) // 1000  # that int64 nanoseconds can count


class ParquetSource:
    """An open Parquet file. A context manager.

    INT96 times, which Spark, Hive and Impala write, count nanoseconds from a day of years -4712 to 1,465,000; pyarrow
    reads them as int64 nanoseconds, which wrap beyond 1677 and 2262 without an error. A file with such times is read in
    microseconds. Its copy has INT96 times too, if all its times are INT96: pyarrow writes all or none so.

    Attributes:
        path: Where it is.
        metadata: Its footer.
        schema: Its schema, as it is read.
        int96: Whether its times are INT96 times.
    """

    def __init__(self, path: str, filesystem: pyarrow.fs.FileSystem) -> None:
        self.path, self._filesystem = path, filesystem
        self._file = pq.ParquetFile(path, filesystem=filesystem)
        self.metadata: pq.FileMetaData = self._file.metadata
        columns = [self.metadata.schema.column(i) for i in range(self.metadata.num_columns)]
        names = [column.path for column in columns if column.physical_type == "INT96"]
        self.int96 = bool(names) and not any(column.logical_type.type == "TIMESTAMP" for column in columns)
        if names and self._int96_unit(names) == "us":
            self._file.close()
            self._file = pq.ParquetFile(path, filesystem=filesystem, coerce_int96_timestamp_unit="us")
        self.schema: pa.Schema = self._file.schema_arrow

    def __enter__(self) -> ParquetSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, group: int, rows: int) -> Iterator[pa.Table]:
        """Yield a row group, about `rows` rows at a time."""
        for batch in self._file.iter_batches(rows, row_groups=[group]):
            yield pa.Table.from_batches([batch])

    @property
    def compression(self) -> str | dict[str, str]:
        """The compression of the columns: one for all if it is the same."""
        if not self.metadata.num_row_groups:
            return "snappy"
        group = self.metadata.row_group(0)
        columns = [group.column(i) for i in range(group.num_columns)]
        found = {column.path_in_schema: column.compression.replace("UNCOMPRESSED", "NONE") for column in columns}
        return next(iter(found.values())) if len(set(found.values())) == 1 else found

    def _int96_unit(self, names: list[str]) -> str:
        """Return the unit in which all INT96 times can be read exactly, "ns" or "us".

        Raises:
            ConfigError: There is none: some are finer than microseconds, others out of the range of nanoseconds.
        """
        too_wide = too_fine = False
        with pq.ParquetFile(self.path, filesystem=self._filesystem, coerce_int96_timestamp_unit="us") as other:
            pairs = zip(
                self._file.iter_batches(INT96_ROWS, columns=names),
                other.iter_batches(INT96_ROWS, columns=names),
                strict=True,
            )
            for batch, coerced in pairs:
                leaves = zip(_leaves(batch.to_struct_array()), _leaves(coerced.to_struct_array()), strict=True)
                for nanos, micros in leaves:
                    fits = np.abs(micros) <= MOST_MICROS
                    too_wide = too_wide or not fits.all()
                    too_fine = too_fine or bool((nanos[fits] % 1000).any())
        if too_wide and too_fine:
            raise ConfigError(
                f"input.path: {self.path!r} holds INT96 times in {', '.join(names)} that are finer than microseconds "
                "beside times out of the range of nanoseconds; write them as microseconds first"
            )
        return "us" if too_wide else "ns"


def _leaves(array: pa.Array) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the values of each column of times within an array, int64 (n,), nulls left out."""
    kind = array.type
    if pa.types.is_struct(kind):
        for inner in array.flatten():
            yield from _leaves(inner)
    elif pa.types.is_map(kind):
        yield from _leaves(array.keys)
        yield from _leaves(array.items)
    elif pa.types.is_nested(kind):
        yield from _leaves(array.flatten())
    elif pa.types.is_timestamp(kind):
        yield array.drop_null().cast(pa.int64()).to_numpy()


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

    @classmethod
    def like(cls, source: ParquetSource, filesystem: pyarrow.fs.FileSystem, path: str) -> GroupWriter:
        """Begin a file for rows of `source`."""
        return cls(filesystem, path, source.schema, source.compression, source.int96)

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
