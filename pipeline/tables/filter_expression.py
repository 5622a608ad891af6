"""`input.filter`: SQL conditions on columns, as in "source = 'coco' AND width > 100", as pyarrow evaluates them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

NOT_FILTERED = "is for Parquet, Delta, Iceberg, Lance and Arrow tables"  # of tables of other formats


@dataclass(frozen=True)
class Filter:
    """A condition on the rows of a table. A comparison with null is neither true nor false, as in SQL.

    Attributes:
        text: What the config says.
        expression: The condition as pyarrow takes it; true for the rows to keep.
        names: The columns that it reads.
    """

    text: str
    expression: pc.Expression = field(compare=False)
    names: tuple[str, ...] = field(compare=False)

    def columns(self) -> list[str]:
        """Return the names of the columns that the condition reads."""
        return list(self.names)

    def pyarrow(self) -> pc.Expression:
        """Return the condition as pyarrow takes it."""
        return self.expression


def parse_filter(text: str, schema: pa.Schema) -> Filter:
    """Parse a condition on the columns of `schema`.

    Raises:
        ConfigError: `text` is not SQL, names an unknown column, or holds a construct that cannot be pushed down.
    """
    # Imports sqlglot, which takes half a second; few jobs have a filter, and no worker parses one.
    from pipeline.tables.filter_sql import build

    expression, names = build(text, schema)
    return Filter(text, expression, names)
