"""Jobs that are opened and checked, before anything starts: rank and plan over tables with a log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import StaticTable

from pipeline import ConfigError, JobConfig
from pipeline.common.row_ranges import RowSet
from pipeline.common.tasks import Task
from pipeline.scoring.outputs import output_text
from pipeline.scoring.prepare import prepare, prepared
from pipeline.stages.checkpoints import OpenCheckpoint, may_lack_a_head
from pipeline.stages.micro_batch import MicroBatch
from pipeline.stages.preprocess import Preprocess
from pipeline.tables.reading import read_plan
from tests.conftest import png
from tests.pipeline.stages.test_preprocess import PATCHES
from vilt.common.configuration import Config
from vilt.common.folder import Folder
from vilt.models import vilt

PICTURES = pa.table({"id": range(20), "image": [png(64, 48)] * 20})
TEXTS = pa.table({"key": range(100, 106), "caption": [f"a text {i}" for i in range(6)]})


def iceberg(folder: Path, rows: pa.Table, name: str) -> str:
    """Write a table in two snapshots, of which the second deletes the last two rows."""
    folder.mkdir(exist_ok=True)
    catalog = SqlCatalog("mine", uri=f"sqlite:///{folder}/c.db", warehouse=f"file://{folder}/w")
    catalog.create_namespace_if_not_exists("n")
    table = catalog.create_table(f"n.{name}", schema=rows.schema)
    table.append(rows)
    id_column = rows.column_names[0]
    table.delete(f"{id_column} >= {rows[id_column][-2].as_py()}")
    return str(table.metadata_location)


def of_lance(folder: Path, rows: pa.Table, name: str) -> str:
    """Write a dataset, and delete its last two rows."""
    folder.mkdir(exist_ok=True)
    uri, id_column = str(folder / f"{name}.lance"), rows.column_names[0]
    lance.write_dataset(rows, uri, max_rows_per_file=8).delete(f"{id_column} >= {rows[id_column][-2].as_py()}")
    return uri


def rank_config(pictures: str, texts: str) -> JobConfig:
    values: dict[str, Any] = {
        "input": {"path": pictures, "id": "id"},
        "texts": {"path": texts, "id": "key", "text": "caption"},
        "model": "zoo://scenes",
        "output": {"path": "/nowhere/out", "report": False},
    }
    return JobConfig.parse("rank", values)


@pytest.mark.parametrize(("of_pictures", "of_texts"), [(iceberg, of_lance), (of_lance, iceberg)])
def test_rank_reads_tables_with_a_log(tmp_path: Path, of_pictures: Any, of_texts: Any) -> None:
    config = rank_config(of_pictures(tmp_path / "p", PICTURES, "p"), of_texts(tmp_path / "t", TEXTS, "t"))
    job = prepare(config)
    assert job.table.rows == 18
    assert job.texts is not None
    assert job.texts.strings == TEXTS["caption"].to_pylist()[:4]
    assert job.texts.pairs(job.table.rows) == 72
    preprocess = Preprocess(config, job.table.base, job.table.columns, 4096, job.models.images)
    read = (rows for one in job.table.unread(RowSet.none()) for rows in one.read(read_plan(job.table, 5)))
    batches = [batch for table in preprocess(read) for batch in MicroBatch.from_arrow(table, PATCHES)]
    ids = np.concatenate([batch.rows["row_id"].to_numpy() for batch in batches])
    assert sorted(ids.tolist()) == list(range(18)), "each picture that was not deleted, once"
    earlier = 1 if of_pictures is of_lance else first_snapshot(config.input.path)
    spec = config.input.model_copy(update={"version": earlier})
    other = prepare(config.model_copy(update={"input": spec}))
    assert (other.table.rows, other.identity["input"] != job.identity["input"]) == (20, True)
    assert other.identity["texts"] == job.identity["texts"]


def first_snapshot(location: str) -> int:
    """The first snapshot of an Iceberg table."""
    return int(StaticTable.from_metadata(location).history()[0].snapshot_id)


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ({}, ""),
        ({"format": "delta"}, "a Delta table"),
        ({"format": "lance"}, "a Lance dataset; and Parquet files"),
    ],
)
def test_what_a_job_writes_is_said_before_it_runs(tmp_path: Path, output: dict[str, Any], text: str) -> None:
    location = iceberg(tmp_path / "p", PICTURES.append_column("caption", pa.array(["a"] * 20)), "p")
    values = {
        "input": {"path": location, "text": "caption"},
        "model": "zoo://scenes",
        "output": {"path": f"{tmp_path}/out", "report": False, **output},
    }
    job = prepare(JobConfig.parse("score", values))
    assert (job.table.rows, output_text(job)) == (18, text)


def test_an_output_that_cannot_be_is_refused_by_plan_too(tmp_path: Path) -> None:
    location = iceberg(tmp_path / "p", PICTURES.append_column("caption", pa.array(["a"] * 20)), "p")
    output = {"path": "/nowhere/out", "format": "webdataset"}
    values = {"input": {"path": location, "text": "caption"}, "model": "zoo://scenes", "output": output}
    with pytest.raises(ConfigError, match=r"output\.format: 'webdataset', but the input is iceberg"):
        output_text(prepare(JobConfig.parse("score", values)))


def test_a_checkpoint_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"image": [png(8, 8)], "text": ["a"]}), tmp_path / "table.parquet")
    read, named = Folder.read, list[str]()

    def recorded(self: Folder, name: str, *args: Any) -> bytes:
        named.append(name)
        return read(self, name, *args)

    monkeypatch.setattr(Folder, "read", recorded)
    values = {
        "input": {"path": f"{tmp_path}/table.parquet", "text": "text"},
        "model": "zoo://scenes",
        "output": {"path": "/nowhere/out"},
    }
    prepare(JobConfig.parse("score", values))
    for name in ("config.json", "preprocessor_config.json"):
        assert named.count(name) == 1, named
    assert "model.safetensors" not in named, "it is hashed piece by piece"


@pytest.mark.parametrize(
    ("task", "output", "line"),
    [
        ("tag", "out", r"model: 'zoo://scenes' has no head to tag; it can embed, score, answer, fill"),
        ("reason", "out", r"model: 'zoo://scenes' has no head to reason"),
        ("score", "file", r"output\.path: cannot write to '.*/file': '.*/file' is a file; name a folder"),
        ("score", "file/deep/out", r"output\.path: cannot write to '.*/file/deep/out': '.*/file' is a file"),
    ],
)
def test_what_is_wrong_is_said_before_ray_starts(
    task: Task, output: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr("pipeline.cluster.session.start_local", lambda: started.append("Ray"))
    pq.write_table(PICTURES.append_column("text", pa.array(["a text"] * 20)), tmp_path / "table.parquet")
    (tmp_path / "file").write_text("a file")
    values = {"input": {"path": f"{tmp_path}/table.parquet"}, "model": "zoo://scenes"}
    config = JobConfig.parse(task, {**values, "output": {"path": f"{tmp_path}/{output}"}})
    with pytest.raises(ConfigError, match=line), prepared(config):
        raise AssertionError
    assert not started


@pytest.mark.parametrize(
    ("architectures", "task", "doubtful"),
    [
        (["ViltForQuestionAnswering"], "score", True),
        (["ViltForQuestionAnswering"], "answer", False),
        (["ViltForQuestionAnswering", "ViltForImageAndTextRetrieval"], "score", False),
        (["ViltForMaskedLM"], "embed", False),
        (None, "score", False),  # as of the model that ships: most have the head, and weights are read meanwhile
        (None, "tag", True),
    ],
)
def test_heads_that_may_be_missing(architectures: list[str] | None, task: Task, doubtful: bool) -> None:
    config = JobConfig.parse(task, {"input": {"path": "in"}, "model": "m", "output": {"path": "out"}})
    opened = OpenCheckpoint(Folder("m"), Config(architectures=architectures), vilt.FAMILY)
    assert may_lack_a_head(config, {"m": opened}) is doubtful
