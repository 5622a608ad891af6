"""Names as DuckDB compares them: whatever a user calls columns, each can be told from the others."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.filtering.sql import SqlNames, quoted
from pipeline.tables.database import temporary_database

NAMES = st.lists(st.text(st.sampled_from('aAbB_é".( 2)'), min_size=1, max_size=4), min_size=1, max_size=8, unique=True)


@settings(max_examples=20, deadline=None)
@given(names=NAMES, data=st.data())
def test_every_column_has_a_name_of_its_own_and_keeps_its_values(names: list[str], data: st.DataObject) -> None:
    made = data.draw(st.sets(st.sampled_from(names), max_size=1))
    table = pa.table([[number] for number in range(len(names))], names=names)
    known = SqlNames(table.schema, made)
    assert len({name.lower() for name in known.by_column.values()}) == len(names)
    assert all(known.by_column[name] == name for name in made)
    with temporary_database() as database:
        database.register("given", table)
        for number, name in enumerate(names):
            query = f"SELECT {known.column(name)} FROM {known.relation('given')} WHERE {known.column(name)} = {number}"
            assert database.execute(query).fetchall() == [(number,)]


@pytest.mark.parametrize(
    ("sql", "same"),
    [
        ("score > 1", None),
        ('"score" > 1', None),
        ("Score > 1", ["Score", "score"]),
        ('"SCORE" > 1', ["Score", "score"]),
        ("kind = 'Score'", None),
        ("kind = 'it''s' and SCORE > 1", ["Score", "score"]),
        ("meta.B > 1", ["b", "B"]),
        ("len(items) > 1", None),
        ('"Score (2)" > 1', None),
    ],
)
def test_a_name_that_is_not_told_apart(sql: str, same: list[str] | None) -> None:
    inner = pa.struct([("b", pa.int64()), ("B", pa.int64())])
    columns = [("Score", pa.int64()), ("score", pa.float32()), ("kind", pa.string()), ("meta", pa.list_(inner))]
    schema = pa.schema([*columns, ("items", pa.list_(pa.int64()))])
    assert SqlNames(schema, {"score"}).not_told_apart(sql) == same


def test_names_as_a_person_writes_them() -> None:
    schema = pa.schema([("Score", pa.int64()), ("score", pa.int64()), ("odd name", pa.int64())])
    assert SqlNames(schema, {"score"}).written == [quoted("Score (2)"), "score", quoted("odd name")]
