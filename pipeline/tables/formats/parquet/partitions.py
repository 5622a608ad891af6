"""Columns in the names of folders, as Hive writes them: `year=2026/lang=de/0.parquet`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds

from pipeline.common.errors import ConfigError


@dataclass(frozen=True)
class Partitions:
    """The columns that the folders of a table name. columns: int64 if all values are integers, else string."""

    columns: pa.Schema

    @cached_property
    def _hive(self) -> ds.HivePartitioning:
        return ds.HivePartitioning(self.columns)

    def values(self, name: str) -> dict[str, Any]:
        """Return the values that the folders of a file name. name: the path below the table's folder."""
        if not len(self.columns):
            return {}
        found: dict[str, Any] = ds.get_partition_keys(self._hive.parse(f"/{name.rpartition('/')[0]}/"))
        return found


def find_partitions(names: Sequence[str]) -> Partitions:
    """Return the columns that the folders of files name.

    Args:
        names: Paths of all files of the table, below its folder.

    Raises:
        ConfigError: The columns differ from file to file.
    """
    keys = [folder_columns(name) for name in names]
    for name, found in zip(names, keys, strict=True):
        if set(found) != set(keys[0]):
            raise ConfigError(
                f"input.path: the folders of {name!r} name the columns {list(found) or 'none'}, "
                f"those of {names[0]!r} {list(keys[0]) or 'none'}"
            )
    if not keys or not keys[0]:
        return Partitions(pa.schema([]))
    folders = {name.rpartition("/")[0] for name in names}
    texts = Partitions(pa.schema([(key, pa.string()) for key in keys[0]]))
    values = [texts.values(f"{folder}/") for folder in folders]
    whole = {key for key in keys[0] if _are_integers([found[key] for found in values])}
    return Partitions(pa.schema([(key, pa.int64() if key in whole else pa.string()) for key in keys[0]]))


def folder_columns(name: str) -> tuple[str, ...]:
    """Return the columns that the folders of a file name, in their order. name: the path below the table's folder."""
    return tuple(unquote(part.partition("=")[0]) for part in name.split("/")[:-1] if "=" in part)


def _are_integers(values: Sequence[str | None]) -> bool:
    """Return whether int64 holds all of these texts, which it does not of "007". A null partition is no text."""
    texts = [value for value in values if value is not None]
    return bool(texts) and all(
        text.removeprefix("-").isdecimal() and len(text) < 19 and str(int(text)) == text for text in texts
    )
