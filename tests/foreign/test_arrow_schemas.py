"""Whatever columns a table has: a Delta table of results holds their values, or the job is refused before any work."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder
from hypothesis import HealthCheck, assume, example, given, settings

from pipeline import ConfigError
from tests.foreign.arrow_tables import columns
from tests.pipeline.killed import the_dead_are_dead
from tests.pipeline.reindexing.world import World, world
from tests.pipeline.results.plain import values

assert the_dead_are_dead  # a fixture of every test here
assert world  # a fixture
OUTCOMES = Counter[str]()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(table=columns())
@example(table={"x": pa.array([2**64 - 1], pa.uint64())})
@example(table={"x": pa.array([1], pa.timestamp("ns"))})
@example(table={"a": pa.array([1]), "a.b": pa.array(["x"])})
def test_values_are_equal_or_refused(world: Callable[[], World], table: dict[str, pa.Array]) -> None:
    here = world()
    try:
        try:
            here.put_table("1", **table)
        except (pa.ArrowException, OSError):  # what Parquet does not hold
            assume(False)
        try:
            here.run()
        except ConfigError as error:
            OUTCOMES["refused"] += 1
            assert "\n" not in str(error)
            assert not (here.folder / "out").exists()
            return
        OUTCOMES["equal"] += 1
        found = here.table()
        for name, column in table.items():
            assert values(found[name]) == values(column), name
        delta, rows = DeltaTable(here.folder / "out"), len(here.files["1"])
        database = duckdb.connect()
        database.register("t", delta.to_pyarrow_dataset())
        query = "SELECT count(*) AS n FROM t WHERE id >= 0"
        assert database.execute(query).fetchall() == [(rows,)]
        assert pa.table(QueryBuilder().register("t", delta).execute(query).read_all())["n"].to_pylist() == [rows]
        assert here.run() is None
    finally:
        shutil.rmtree(here.folder)


def test_both_outcomes_were_met() -> None:
    assert OUTCOMES["equal"] > 10
    assert OUTCOMES["refused"] > 2
