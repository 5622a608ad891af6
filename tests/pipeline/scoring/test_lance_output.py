"""`output.format: lance`: results as columns of the input itself, or as a table of its own, committed once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from jobs.commands.show import show_output
from pipeline import ConfigError, JobConfig, run
from pipeline.common.row_ranges import row_key
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.results import lance_results
from pipeline.results.lance_results import LanceTarget
from pipeline.results.output_folder import OutputFolder
from pipeline.scoring.outputs import output_text
from pipeline.scoring.prepare import prepare
from pipeline.tables.table import open_files
from tests.pipeline.killed import Killed, the_dead_are_dead
from tests.pipeline.scoring.flowless import Flow, without_ray

assert the_dead_are_dead  # a fixture of every test here
ADDED = ["text_truncated", "score", "error", "error_detail"]


def write_table(uri: str, **options: Any) -> lance.LanceDataset:
    """Write 30 rows in fragments of 12, of which every seventh is deleted, with Lance's own writer."""
    rows = {"id": range(30), "image": [b"x"] * 30, "caption": [f"text {i}" for i in range(30)]}
    dataset = lance.write_dataset(pa.table(rows), uri, max_rows_per_file=12, **options)
    dataset.delete("id % 7 = 3")
    return lance.dataset(uri, **options)


LIVE = [i for i in range(30) if i % 7 != 3]


def config(table: str, out: str | None = None, **output: Any) -> JobConfig:
    values = {
        "input": {"path": table, "text": "caption", "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": out or table, "report": False, "format": "lance", **output},
        "batch": {"window_rows": 8},
        "precision": "float32",
        "max_error_rate": 1,
    }
    return JobConfig.parse("score", values)


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Flow:
    return without_ray(monkeypatch)


