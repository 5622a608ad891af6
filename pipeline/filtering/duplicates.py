"""`keep.unique`: of the kept rows that hold the same image, the best one, by a hash of the images' bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pyarrow as pa

from pipeline.common.columns import ROW_KEY
from pipeline.common.errors import ConfigError
from pipeline.filtering.selection import Selection
from pipeline.tables.database import load
from pipeline.tables.reading import read_columns
from pipeline.tables.schemas import is_bytes, require_column
from pipeline.tables.table import TableFiles

READ_ROWS = 512  # whose images are read at a time
HASH_BYTES = 16
HASHES = pa.schema([("row_key", pa.int64()), ("hash", pa.binary())])
REASON = "same image as a better row"


def check_unique(schema: pa.Schema, column: str) -> None:
    """Check that a column holds images, and not their URIs.

    Raises:
        ConfigError: It does not.
    """
    require_column(schema, "keep.unique", column)
    kind = schema.field(column).type
    if not (is_bytes(kind) or _holds_bytes(kind)):
        raise ConfigError(
            f"keep.unique: column {column!r} is {kind}, and images are compared by their bytes, which the table must "
            "hold: as a column of bytes, of {bytes, path} structs, or in tars"
        )


def drop_duplicates(table: TableFiles, column: str, selection: Selection) -> None:
    """Drop all but the best of the kept rows with the same image: the highest score, then the smallest row_id.

    Rows without an image are left alone.

    Args:
        table: The table.
        column: The column of images.
        selection: What was decided by all other conditions.

    Raises:
        ConfigError: The table does not hold the image of a kept row.
    """
    database = selection.database
    load(database, "CREATE TABLE hashes AS FROM given", HASHES, _hashes(table, column, selection))
    database.execute(
        f"UPDATE verdict SET reason = '{REASON}' WHERE row_key IN (SELECT row_key FROM "
        "(SELECT row_key, row_number() OVER (PARTITION BY hash ORDER BY score DESC NULLS LAST, row_id) AS place "
        "FROM hashes JOIN verdict USING (row_key)) WHERE place > 1)"
    )
    database.execute("DROP TABLE hashes")


def _hashes(table: TableFiles, column: str, selection: Selection) -> Iterator[pa.Table]:
    """Yield the hashes of the images of the kept rows, read some rows at a time."""
    for rows in read_columns(table, [column], READ_ROWS):
        kept = rows.filter(pa.array(selection.kept(rows[ROW_KEY].to_numpy())))
        keys, hashes = kept[ROW_KEY].to_pylist(), list[bytes | None]()
        for cell in kept[column]:
            image = cell
            if isinstance(cell, pa.StructScalar):
                image = cell["bytes"] if cell.is_valid else pa.scalar(None)
                if not image.is_valid and cell.is_valid and "path" in cell and cell["path"].is_valid:
                    raise ConfigError(
                        f"keep.unique: a kept row names the image {cell['path'].as_py()!r} in column {column!r} "
                        "without its bytes, and images are compared by these; leave the key out"
                    )
            hashes.append(
                hashlib.blake2b(image.as_buffer(), digest_size=HASH_BYTES).digest() if image.is_valid else None
            )
        found = pa.table({"row_key": pa.array(keys, pa.int64()), "hash": pa.array(hashes, pa.binary())})
        yield found.filter(found["hash"].is_valid())


def _holds_bytes(kind: pa.DataType) -> bool:
    """Return whether values are structs with the bytes of an image."""
    return pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 and is_bytes(kind.field("bytes").type)
