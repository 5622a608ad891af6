"""Shards of a job become one result: the same as one run gives, or a line that says why not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.commands.batch import run_file
from jobs.commands.merge import merge_output
from jobs.commands.report import report_output
from jobs.commands.show import show_output
from pipeline import ConfigError, JobConfig, Summary, run
from pipeline.common.errors import RowsLostError, TooManyErrorsError
from pipeline.common.row_ranges import RowSet, row_key
from pipeline.config.storage import StorageConfig
from pipeline.reporting.access import Access
from pipeline.results.file_footer import FOOTER, ResultFile
from pipeline.results.reader import open_results
from pipeline.results.result_table import result_files
from pipeline.results.shards.merging import merge
from pipeline.tables.reading import read_columns
from pipeline.tables.table import open_table
from tests.pipeline.scoring.flowless import without_ray

pytestmark = pytest.mark.usefixtures("ray_cluster")
Rows = list[dict[str, Any]]
FILES, SHARDS = 8, 2


class Sharded(NamedTuple):
    """A table, the output of its shards, not merged yet, and that of one run over all of it. Tests work on copies."""

    table: str
    out: Path
    whole: Summary


def job(table: str, out: str, shard: str | None, **output: Any) -> JobConfig:
    values = {
        "input": {"path": table, "text": "caption", "id": "id", "shard": shard},
        "model": "zoo://scenes",
        "output": {"path": out, "report": False, "rows_per_file": 8, **output},
        "precision": "float32",
        "max_error_rate": 1,
        "batch": {"window_rows": 16, "tokens": 512},
    }
    return JobConfig.parse("score", values)


@pytest.fixture(scope="module")
def sharded(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory, scene_rows: Callable[[int], Rows]) -> Sharded:
    del ray_cluster
    folder, rows = tmp_path_factory.mktemp("sharded"), scene_rows(48)
    rows[5]["image"] = b"no image"
    (folder / "table").mkdir()
    for i in range(FILES):
        pq.write_table(pa.Table.from_pylist(rows[6 * i : 6 * i + 6]), folder / "table" / f"{i:03d}.parquet")
    table, out = str(folder / "table"), folder / "out"
    for index in range(SHARDS):
        run(job(table, str(out), f"{index}/{SHARDS}"))
    return Sharded(table, out, run(job(table, str(folder / "whole"), None)))


@pytest.fixture
def out(sharded: Sharded, tmp_path: Path) -> Path:
    shutil.copytree(sharded.out, tmp_path / "out")
    return tmp_path / "out"


def test_shards_are_one_result(sharded: Sharded, out: Path) -> None:
    summary = merge(str(out), StorageConfig())
    whole = sharded.whole
    for name in ("rows_in", "rows_out", "pairs", "scored", "rejected", "identity", "written", "lineage", "input"):
        assert getattr(summary, name) == getattr(whole, name), name
    assert all((out / name).is_file() for name in summary.files)
    paths = {str(path.relative_to(out)) for path in out.rglob("*.parquet")}
    assert paths == set(summary.files), "nothing was copied or moved"
    expected = pd.read_parquet(whole.output).sort_values("id", ignore_index=True)
    by_pandas = pd.read_parquet(out).sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(by_pandas, expected, atol=1e-3)  # matrix products of other sizes
    assert pl.read_parquet(f"{out}/**/*.parquet").height == 48
    results = open_results(str(out), "scores", StorageConfig())
    found = pa.concat_tables(results.read(["id"], 100))["id"].to_pylist()
    assert sorted(found) == expected["id"].tolist()
    read = [
        n for rows in read_columns(result_files(str(out), StorageConfig()), ["id"], 64) for n in rows["id"].to_pylist()
    ]
    assert sorted(read) == expected["id"].tolist()
    assert json.loads((out / "_input.json").read_text()) == json.loads(Path(whole.output, "_input.json").read_text())


def test_a_run_over_the_whole_table_has_nothing_to_do(sharded: Sharded, out: Path) -> None:
    merge(str(out), StorageConfig())
    assert run(job(sharded.table, str(out), None)).finished_before
    assert run(job(sharded.table, str(out), "1/2")).finished_before
    with pytest.raises(ConfigError, match=r"holds 2 shards .* they are another job's"):
        run(job(sharded.table, str(out), None, overwrite=True))
    with pytest.raises(ConfigError, match=r"holds 2 shards .* repeat their errors one by one"):
        run(job(sharded.table, str(out), None), retry_errors=True)
    with pytest.raises(ConfigError, match=r"holds shard-00000-of-00002, a shard of 2, and this is one of 4"):
        run(job(sharded.table, str(out), "0/4"))


def test_shards_are_not_mixed_with_a_whole_job(sharded: Sharded) -> None:
    with pytest.raises(ConfigError, match="holds a job that was not divided into shards"):
        run(job(sharded.table, sharded.whole.output, "0/2"))


def test_the_commands(
    sharded: Sharded, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    values = job(sharded.table, str(out), "auto/2").model_dump(mode="json", exclude_unset=True)
    (tmp_path / "job.yaml").write_text(json.dumps(values))
    with caplog.at_level("INFO", "pipeline"):
        assert run_file("score", str(tmp_path / "job.yaml")).status == "nothing_to_do"
    assert "shard 1 of 2, numbered from 0: SLURM_ARRAY_TASK_ID=1" in caplog.messages
    with pytest.raises(ConfigError, match="holds 2 shards that are not one result yet: run `vilt merge"):
        show_output(str(out), 3)
    outcome = merge_output(str(out))
    assert isinstance(outcome.values, dict)
    assert (outcome.values["rows_in"], outcome.values["rows_out"]) == (48, 48)
    assert "image_unsupported" in (out / "_report.html").read_text()
    show_output(str(out), 3)
    report_output(str(out), None, Access())


def test_shards_that_have_not_finished_are_named(out: Path) -> None:
    shutil.rmtree(out / "shard-00001-of-00002")
    with pytest.raises(ConfigError, match="1 of 2 shards have not finished: run 1 again"):
        merge(str(out), StorageConfig())
    with pytest.raises(ConfigError, match="holds no shards"):
        merge(str(out / "shard-00000-of-00002"), StorageConfig())


def test_a_shard_that_begins_again_ends_the_merged_result(
    sharded: Sharded, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    merge(str(out), StorageConfig())
    run(job(sharded.table, str(out), "0/2", overwrite=True))
    assert not (out / "_summary.json").exists()
    assert merge(str(out), StorageConfig()).rows_out == 48
    (out / "shard-00001-of-00002" / "_progress").mkdir()
    (out / "shard-00001-of-00002" / "_progress" / "job.json").write_text("{}")
    with pytest.raises(ConfigError, match="1 of 2 shards have not finished: run 1 again"):
        merge(str(out), StorageConfig())
    assert not (out / "_summary.json").exists()


def test_shards_on_s3(out: Path, s3: Any) -> None:
    del s3
    storage, path = fsspec.filesystem("s3"), "demo-merging/scores"
    storage.mkdir("demo-merging")
    storage.put(str(out), path, recursive=True)
    summary = merge(f"s3://{path}", StorageConfig())
    assert summary.rows_out == 48
    assert all(storage.exists(f"{path}/{name}") for name in ("_summary.json", "_input.json", *summary.files))
    assert pd.read_parquet(f"s3://{path}").shape[0] == 48
    show_output(f"s3://{path}", 3)


def test_a_shard_without_rows(
    tmp_path: Path, scene_rows: Callable[[int], Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    (tmp_path / "t").mkdir()
    pq.write_table(pa.Table.from_pylist(scene_rows(4)), tmp_path / "t" / "0.parquet")
    nothing = run(job(str(tmp_path / "t"), str(tmp_path / "out"), "1/2"))
    assert (nothing.rows_in, nothing.files) == (0, [])
    assert run(job(str(tmp_path / "t"), str(tmp_path / "out"), "0/2")).rows_in == 4
    assert merge(str(tmp_path / "out"), StorageConfig()).rows_out == 4


def test_a_shard_that_was_stopped_resumes(sharded: Sharded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flow, out = without_ray(monkeypatch), str(tmp_path / "out")
    for index in range(SHARDS):
        config = job(sharded.table, out, f"{index}/{SHARDS}")
        strict = config.model_copy(update={"max_error_rate": 0.0})
        names = [file.name for file in open_table(config).read_files]
        flow.errors = {}
        if "000.parquet" in names:  # the shard of the broken row
            flow.errors = {int(row_key(names.index("000.parquet"), 5)): "image_unsupported"}
            with pytest.raises(TooManyErrorsError):
                run(strict)
            unfinished = "2 of 2 shards have not" if index == 0 else "1 of 2 shards have not finished: run 1 again"
            with pytest.raises(ConfigError, match=unfinished):
                merge(out, StorageConfig())
            assert run(config).resumed_rows > 0
        else:
            assert run(strict).resumed_rows == 0
    assert merge(out, StorageConfig()).rows_out == 48


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_table_that_was_changed_between_shards_is_refused(out: Path) -> None:
    change(out / "shard-00001-of-00002" / "_shard.json", listing="another")
    with pytest.raises(
        ConfigError, match="the table was changed between shard-00000-of-00002 and shard-00001-of-00002"
    ):
        merge(str(out), StorageConfig())


def test_shards_of_two_jobs_are_refused(out: Path) -> None:
    path = out / "shard-00001-of-00002" / "_summary.json"
    identity = json.loads(path.read_text())["identity"]
    change(path, identity={**identity, "model": "another"})
    with pytest.raises(ConfigError, match="were made with another model"):
        merge(str(out), StorageConfig())


def test_shards_that_do_not_make_up_the_table_are_refused(out: Path) -> None:
    first, second = (out / f"shard-0000{index}-of-00002" for index in (0, 1))
    assigned = json.loads((first / "_shard.json").read_text())["assigned"]
    change(second / "_shard.json", assigned=assigned)
    with pytest.raises(RowsLostError, match="read 8 files of the table, 4 different ones, and it has 8"):
        merge(str(out), StorageConfig())


def test_files_that_are_lost_or_added_are_found(out: Path) -> None:
    first = next((out / "shard-00000-of-00002").glob("*.parquet"))
    shutil.copy(first, first.with_name("part-copy.parquet"))
    with pytest.raises(RowsLostError, match=r"holds 'part-copy\.parquet', against its summary"):
        merge(str(out), StorageConfig())
    first.with_name("part-copy.parquet").unlink()
    first.unlink()
    with pytest.raises(RowsLostError, match="lacks 'part-"):
        merge(str(out), StorageConfig())


def test_rows_that_two_files_hold_are_found(out: Path) -> None:
    """Once so that the shard has more rows than it has read, and once so that the numbers are right."""
    files = sorted((out / "shard-00000-of-00002").glob("*.parquet"))
    larger, smaller = sorted(files, key=lambda path: -pq.read_metadata(path).num_rows)[:2]
    before = pq.read_table(smaller)
    pq.write_table(pq.read_table(larger), smaller)
    with pytest.raises(RowsLostError, match=r"shard-00000-of-00002: 24 rows in, \d+ rows out: remove the folder"):
        merge(str(out), StorageConfig())
    footers = [ResultFile.from_json(pq.read_metadata(path).metadata[FOOTER.encode()]) for path in (larger, smaller)]
    twice = replace(footers[1], complete=RowSet.of(footers[0].complete.keys()[: len(before)]), rows=len(before))
    pq.write_table(before.replace_schema_metadata({FOOTER: twice.to_json()}), smaller)
    with pytest.raises(RowsLostError, match="has rows that other files hold too, or lacks texts of its rows"):
        merge(str(out), StorageConfig())


def test_a_file_with_fewer_rows_than_its_footer_says(out: Path) -> None:
    path = next((out / "shard-00000-of-00002").glob("*.parquet"))
    table, footer = pq.read_table(path), pq.read_metadata(path).metadata
    short = table.slice(1).replace_schema_metadata({FOOTER: footer[FOOTER.encode()]})
    pq.write_table(short, path)
    with pytest.raises(RowsLostError, match="rows, and its footer says"):
        merge(str(out), StorageConfig())
