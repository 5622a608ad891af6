"""The table of texts of `rank`, and its table of candidates: read and checked once, before anything starts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.common.error_codes import values_or_failures
from pipeline.common.errors import ConfigError, first_line
from pipeline.common.row_ids import from_keys, id_type, ids_of, key_type, keys_of, shown_id
from pipeline.config.input import InputConfig
from pipeline.config.job import JobConfig
from pipeline.config.texts import CandidatesConfig
from pipeline.storage.filesystem import storage_errors
from pipeline.tables.column_checks import require_ids
from pipeline.tables.id_checks import count_repeated
from pipeline.tables.rank_inputs.first_stage import open_first_stage
from pipeline.tables.rank_inputs.texts import Candidates, RankTexts
from pipeline.tables.reading import read_columns
from pipeline.tables.schemas import require_column
from pipeline.tables.table import InputTable, open_files
from vilt.common.counts import counted

EXAMPLES = 3
WINDOW = 10_000  # rows that are read at a time


def read_texts(config: JobConfig, images: InputTable) -> RankTexts:
    """Read the table of texts, and the candidates if there are some. Raises ConfigError."""
    spec = config.texts
    assert spec is not None
    names = list(dict.fromkeys([spec.text, *([spec.id] if spec.id else [])]))
    table = _read(config, InputConfig(path=spec.path, id=spec.id, format=spec.format), "texts", names)
    if not table.num_rows:
        raise ConfigError(f"texts.path: {spec.path!r} holds no texts")
    if not pa.types.is_string(table[spec.text].type) and not pa.types.is_large_string(table[spec.text].type):
        raise ConfigError(f"texts.text: column {spec.text!r} is {table[spec.text].type}; a text is a string")
    ids = pa.array(np.arange(table.num_rows)) if spec.id is None else _ids(table, spec.id, "texts.id")
    counts = pc.value_counts(keys_of(ids))
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        first = shown_id(from_keys(twice.field("values"), ids.type)[0])
        raise ConfigError(f"texts.id: {spec.id!r} names several texts with {first}; ids are unique")
    texts = values_or_failures(table[spec.text], "text_invalid")
    if isinstance(spec.candidates, CandidatesConfig):
        found = RankTexts(ids, texts, None)
        return replace(found, first_stage=open_first_stage(config, images, ids, found.readable))
    candidates = _read_candidates(config, spec.candidates, ids, images) if spec.candidates else None
    return RankTexts(ids, texts, candidates)


def _read_candidates(config: JobConfig, path: str, text_ids: pa.Array, images: InputTable) -> Candidates:
    assert config.input.id is not None
    key, columns = "texts.candidates", ["text_id", "image_id"]
    table = _read(config, InputConfig(path=path), key, columns)
    image_type = id_type(images.schema.field(config.input.id).type)
    text, image = (
        _keys(table, name, key, kind) for name, kind in zip(columns, (text_ids.type, image_type), strict=True)
    )
    ids = [_ids(rows, config.input.id, "input.id") for rows in read_columns(images, [config.input.id], WINDOW)]
    _check_known(text, keys_of(text_ids), "text_id")
    _check_known(image, pa.concat_arrays(map(keys_of, ids)), "image_id")
    found = Candidates.of_pairs(image, pc.index_in(text, keys_of(text_ids)).to_numpy().astype(np.int64))
    return replace(found, id_counts=count_repeated(ids, image_type))


def _check_known(ids: pa.Array, known: pa.Array, column: str) -> None:
    """Check that all keys are among the known ones; raise ConfigError that counts and lists the others."""
    unknown = pc.unique(ids.filter(pc.invert(pc.is_in(ids, known))))
    if len(unknown):
        unknown = unknown.take(pc.sort_indices(unknown))
        some = ", ".join(map(shown_id, unknown[:EXAMPLES]))
        more = ", ..." if len(unknown) > EXAMPLES else ""
        raise ConfigError(
            f"texts.candidates: {counted(len(unknown), f'value of {column} is', f'values of {column} are')} unknown: "
            f"{some}{more}"
        )


def _read(config: JobConfig, spec: InputConfig, key: str, names: list[str]) -> pa.Table:
    """Return these columns of a small table; errors name the section `key`."""
    try:
        found = open_files(spec, config.storage, names)
        for name in names:
            require_column(found.schema, key, name)
        parts = [part.select(names) for part in read_columns(found, names, WINDOW)]
        return pa.concat_tables([found.schema.empty_table().select(names), *parts])
    except ConfigError as error:
        raise ConfigError(str(error).replace("input.path", f"{key}.path" if key == "texts" else key)) from None
    except storage_errors() as error:
        raise ConfigError(f"{key}: cannot read {spec.path!r}: {first_line(error)}") from None


def _ids(table: pa.Table, name: str, key: str) -> pa.Array:
    """Return ids. Raises ConfigError if values of the column are none, or null."""
    column = table[name]
    require_ids(table.schema.field(name), key, "name a column of ids")
    if column.null_count:
        raise ConfigError(f"{key}: column {name!r} holds {column.null_count} nulls; each row needs an id")
    return ids_of(column).combine_chunks()


def _keys(table: pa.Table, name: str, key: str, kind: pa.DataType) -> pa.Array:
    """Return the keys of ids that are ids of type `kind` elsewhere. Raises ConfigError if they cannot be."""
    ids = _ids(table, name, key)
    try:
        return keys_of(ids).cast(key_type(kind))
    except pa.ArrowException as error:
        raise ConfigError(
            f"{key}: column {name!r} is {ids.type}, and the ids it names are {kind}: {first_line(error)}"
        ) from None
