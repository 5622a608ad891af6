"""A whole job over a table as Hugging Face's datasets and pandas write it: ids, captions, what the footers say."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.console.tables import to_text
from jobs.reports.overview import overview_values
from jobs.reports.summary import summary_table, summary_values
from pipeline import JobConfig, run
from pipeline.config.storage import StorageConfig
from pipeline.reporting.access import Access
from pipeline.reporting.overview import look_at
from pipeline.reporting.page import make_report

pytestmark = pytest.mark.usefixtures("ray_cluster")
UIDS = ["d2f9a8c0b1e34f569788776655443300", "b", "b", None, "e", "f", None, "h"]
HUGGING_FACE = json.dumps(
    {"info": {"features": {"image": {"_type": "Image"}, "split": {"names": ["train", "test"], "_type": "ClassLabel"}}}}
)
LONG = "a small red circle left of " * 20


@pytest.fixture(scope="module")
def output(
    tmp_path_factory: pytest.TempPathFactory, ray_cluster: None, scene_rows: Callable[[int], list[dict[str, Any]]]
) -> tuple[JobConfig, Any, list[str]]:
    """The job, its summary, and its warnings."""
    del ray_cluster
    folder = tmp_path_factory.mktemp("hugging-face")
    rows = scene_rows(8)
    columns = {
        "uid": UIDS,
        "image": [{"bytes": row["image"], "path": f"{row['id']}.png"} for row in rows],
        "caption": [LONG if i in (1, 5) else row["caption"] for i, row in enumerate(rows)],
    }
    columns["image"][7] = {"bytes": b"<html>", "path": None}
    (folder / "table").mkdir()
    kinds = {"image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]), "split": pa.int64()}
    columns["split"] = [0, 1] * 4
    for number, part in enumerate((slice(0, 4), slice(4, 8))):
        made = pa.table({name: pa.array(values[part], kinds.get(name)) for name, values in columns.items()})
        pandas = {"index_columns": [{"kind": "range", "start": 4 * number, "stop": 4 * number + 4}], "columns": []}
        made = made.replace_schema_metadata({"huggingface": HUGGING_FACE, "pandas": json.dumps(pandas)})
        pq.write_table(made, folder / "table" / f"{number}.parquet")
    values = {
        "input": {"path": str(folder / "table"), "text": "caption", "id": "uid"},
        "model": "zoo://scenes",
        "output": {"path": str(folder / "scores"), "report": False, "keep_image": True},
        "max_error_rate": 0.2,
    }
    job = JobConfig.parse("score", values)
    warned: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warned.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("pipeline").addHandler(handler)
    try:
        return job, run(job), warned
    finally:
        logging.getLogger("pipeline").removeHandler(handler)


def test_ids_are_counted_before_and_break_no_report(output: tuple[JobConfig, Any, list[str]]) -> None:
    job, _, warned = output
    assert "input.id: column 'uid' is null in 2 rows and has 1 id that stands in several rows, 2 in all" in warned[0]
    results = pq.read_table(job.output.path)
    assert results.schema.field("row_id").type == pa.string()
    assert results["row_id"].to_pylist() == results["uid"].to_pylist()
    assert sorted(map(str, results["row_id"].to_pylist())) == sorted(map(str, UIDS))
    page, _ = make_report(job.output.path, StorageConfig(), Access((job.input.path,)))
    assert "Pictures are left out" not in page
    assert UIDS[0] in page
    json.dumps(overview_values(look_at(job.output.path, StorageConfig())))


def test_truncated_texts_are_told(output: tuple[JobConfig, Any, list[str]]) -> None:
    job, summary, _ = output
    cut = {row["caption"]: row["text_truncated"] for row in pq.read_table(job.output.path).to_pylist()}
    assert cut.pop(LONG) is True
    assert sorted(map(str, cut.values())) == ["False"] * 5 + ["None"], "the row without an image says nothing"
    assert summary.texts_truncated == summary_values(summary)["texts_truncated"] == 2
    assert "2 texts have more tokens than the model reads" in to_text(summary_table(summary))
    page, _ = make_report(job.output.path, StorageConfig(), Access())
    assert "2 texts have more tokens than the model reads" in page
    assert overview_values(look_at(job.output.path, StorageConfig()))["texts_truncated"] == 2


def test_footers_say_what_the_input_s_said(output: tuple[JobConfig, Any, list[str]]) -> None:
    """Without them an image is a struct to datasets, and the names of classes are gone."""
    job, _, _ = output
    [file] = Path(job.output.path).glob("*.parquet")
    found = pq.read_schema(file).metadata
    assert found[b"huggingface"].decode() == HUGGING_FACE
    assert json.loads(found[b"pandas"]) == {"index_columns": [], "columns": []}, "results have other rows"
    assert found[b"vilt.task"] == b"score"
    assert pq.read_table(file).to_pandas().index.tolist() == list(range(8))


def test_the_time_and_its_parts_are_told(output: tuple[JobConfig, Any, list[str]]) -> None:
    _, summary, _ = output
    assert set(summary.parts) == {"prepare", "start", "rows"}
    assert all(took >= 0 for took in summary.parts.values())
    whole = sum(summary.parts.values()) + 1.5
    text = to_text(summary_table(summary, whole))
    assert f"{whole:.1f} s in all; {summary.seconds:.1f} s for the rows" in text
    assert "1.5 s to end" in text
