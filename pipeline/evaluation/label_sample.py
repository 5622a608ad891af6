"""Draw rows of a job's output at random and write them as a table for a person to label."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from pipeline.common.columns import ROW_ID, ROW_SOURCE, TEXT_INDEX
from pipeline.common.errors import ConfigError, first_line
from pipeline.common.row_ids import shown_id
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.calibration import GOOD
from pipeline.evaluation.scored_rows import scored_rows
from pipeline.storage.filesystem import STORAGE_ERRORS, make_folder, open_fsspec, write_whole
from pipeline.tables.lookup import read_rows

MOST_COLUMNS = 8  # of the user's own
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would compute


def draw_sample(uri: str, count: int, seed: int, out: str, storage: StorageConfig) -> int:
    """Write a CSV file of rows with an empty column `good`. Scores are left out, so as not to sway who labels.

    Args:
        uri: The output folder of a job that has scores.
        count: Rows to draw, each with the same chance; all, if there are fewer.
        seed: Another seed draws other rows.
        out: The file to write.
        storage: How to reach both.

    Returns:
        How many rows were written.

    Raises:
        ConfigError: There is no such output, or the file is there already or cannot be written.
    """
    filesystem, path = open_fsspec(out, "--out", storage)
    with _as_config_error(out):
        if filesystem.exists(path):
            raise ConfigError(f"--out: {out!r} is there already, perhaps with labels; name another file")
    with scored_rows(uri, storage) as scored:
        carried = [field.name for field in scored.table.schema if _is_shown(field) and field.name not in scored.made]
        names = [ROW_ID, *([TEXT_INDEX] if scored.several_texts else []), *carried[:MOST_COLUMNS]]
        query = f"SELECT row_key FROM scored ORDER BY hash(row_key, {seed:d}), row_key LIMIT {count:d}"
        keys = [key for (key,) in scored.database.execute(query).fetchall()]
        rows = read_rows(scored.table, keys, names)
    with _as_config_error(out):
        make_folder(filesystem, path.rpartition("/")[0])
        write_whole(filesystem, path, _csv(names, [rows[key] for key in keys]))
    return len(keys)


@contextmanager
def _as_config_error(out: str) -> Iterator[None]:
    """While it is open, raise what the storage of `--out` raises as ConfigError."""
    try:
        yield
    except STORAGE_ERRORS as error:
        raise ConfigError(f"--out: cannot write {out!r}: {first_line(error)}") from None


def _is_shown(field: pa.Field) -> bool:
    """Return whether a person can read the values of a column."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    bytes_or_nested = pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return field.name != ROW_SOURCE and not (bytes_or_nested or pa.types.is_fixed_size_binary(kind))


def _csv(names: Sequence[str], rows: Sequence[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*names, GOOD])
    for row in rows:
        writer.writerow([*(_cell(name, row[name]) for name in names), ""])
    return text.getvalue().encode("utf-8", "replace")


def _cell(name: str, value: Any) -> str:
    """Return a value as text; a text that a spreadsheet would take for a formula is given a quote in front."""
    if value is None:
        return ""
    if name in (ROW_ID, TEXT_INDEX):
        return shown_id(value)
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULA) else text
