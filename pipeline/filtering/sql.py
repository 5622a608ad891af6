"""SQL as DuckDB reads it: quoting, messages, and names that it can tell apart."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from copy import copy
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.common.errors import first_line

_STRINGS = re.compile(r"'(?:[^']|'')*'")
_NAMES = re.compile(r'"((?:[^"]|"")+)"|(\w+)')


def quoted(name: str) -> str:
    """Return a column's name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a string as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def without_kind(error: duckdb.Error) -> str:
    """Return the first line of DuckDB's message, without the kind of the error in front."""
    return first_line(error).partition("Error: ")[2].rstrip(".!") or first_line(error)


def columns_read(database: duckdb.DuckDBPyConnection, sql: Callable[[str], str], schema: pa.Schema) -> list[str]:
    """Return the columns that a query reads of a table; all of them if DuckDB's plan does not say.

    Args:
        database: The database.
        sql: Makes the query, of the name of the table.
        schema: The columns of the table.
    """
    numbered = pa.schema([field.with_name(f"c{number}_") for number, field in enumerate(schema)])
    database.register("planned", numbered.empty_table())
    try:
        plan = database.execute(f"EXPLAIN (FORMAT JSON) {sql('planned')}").fetchall()[0][1]
    finally:
        database.unregister("planned")
    scans = list(_scans(json.loads(plan)))
    if len(scans) != 1 or not scans[0]:
        return list(schema.names)
    read = {name.partition(".")[0].strip('"') for name in scans[0]}
    return [field.name for number, field in enumerate(schema) if f"c{number}_" in read]


def _scans(plan: Any) -> Iterator[list[str]]:
    """Yield the columns of each scan of a table in a plan of DuckDB."""
    for node in plan:
        if "ARROW_SCAN" in node["name"]:
            found = node.get("extra_info", {}).get("Projections", [])
            yield [found] if isinstance(found, str) else found
        yield from _scans(node["children"])


class SqlNames:
    """The names under which DuckDB, which ignores case, knows the columns of a schema.

    A column that a job made keeps its name; of other columns whose names differ in case only, all get another one.

    Attributes:
        schema: The columns.
        by_column: Column -> its name in SQL, not quoted.
    """

    def __init__(self, schema: pa.Schema, made: Collection[str]) -> None:
        """Name the columns of `schema`, of which a job made those in `made`."""
        self.schema = schema
        groups: dict[str, list[str]] = defaultdict(list)
        for name in schema.names:
            groups[name.lower()].append(name)
        self.by_column = {name: name for name in schema.names}
        self._ambiguous: dict[str, list[str]] = {}
        self._owners: set[str] = set()
        for names in groups.values():
            if len(names) == 1:
                continue
            owners = [name for name in names if name in made]
            self._ambiguous[names[0].lower()] = names
            self._owners.update(owners)
            for name in names:
                if name not in owners:
                    self.by_column[name] = self._unused(name)
        for names in _fields_that_differ_in_case(schema):
            self._ambiguous.setdefault(names[0].lower(), names)

    def relation(self, name: str) -> str:
        """Return SQL for the registered table `name`, of this schema, with the names that tell its columns apart."""
        return f"{name} AS named({', '.join(quoted(self.by_column[column]) for column in self.schema.names)})"

    def only(self, names: Sequence[str]) -> SqlNames:
        """Return the same names for some of the columns."""
        some = copy(self)
        some.schema = pa.schema([self.schema.field(name) for name in names])
        return some

    @property
    def written(self) -> list[str]:
        """Return the columns as a person writes them in a condition."""
        return [name if re.fullmatch(r"\w+", name) else quoted(name) for name in self.by_column.values()]

    def column(self, name: str) -> str:
        """Return a column's name as SQL writes it."""
        return quoted(self.by_column[name])

    def not_told_apart(self, sql: str) -> list[str] | None:
        """Return the columns that differ in case only if `sql` names one of them other than the job's own."""
        for match in _NAMES.finditer(_STRINGS.sub("''", sql)):
            name = match[1].replace('""', '"') if match[1] else match[2]
            names = self._ambiguous.get(name.lower())
            if names is not None and name not in self._owners:
                return names
        return None

    def _unused(self, name: str) -> str:
        taken = {other.lower() for other in (*self.schema.names, *self.by_column.values())}
        number = 2
        while f"{name} ({number})".lower() in taken:
            number += 1
        return f"{name} ({number})"


def _fields_that_differ_in_case(kinds: pa.Schema | pa.DataType) -> Iterator[list[str]]:
    """Yield the names of fields within one struct, at any depth, that differ in case only."""
    inner = list(kinds) if isinstance(kinds, pa.Schema) else [kinds.field(i) for i in range(kinds.num_fields)]
    if isinstance(kinds, pa.DataType) and pa.types.is_struct(kinds):
        groups: dict[str, list[str]] = defaultdict(list)
        for one in inner:
            groups[one.name.lower()].append(one.name)
        yield from (names for names in groups.values() if len(names) > 1)
    for one in inner:
        if pa.types.is_nested(one.type):
            yield from _fields_that_differ_in_case(one.type)
