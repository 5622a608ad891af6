"""A job on its output folder, stopped before each of its steps on the storage: the next run makes it whole."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray.data._internal.execution.interfaces import TaskContext

from pipeline import ConfigError
from pipeline.common.errors import RowsLostError
from pipeline.common.row_ranges import row_key
from pipeline.results.output_folder import OutputFolder
from pipeline.results.parquet_sink import ParquetSink
from pipeline.results.result_parts import ResultParts
from pipeline.stages.batch_stats import BatchStats
from tests.pipeline.killed import Killed, Storage, the_dead_are_dead

assert the_dead_are_dead  # a fixture of every test here
ROWS, FILE_ROWS = 12, 5
IDENTITY = {"config": "c", "model": "m", "input": "i"}


def results(places: np.ndarray, texts: int = 1, errors: dict[int, str] | None = None) -> pa.Table:
    """What the actor gives for these rows, with `texts` rows each."""
    places = np.repeat(places, texts)
    count = len(places)
    failed = [(errors or {}).get(int(place)) for place in places]
    stats = BatchStats(pairs=count, tokens=10 * count, seconds=1.0, precision="float32", device="cpu")
    table = pa.table(
        {
            "row": places,
            "__row_key": places,
            "__texts": pa.array([texts] * count, pa.int32()),
            "error": pa.array(failed, pa.string()),
        }
    )
    return stats.attach(table)


def job(
    storage: Storage,
    out: Path,
    run: str,
    blocks: Callable[[np.ndarray], list[list[pa.Table]]],
    overwrite: bool = False,
    retry_errors: bool = False,
    identity: dict[str, str] = IDENTITY,
) -> dict[str, Any] | None:
    """Run a whole job as `pipeline.scoring.run` does. blocks: those of each file, for the rows that are left."""
    output = OutputFolder(storage, str(out), identity)
    progress = ResultParts(output)
    output.__enter__()
    try:
        finished = output.begin(overwrite, retry_errors)
        if finished is None:
            progress.load()
        if finished is None and retry_errors and not progress.keep_finished():
            finished = output.out.read("_summary.json")
        if finished is None:
            every = np.array([row_key(0, row) for row in range(ROWS)])
            left = every[~progress.done.contains(every)]
            sink = ParquetSink(storage, progress.folder, run, {"vilt.model": "m"}, 100, FILE_ROWS)
            for i, tables in enumerate(blocks(left)):
                written = sink.write(tables, TaskContext(task_idx=i, op_name="write"))
                assert written
                progress.parts.append(written)
            progress.audit(ROWS)
            output.publish({"identity": identity, "run": run}, progress.new_names())
    except Exception:  # a killed process does nothing any more
        output.__exit__()
        raise
    output.__exit__()
    return finished


def files_of(left: np.ndarray, errors: dict[int, str] | None = None) -> list[list[pa.Table]]:
    """A file for every `FILE_ROWS` rows."""
    parts = np.array_split(left, -(-len(left) // FILE_ROWS)) if len(left) else []
    return [[results(part, errors=errors)] for part in parts]


def check(out: Path, texts: int = 1) -> list[dict[str, Any]]:
    """Each row is there, as often as it has texts, and nothing else is in the folder."""
    names = {path.name for path in out.iterdir()}
    assert "_summary.json" in names
    assert all(name.startswith("part-") for name in names - {"_summary.json"})
    rows = pq.read_table(out).to_pylist()
    assert Counter(row["row"] for row in rows) == Counter({row_key(0, row): texts for row in range(ROWS)})
    assert set(rows[0]) == {"row", "error"}
    return rows


def kill_before_every_step(tmp_path: Path, run: Callable[[Storage, Path], Any], before: Callable[[Path], Any]) -> int:
    """Kill the run before its 1st, 2nd, ... step; run it again each time, and check the result."""
    for kill_at in range(1, 200):
        out = tmp_path / str(kill_at)
        before(out)
        storage = Storage(kill_at)
        try:
            run(storage, out)
        except Killed:
            run(Storage(), out)
            check(out)
        else:
            check(out)
            return kill_at - 1
    raise AssertionError("it never ends")


def test_killed_before_any_step(tmp_path: Path) -> None:
    runs = iter(range(10_000))
    steps = kill_before_every_step(
        tmp_path, lambda storage, out: job(storage, out, f"r{next(runs)}", files_of), lambda _: None
    )
    assert steps > 15


def test_killed_while_it_replaces_an_earlier_output(tmp_path: Path) -> None:
    runs = iter(range(10_000))

    def run(storage: Storage, out: Path) -> None:
        job(storage, out, f"r{next(runs)}", files_of, overwrite=True)

    kill_before_every_step(tmp_path, run, lambda out: job(Storage(), out, "old", files_of))


def test_killed_while_errors_are_tried_again(tmp_path: Path) -> None:
    runs = iter(range(10_000))
    errors = {row_key(0, 1): "fetch_timeout", row_key(0, 3): "image_corrupt", row_key(0, 11): "fetch_throttled"}

    def run(storage: Storage, out: Path) -> None:
        again = {row_key(0, 11): "fetch_throttled"}
        job(storage, out, f"r{next(runs)}", lambda left: files_of(left, again), retry_errors=True)

    def before(out: Path) -> None:
        job(Storage(), out, "old", lambda left: files_of(left, errors))

    kill_before_every_step(tmp_path, run, before)
    out = tmp_path / "1"
    assert {row["row"]: row["error"] for row in check(out) if row["error"]} == {
        row_key(0, 3): "image_corrupt",
        row_key(0, 11): "fetch_throttled",
    }
    assert job(Storage(), out, "last", files_of, retry_errors=True) is None
    assert {row["error"] for row in check(out)} == {None, "image_corrupt"}
    assert job(Storage(), out, "none", files_of, retry_errors=True) is not None, "nothing may pass any more"


def test_done_is_done(tmp_path: Path) -> None:
    assert job(Storage(), tmp_path / "out", "a", files_of) is None
    assert job(Storage(), tmp_path / "out", "b", files_of) == {"identity": IDENTITY, "run": "a"}
    assert job(Storage(), tmp_path / "out", "c", files_of, overwrite=True) is None
    assert all("-c-" in path.name for path in (tmp_path / "out").glob("*.parquet"))


def test_another_job_does_not_go_on_by_accident(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Killed):
        job(Storage(8), out, "a", files_of)
    other = {**IDENTITY, "model": "other"}
    with pytest.raises(ConfigError, match="holds an unfinished job of another model; finish it with that"):
        job(Storage(), out, "b", files_of, identity=other)
    with pytest.raises(ConfigError, match="unfinished job of another retry_errors"):
        job(Storage(), out, "b", files_of, retry_errors=True)
    job(Storage(), out, "b", files_of, identity=other, overwrite=True)
    check(out)
    assert json.loads((out / "_summary.json").read_text())["identity"] == other
    with pytest.raises(ConfigError, match=r"already holds \d \.parquet files?; .* set output\.overwrite=true"):
        job(Storage(), out, "c", files_of)
    with pytest.raises(ConfigError, match="does not hold the results of this config and input"):
        job(Storage(), out, "c", files_of, retry_errors=True)
    with pytest.raises(ConfigError, match="holds no results; run the job without it first"):
        job(Storage(), tmp_path / "new", "c", files_of, retry_errors=True)
    assert not (tmp_path / "new" / "_progress").exists()


def test_another_jobs_results_are_not_taken_for_ones_own(tmp_path: Path) -> None:
    """It was stopped in the middle of publishing: the next job finishes that, and says whose results are there."""
    other = {**IDENTITY, "model": "other"}
    for kill_at in range(1, 200):
        out, storage = tmp_path / str(kill_at), Storage(kill_at)
        try:
            job(storage, out, "a", files_of)
        except Killed:
            if (out / "_progress" / "publish.json").exists():
                with pytest.raises(ConfigError, match=r"already holds 3 \.parquet files"):
                    job(Storage(), out, "b", files_of, identity=other)
                check(out)
        else:
            break
    assert json.loads((tmp_path / "12" / "_summary.json").read_text())["run"] == "a"


@pytest.mark.parametrize("kill_at", range(4, 20))
def test_rows_whose_texts_are_split_between_files(tmp_path: Path, kill_at: int) -> None:
    def split(left: np.ndarray) -> list[list[pa.Table]]:
        """Three texts a row; the first file ends after the first text of a row."""
        if not len(left):
            return []
        table = results(left, texts=3)
        cuts = [0, min(FILE_ROWS * 3 + 1, table.num_rows), table.num_rows]
        return [[table.slice(a, b - a)] for a, b in pairwise(cuts) if b > a]

    out = tmp_path / "out"
    try:
        job(Storage(kill_at), out, "a", split)
    except Killed:
        job(Storage(), out, "b", split)
    check(out, texts=3)


def test_rows_that_are_missing_or_double_are_not_published(tmp_path: Path) -> None:
    with pytest.raises(RowsLostError, match="12 rows in, 10 rows out"):
        job(Storage(), tmp_path / "a", "a", lambda left: files_of(left[:10]))
    with pytest.raises(RowsLostError, match="1 file that does not hold together"):
        job(Storage(), tmp_path / "b", "a", lambda left: [*files_of(left), *files_of(left[:3])])
    for name in ("a", "b"):
        assert not list((tmp_path / name).glob("*.parquet"))
        job(Storage(), tmp_path / name, "b", files_of)
        check(tmp_path / name)
