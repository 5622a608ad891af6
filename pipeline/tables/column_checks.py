"""Check that the columns that a config names can be images, texts and ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.common.columns import ROW_HASH, ROW_ID
from pipeline.common.errors import ConfigError
from pipeline.common.row_ids import DECIMAL_DIGITS, id_type
from pipeline.config.job import JobConfig
from pipeline.tables.regions import check_features
from pipeline.tables.schemas import decoded, is_bytes, is_bytes_or_path, is_list, is_text, require_column


@dataclass(frozen=True)
class Columns:
    """The columns to read, and whether the text column holds lists."""

    names: list[str]
    text_is_list: bool


def check_columns(schema: pa.Schema, config: JobConfig) -> Columns:
    """Check every column that the config names against a table's schema.

    Raises:
        ConfigError: A column is missing or of a wrong type; the message names the key of the config.
    """
    spec = config.input
    for key, names in (
        ("input.image", config.image_columns),
        ("input.text", config.text_columns),
        ("input.features", config.region_columns[:1]),
        ("input.features_mask", config.region_columns[1:]),
        ("input.columns", spec.columns or []),
    ):
        for name in names:
            require_column(schema, key, name)
    check_id(schema, spec.id)
    for name in config.image_columns:
        _check_image(schema.field(name), lists=config.image_columns == [name] and config.tasks == ["reason"])
    if config.region_columns:
        features, *mask = (schema.field(name) for name in config.region_columns)
        check_features(features, *(mask or [None]))
    lists = [_text_is_list(schema.field(name)) for name in config.text_columns]
    if any(lists) and len(lists) > 1:
        raise ConfigError(
            "input.text: lists of texts come from one column; give that column alone, without tasks and others"
        )
    if config.in_input_order and (any(lists) or config.texts_in_columns):
        key = "join" if config.output.join else "format"
        texts = f"column {config.text_columns[0]!r} holds lists" if any(lists) else "input.text names several columns"
        raise ConfigError(
            f"output.{key}: {texts}, and each text is a row of results: the rows would not be those of the input; "
            "leave the key out, and join by row_id"
        )
    return Columns(_columns_to_read(config, schema.names), any(lists))


def check_id(schema: pa.Schema, id_column: str | None) -> None:
    """Check the column of ids, if there is one.

    Raises:
        ConfigError: It is missing, or its values are no ids.
    """
    if id_column is not None:
        require_column(schema, "input.id", id_column)
        require_ids(schema.field(id_column), "input.id", "leave the key out")


def require_ids(field: pa.Field, key: str, otherwise: str) -> None:
    """Check that the values of a column are ids.

    Args:
        field: The column.
        key: The key of the config that names it.
        otherwise: What to do instead, for the message.

    Raises:
        ConfigError: They are not.
    """
    if id_type(field.type) is None:
        raise ConfigError(
            f"{key}: column {field.name!r} is {field.type}; ids are integers, strings, bytes, UUIDs, decimals of up to "
            f"{DECIMAL_DIGITS} digits, dates or timestamps (with a zone: of microseconds at most): {otherwise}"
        )


def _check_image(field: pa.Field, lists: bool) -> None:
    kind = decoded(field.type.value_type if is_list(field.type) and lists else field.type)
    if not (is_bytes(kind) or is_text(kind) or is_bytes_or_path(kind)):
        raise ConfigError(
            f"input.image: column {field.name!r} is {kind}; an image is binary, a string with its URI, or a struct "
            "of both as {bytes, path}"
        )


def _text_is_list(field: pa.Field) -> bool:
    if not is_text(decoded(field.type.value_type if is_list(field.type) else field.type)):
        raise ConfigError(f"input.text: column {field.name!r} is {field.type}; a text is a string or a list of strings")
    return is_list(field.type)


def _columns_to_read(config: JobConfig, names: Sequence[str]) -> list[str]:
    """Return the user's columns, and those the job needs. Raises ConfigError if one has the name of an added column."""
    spec = config.input
    carried = list(names) if spec.columns is None else spec.columns
    added = set(config.added_columns) - ({ROW_ID} if spec.id == ROW_ID else set())
    clash = [name for name in carried if name in added]
    if clash:
        raise ConfigError(
            f"input.columns: the table has a column {clash[0]!r}, a name that the job adds; "
            f"list the columns to carry without it{' (or set input.id=row_id)' if clash[0] == ROW_ID else ''}"
        )
    needed = [*config.image_columns, *config.region_columns, *config.text_columns, *([spec.id] if spec.id else [])]
    return [name for name in names if name in {*carried, *needed} and name != ROW_HASH]
