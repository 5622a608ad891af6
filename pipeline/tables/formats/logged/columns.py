"""Columns of files that a table's log describes: matched by name, by the name that the log gives, or by field id."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from pipeline.common.errors import ConfigError
from pipeline.tables.schemas import cast

FIELD_ID = b"PARQUET:field_id"


@dataclass(frozen=True)
class Matching:
    """How a column of the table is found in its files.

    Attributes:
        table_key: The metadata of a field of the table's schema that names its column in files; None: its name.
        file_key: The metadata of a field of a file that this is compared with; None: its name.
        names: (key, names) of the columns in files that have no such metadata at all.
    """

    table_key: bytes | None = None
    file_key: bytes | None = None
    names: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def stored(self, field: pa.Field, fields: list[pa.Field], file: str, top: bool = False) -> pa.Field | None:
        """Return that of a file's fields which holds the values of a field of the table; None if none does.

        Args:
            field: The field of the table.
            fields: The fields of the file, or of a struct in it.
            file: The file, for the message.
            top: Whether they are columns, for which `names` counts.

        Raises:
            ConfigError: The file's fields do not say what they are compared by.
        """
        wanted = _key(field, self.table_key)
        if self.file_key is not None and not any(_key(one, self.file_key) for one in fields):
            if not (top and self.names):
                raise ConfigError(f"input.path: {file!r} has no ids of fields, by which its columns are matched")
            known = dict(self.names).get(wanted or "", ())
            found = [one for one in fields if one.name in known]
        else:
            found = [one for one in fields if wanted is not None and _key(one, self.file_key) == wanted]
        return found[0] if found else None


def _key(field: pa.Field, key: bytes | None) -> str | None:
    value = field.name if key is None else (field.metadata or {}).get(key)
    return value.decode() if isinstance(value, bytes) else value


def stored_columns(
    schema: pa.Schema, stored: pa.Schema, matching: Matching, file: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Find the columns of a table in one of its files.

    Args:
        schema: The columns of the table.
        stored: The columns of the file.
        matching: How they are matched.
        file: The file, for messages.

    Returns:
        Column of the table -> column of the file, without those that the file lacks; and column of the table -> why it
        cannot be read.

    Raises:
        ConfigError: The file's columns have no ids, and are matched by these.
    """
    names, unreadable = dict[str, str](), dict[str, str]()
    for field in schema:
        held = matching.stored(field, list(stored), file, top=True)
        if held is None:
            continue
        try:
            as_named(pa.array([], held.type), field, matching, file)
        except ConfigError as error:
            unreadable[field.name] = str(error).removeprefix("input.path: ")
        else:
            names[field.name] = held.name
    return names, unreadable


def as_named(
    values: pa.ChunkedArray | pa.Array, field: pa.Field, matching: Matching, file: str
) -> pa.ChunkedArray | pa.Array:
    """Return the values of a column of a file with the field names, in structs, that the table has for them.

    Raises:
        ConfigError: The values do not fit the table's type.
    """
    if isinstance(values, pa.ChunkedArray):
        return pa.chunked_array([as_named(chunk, field, matching, file) for chunk in values.chunks], field.type)
    if pa.types.is_struct(field.type) and pa.types.is_struct(values.type):
        fields = [values.type.field(i) for i in range(values.type.num_fields)]
        parts = []
        for child in (field.type.field(i) for i in range(field.type.num_fields)):
            held = matching.stored(child, fields, file)
            if held is None:
                parts.append(pa.nulls(len(values), child.type))
            else:
                parts.append(as_named(values.field(values.type.get_field_index(held.name)), child, matching, file))
        targets = [field.type.field(i) for i in range(field.type.num_fields)]
        return pa.StructArray.from_arrays(parts, fields=targets, mask=values.is_null())
    if _names(field.type) and (matching.table_key or matching.file_key):
        raise ConfigError(
            f"input.path: column {field.name!r} is {field.type}; in {file!r} its log matches nested fields by other "
            "names or by ids, which is read of structs and not of lists and maps of structs"
        )
    return cast(values, field, file)


def _names(kind: pa.DataType) -> bool:
    """Return whether a type has structs within."""
    return pa.types.is_struct(kind) or any(_names(kind.field(i).type) for i in range(kind.num_fields))
