"""CSV tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import pyarrow as pa
import pyarrow.csv

from pipeline.tables import row_format
from pipeline.tables.format import OpenOptions
from pipeline.tables.row_format import OpenFile, RowFormat


class CsvFormat(RowFormat):
    """CSV. Values are strings, exactly as they stand in the file ("007" stays "007"), but for the id column.

    Commas, double quotes, a header line; quoted values may hold line ends. An empty value is an empty string.
    """

    name = "csv"
    extensions = (".csv", ".csv.gz")
    same_columns = True

    def scan(self, file: OpenFile, options: OpenOptions) -> tuple[pa.Schema, int]:
        """Read the header, then parse all rows. See `RowFormat`."""
        with file() as opened:
            names = _open(opened, pa.schema([])).schema.names
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two columns are named {twice!r}")
        schema = pa.schema([(name, pa.int64() if name == options.id_column else pa.string()) for name in names])
        with file() as opened:
            return schema, sum(batch.num_rows for batch in _open(opened, schema))

    def parse(self, file: IO[bytes], columns: pa.Schema, options: OpenOptions) -> Iterator[pa.Table]:
        """Parse block by block. See `RowFormat`."""
        del options
        for batch in _open(file, columns):
            yield pa.Table.from_batches([batch])


def _open(file: IO[bytes], columns: pa.Schema) -> pa.csv.CSVStreamingReader:
    """Return a reader of these columns, or of all if there are none."""
    return pa.csv.open_csv(
        file,
        read_options=pa.csv.ReadOptions(block_size=row_format.BLOCK_BYTES),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types=columns, include_columns=columns.names, check_utf8=False, strings_can_be_null=False
        ),
    )