def score_of(number: int) -> float:
    return 1000.0 * (number // 12) + number % 12


def check_columns(dataset: lance.LanceDataset, failed: tuple[int, ...] = ()) -> None:
    rows = dataset.to_table(columns=["id", "caption", *ADDED]).to_pylist()
    assert [row["id"] for row in rows] == LIVE
    for row in rows:
        assert row["caption"] == f"text {row['id']}"
        assert row["score"] == (None if row["id"] in failed else score_of(row["id"]))
        assert row["error"] == ("image_corrupt" if row["id"] in failed else None)


def test_the_table_itself_gets_the_columns_in_one_version(tmp_path: Path, flow: Flow) -> None:
    uri = str(tmp_path / "pairs.lance")
    before = write_table(uri)
    flow.errors = {row_key(1, 2): "image_corrupt"}
    assert output_text(prepare(config(uri))) == "columns of the input, a Lance dataset; and Parquet files"
    summary = run(config(uri))
    assert (summary.rows_in, summary.rows_out, summary.committed) == (len(LIVE), len(LIVE), "Lance version 3")
    after = lance.dataset(uri)
    assert (before.version, after.version) == (2, 3)
    assert after.schema.names == ["id", "image", "caption", *ADDED]
    check_columns(after, failed=(14,))
    assert before.schema.names == ["id", "image", "caption"], "who reads the version before is not disturbed"
    assert before.count_rows() == len(LIVE)
    assert run(config(uri)).finished_before
    assert lance.dataset(uri).version == 3
    assert len(flow.read) == len(LIVE)
    assert show_output(uri, 2).values["rows_in"] == len(LIVE)
    with pytest.raises(ConfigError, match=r"--retry-errors: not for output\.format=lance"):
        run(config(uri), retry_errors=True)
    # The table lives on: its readers and writers see one dataset, and the job says that its columns are there.
    lance.write_dataset(after.to_table().slice(0, 2), uri, mode="append")
    with pytest.raises(ConfigError, match=r"version 4 of '.*' has a column 'text_truncated', a name that the job adds"):
        run(config(uri))
    lance.dataset(uri).drop_columns(ADDED)
    flow.errors = {}
    assert run(config(uri, overwrite=True)).committed == "Lance version 6"
    assert lance.dataset(uri).to_table()["score"].null_count == 0
    lance.dataset(uri).optimize.compact_files()
    lance.dataset(uri).validate()


def test_a_job_that_is_killed_computes_nothing_twice_and_commits_once(
    tmp_path: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = str(tmp_path / "pairs.lance")
    write_table(uri)
    flow.killed_after = 3
    with pytest.raises(Killed):
        run(config(uri))
    assert 0 < len(flow.read) < len(LIVE)
    flow.killed_after = 0
    # Killed when some fragments are written, then before the commit, after it, and in the middle of publishing.
    reader, read = lance_results.ResultsWriter.reader, list[str]()

    def killed(self: lance_results.ResultsWriter, path: str) -> pa.RecordBatchReader:
        if len(read) == 2:
            raise Killed
        read.append(path)
        return reader(self, path)

    monkeypatch.setattr(lance_results, "WRITERS", 1)
    monkeypatch.setattr(lance_results.ResultsWriter, "reader", killed)
    with pytest.raises(Killed):
        run(config(uri))
    monkeypatch.setattr(
        lance_results.ResultsWriter, "reader", lambda self, path: (read.append(path), reader(self, path))[1]
    )
    commit = LanceTarget._commit

    def killed_before(*_: Any) -> int:
        raise Killed

    def killed_after(*args: Any) -> int:
        commit(*args)
        raise Killed

    monkeypatch.setattr(LanceTarget, "_commit", killed_before)
    with pytest.raises(Killed):
        run(config(uri))
    assert len(read) == 3, "two were written before"
    assert lance.dataset(uri).version == 2, "nobody sees anything yet"
    monkeypatch.setattr(LanceTarget, "_commit", killed_after)
    with pytest.raises(Killed):
        run(config(uri))
    assert lance.dataset(uri).version == 3
    monkeypatch.setattr(LanceTarget, "_commit", killed_before)
    publish = OutputFolder._carry_out
    monkeypatch.setattr(OutputFolder, "_carry_out", killed_before)
    with pytest.raises(Killed):
        run(config(uri))
    monkeypatch.setattr(OutputFolder, "_carry_out", publish)
    summary = run(config(uri))
    assert (summary.committed, lance.dataset(uri).version) == ("Lance version 3", 3)
    assert sorted(flow.read) == sorted({row_key(i // 12, i % 12) for i in LIVE}), "each row once"
    check_columns(lance.dataset(uri))
    assert not (Path(uri) / "_progress").exists()
    assert run(config(uri)).finished_before


def test_a_table_that_changed_under_the_job_is_refused(
    tmp_path: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = str(tmp_path / "pairs.lance")
    write_table(uri)
    more = pa.table({"id": [99], "image": [b"x"], "caption": ["new"]})
    commit = lance.LanceDataset.commit

    def changed(*args: Any, **options: Any) -> Any:
        lance.write_dataset(more, uri, mode="append")
        return commit(*args, **options)

    monkeypatch.setattr(lance.LanceDataset, "commit", staticmethod(changed))
    with pytest.raises(ConfigError, match=r"is at version 3, and the job began at version 2: nothing was committed; s"):
        run(config(uri))
    monkeypatch.undo()
    flow = without_ray(monkeypatch)
    assert lance.dataset(uri).schema.names == ["id", "image", "caption"]
    with pytest.raises(ConfigError, match=r"is at version 3, and the job began at version 2: nothing was committed; s"):
        run(config(uri))
    assert not flow.read, "it is said before any work"
    assert run(config(uri, overwrite=True)).committed == "Lance version 4"
    assert lance.dataset(uri).to_table(columns=["id", "score"])["score"].null_count == 0


def test_an_earlier_version_gets_no_columns(tmp_path: Path, flow: Flow) -> None:
    uri = str(tmp_path / "pairs.lance")
    write_table(uri)
    job = config(uri)
    job = job.model_copy(update={"input": job.input.model_copy(update={"version": 1})})
    with pytest.raises(ConfigError, match=r"is at version 2, and the job began at version 1"):
        run(job)
    assert not flow.read


def test_a_table_of_its_own_from_any_input(tmp_path: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"id": range(30), "image": [b"x"] * 30, "caption": [f"text {i}" for i in range(30)]}
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    out = str(tmp_path / "scored.lance")
    job = config(str(tmp_path / "a.parquet"), out, keep_image=True)
    commit = LanceTarget._commit

    def killed_after(*args: Any) -> int:
        commit(*args)
        raise Killed

    monkeypatch.setattr(LanceTarget, "_commit", killed_after)
    with pytest.raises(Killed):
        run(job)
    monkeypatch.undo()
    flow = without_ray(monkeypatch)
    assert run(job).committed == "Lance version 1"
    assert not flow.read
    dataset = lance.dataset(out)
    assert (dataset.version, dataset.count_rows()) == (1, 30)
    found = dataset.to_table()
    assert found.column_names == ["id", "image", "caption", "row_id", *ADDED]
    assert {row["id"]: row["score"] for row in found.to_pylist()} == {i: float(i) for i in range(30)}
    assert run(job).finished_before
    again = open_files(InputConfig(path=out), StorageConfig())
    assert (again.format.name, again.rows) == ("lance", 30), "it is a table like others"
    with pytest.raises(ConfigError, match=r"output\.format: parquet, but the results in '.*' were made with lance"):
        run(config(str(tmp_path / "a.parquet"), out, format="parquet", keep_image=True))
    pq.write_table(pa.table({**rows, "id": range(100, 130)}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=r"output\.path: .* already holds \d+ \.parquet files?"):
        run(job)
    job = config(str(tmp_path / "a.parquet"), out, keep_image=True, overwrite=True)
    assert run(job).committed == "Lance version 2"
    assert min(lance.dataset(out).to_table()["id"].to_pylist()) == 100
    assert lance.dataset(out, version=1).count_rows() == 30, "the version before stays"


def test_other_datasets_are_not_overwritten(tmp_path: Path, flow: Flow) -> None:
    other, uri = str(tmp_path / "other.lance"), str(tmp_path / "pairs.lance")
    write_table(uri)
    write_table(other)
    with pytest.raises(ConfigError, match=r"already holds a Lance dataset; choose another folder, or set output\.over"):
        run(config(uri, other))
    assert not flow.read
    assert not (Path(other) / "_progress").exists()


def test_columns_that_lance_has_not(tmp_path: Path, flow: Flow) -> None:
    intervals = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    table = pa.table({"image": [b"x"], "caption": ["a"], "id": [1], "odd": intervals})
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(ConfigError, match=r"output\.format: 'lance' has no values of .*column 'odd'"):
        run(config(str(tmp_path / "a.arrow"), str(tmp_path / "o.lance")))
    assert not flow.read


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"input": {"path": "t", "shard": "1/2"}}, r"input\.shard: given with output\.format=lance"),
        ({"output": {"path": "o", "format": "lance", "join": True}}, r"output\.join: is for output\.format=parquet"),
        ({"output": {"path": "t/", "format": "lance", "keep_image": True}}, r"output\.keep_image: is for output\.form"),
        ({"input": {"path": "t", "filter": "id > 1"}}, r"input\.filter: given with results that become columns of the"),
    ],
)
def test_keys_that_do_not_fit(keys: dict[str, Any], message: str) -> None:
    values = {"input": {"path": "t"}, "model": "m", "output": {"path": "t", "report": False, "format": "lance"}, **keys}
    with pytest.raises(ConfigError, match=message):
        JobConfig.parse("score", values)


def test_without_pylance(tmp_path: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"image": [b"x"], "caption": ["a"], "id": [1]}), tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "lance", None)
    with pytest.raises(ConfigError, match=r"output\.format: 'lance', for which pylance is missing .*pip install"):
        run(config(str(tmp_path / "a.parquet"), str(tmp_path / "o.lance")))
    assert not flow.read


def test_a_table_on_s3(s3_server: str, flow: Flow) -> None:
    assert s3_server
    s3 = s3fs.S3FileSystem()
    s3.mkdir("lances")
    options = {"aws_endpoint_url": s3_server, "aws_allow_http": "true"}
    write_table("s3://lances/pairs.lance", storage_options=options)
    assert run(config("s3://lances/pairs.lance")).committed == "Lance version 3"
    check_columns(lance.dataset("s3://lances/pairs.lance", storage_options=options))
    assert run(config("s3://lances/pairs.lance")).finished_before
    job = config("s3://lances/pairs.lance", "s3://lances/out.lance")
    job = job.model_copy(update={"input": job.input.model_copy(update={"version": 2})})
    assert run(job).committed == "Lance version 1"
    assert lance.dataset("s3://lances/out.lance", storage_options=options).count_rows() == len(LIVE)
    assert json.loads(s3.cat_file("lances/out.lance/_summary.json"))["committed"] == "Lance version 1"
    assert len(flow.read) == 2 * len(LIVE)
