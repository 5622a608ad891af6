"""The table of texts of `rank`, and its table of candidates: read and checked once, before anything starts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.common.error_codes import values_or_failures
from pipeline.common.errors import ConfigError, first_line
from pipeline.config.input import InputConfig
from pipeline.config.job import JobConfig
from pipeline.storage.filesystem import STORAGE_ERRORS
from pipeline.tables.rank_texts import Candidates, RankTexts
from pipeline.tables.schemas import require_column
from pipeline.tables.table import InputTable, open_files, read_columns

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
    ids = np.arange(table.num_rows) if spec.id is None else _ids(table, spec.id, "texts.id")
    if len(np.unique(ids)) < len(ids):
        values, counts = np.unique(ids, return_counts=True)
        raise ConfigError(f"texts.id: {spec.id!r} names several texts with {values[counts > 1][0]}; ids are unique")
    texts = values_or_failures(table[spec.text], "text_invalid")
    candidates = _read_candidates(config, ids, images) if spec.candidates else None
    return RankTexts(ids, texts, candidates)


def _read_candidates(config: JobConfig, text_ids: np.ndarray, images: InputTable) -> Candidates:
    assert config.texts is not None
    assert config.texts.candidates is not None
    assert config.input.id is not None
    key, columns = "texts.candidates", ["text_id", "image_id"]
    table = _read(config, InputConfig(path=config.texts.candidates), key, columns)
    text, image = (_ids(table, name, key) for name in columns)
    known = np.sort(
        np.concatenate([_ids(t, config.input.id, "input.id") for t in read_columns(images, [config.input.id], WINDOW)])
    )
    order = np.argsort(text_ids)
    _check_known(text, text_ids[order], "text_id")
    _check_known(image, known, "image_id")
    number = order[np.searchsorted(text_ids[order], text)]  # of each text in the table of texts
    pairs = np.unique(np.stack([image, number], 1), axis=0)  # sorted by image, then by text
    distinct, begins = np.unique(pairs[:, 0], return_index=True)
    return Candidates(distinct, np.append(begins, len(pairs)), np.ascontiguousarray(pairs[:, 1]))


def _check_known(ids: np.ndarray, known: np.ndarray, column: str) -> None:
    """Check that all ids are among the sorted `known`; raise ConfigError that counts and lists the others."""
    unknown = np.unique(ids[~np.isin(ids, known)])
    if len(unknown):
        some = ", ".join(map(str, unknown[:EXAMPLES].tolist()))
        more = ", ..." if len(unknown) > EXAMPLES else ""
        raise ConfigError(f"texts.candidates: {len(unknown):,} values of {column} are unknown: {some}{more}")


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
    except STORAGE_ERRORS as error:
        raise ConfigError(f"{key}: cannot read {spec.path!r}: {first_line(error)}") from None


def _ids(table: pa.Table, name: str, key: str) -> np.ndarray:
    """Return int64 ids. Raises ConfigError if they are no integers, or null."""
    column = table[name]
    if not pa.types.is_integer(column.type) or column.null_count:
        what = f"{column.null_count} nulls" if pa.types.is_integer(column.type) else str(column.type)
        raise ConfigError(f"{key}: column {name!r} holds {what}; ids are integers")
    ids: np.ndarray = pc.cast(column, pa.int64(), safe=False).to_numpy()
    return ids
