"""Draw rows of a job's output at random and write them as a table for a person to label."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from pipeline.common.columns import ROW_ID, ROW_SOURCE, TEXT_INDEX
from pipeline.common.errors import ConfigError
from pipeline.common.row_ids import shown_id
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.calibration import GOOD
from pipeline.evaluation.scored_rows import scored_rows
from pipeline.storage.failures import write_named
from pipeline.storage.filesystem import open_fsspec
from pipeline.tables.lookup import read_rows
from pipeline.tables.schemas import is_legible

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
    if filesystem.exists(path):
        raise ConfigError(f"--out: {out!r} is there already, perhaps with labels; name another file")
    with scored_rows(uri, storage) as scored:
        hidden = {*scored.made, ROW_SOURCE}
        carried = [one.name for one in scored.table.schema if is_legible(one.type) and one.name not in hidden]
        names = [ROW_ID, *([TEXT_INDEX] if scored.several_texts else []), *carried[:MOST_COLUMNS]]
        query = f"SELECT row_key FROM scored ORDER BY hash(row_key, {seed:d}), row_key LIMIT {count:d}"
        keys = [key for (key,) in scored.database.execute(query).fetchall()]
        rows = read_rows(scored.table, keys, names)
    write_named(out, "--out", _csv(names, [rows[key] for key in keys]), storage)
    return len(keys)


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
