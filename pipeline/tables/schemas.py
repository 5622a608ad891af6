"""One schema for the files of a table, and what must be in it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import pyarrow as pa

from pipeline.common.errors import ConfigError


def unify(files: Sequence[str], schemas: Sequence[pa.Schema]) -> pa.Schema:
    """One schema for all files: a column that a file lacks is null there, numbers take the wider type.

    Raises ConfigError naming the first file, and its column, that fits none of this.
    """
    merged = schemas[0].remove_metadata()
    known = {schemas[0]}
    for file, schema in zip(files, schemas, strict=True):
        if schema in known:
            continue
        known.add(schema)
        for field in schema:
            if field.name in merged.names and not _fit(merged.field(field.name), field):
                before = merged.field(field.name).type
                raise ConfigError(
                    f"input.path: column {field.name!r} is {field.type} in {file!r} and {before} in other files"
                )
        merged = pa.unify_schemas([merged, schema.remove_metadata()], promote_options="permissive")
    return merged


def _fit(a: pa.Field, b: pa.Field) -> bool:
    """Whether two types have a common one; not so bytes and strings, which pyarrow would take for bytes."""
    text = [pa.types.is_string(field.type) or pa.types.is_large_string(field.type) for field in (a, b)]
    data = [pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type) for field in (a, b)]
    if any(text) and any(data):
        return False
    try:
        pa.unify_schemas([pa.schema([a]), pa.schema([b])], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return False
    return True


def require_column(schema: pa.Schema, key: str, name: str) -> None:
    """Raises ConfigError where the table has no such column. key: of the config, that names it."""
    if name not in schema.names:
        close = difflib.get_close_matches(name, schema.names, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"{key}: the table has no column {name!r}; {hint}it has {', '.join(schema.names)}")
