"""One text for all rows of a table, as a column of it: `input.text: {fixed: "is there a watermark?"}`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from pipeline.common.columns import FIXED_TEXT
from pipeline.common.errors import ConfigError
from pipeline.tables.input_file import InputFile
from pipeline.tables.opened_table import OpenedTable, Split, TableReader


def with_fixed_text(table: OpenedTable, text: str) -> OpenedTable:
    """Return a table with the column `fixed_text`.

    Raises:
        ConfigError: It has a column of this name.
    """
    if FIXED_TEXT in table.schema.names:
        raise ConfigError(
            f"input.text: the table has a column {FIXED_TEXT!r}, a name that a fixed text needs for itself"
        )
    schema = table.schema.append(pa.field(FIXED_TEXT, pa.string()))
    return replace(table, schema=schema, reader=FixedTextReader(table.reader, text))


@dataclass(frozen=True)
class FixedTextReader:
    """Reads a table, and adds a text to each row."""

    inner: TableReader
    text: str

    def read(self, file: InputFile, split: Split, columns: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Yield rows. See `pipeline.tables.opened_table.TableReader`."""
        index = columns.get_field_index(FIXED_TEXT)
        stored = columns if index < 0 else columns.remove(index)
        for table in self.inner.read(file, split, stored, rows):
            if index < 0:
                yield table
            else:
                yield table.add_column(index, FIXED_TEXT, pa.repeat(pa.scalar(self.text), table.num_rows))
