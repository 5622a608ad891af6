"""What a filter says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.filter import FilterConfig
from pipeline.config.storage import StorageConfig
from pipeline.filtering.copying import CopiedFile
from pipeline.filtering.selection import Selection
from pipeline.filtering.summary import FilterSummary, summarise
from pipeline.results.reader import open_results
from pipeline.tables.table import open_files, read_columns, with_row_id


def summary(folder: Path, scores: list[float | None], keep: dict[str, Any]) -> FilterSummary:
    """Two files of a table: all rows but the last two, and these."""
    (folder / "in").mkdir()
    (folder / "scores").mkdir()
    rows = pa.table({"n": [10 * i for i in range(len(scores))]})
    pq.write_table(rows.slice(0, len(scores) - 2), folder / "in" / "a.parquet")
    pq.write_table(rows.slice(len(scores) - 2), folder / "in" / "b.parquet")
    errors = pa.array([None if score is not None else "image_null" for score in scores], pa.string())
    results = pa.table({"row_id": rows["n"], "score": pa.array(scores, pa.float32()), "error": errors})
    metadata = {"vilt.task": "score", "vilt.model": "m"}
    pq.write_table(results.replace_schema_metadata(metadata), folder / "scores" / "part-0.parquet")
    values = {"input": {"path": str(folder / "in"), "id": "n"}, "scores": str(folder / "scores"), "keep": keep}
    config = FilterConfig.checked({**values, "output": {"path": str(folder / "out")}})
    table = open_files(config.input, StorageConfig())
    found = open_results(str(folder / "scores"), "scores", StorageConfig())
    with Selection() as selection:
        selection.add_rows(with_row_id(window, "n") for window in read_columns(table, ["n"], 100))
        selection.decide(config.keep, found)
        copied = [CopiedFile("kept/a", "dropped/a", 2, 3), CopiedFile("kept/b", "dropped/b", 1, 0)]
        return summarise(config, table, found, selection, copied)


def test_what_was_kept_and_dropped(tmp_path: Path) -> None:
    found = summary(tmp_path, [0.1, 0.9, None, 0.8, 0.3, 0.7], {"min_score": 0.5})
    assert (found.rows_in, found.kept, found.files) == (6, 3, ["kept/a", "kept/b"])
    assert found.dropped == {"score below 0.5": 2, "error: image_null": 1}
    assert (found.score, found.keep, found.tasks) == ("score", {"min_score": 0.5}, ["filter"])
    assert found.lowest_kept is not None
    assert abs(found.lowest_kept - 0.7) < 1e-6
    assert found.lineage == {"vilt.task": "score", "vilt.model": "m"}
    assert found.scores is not None
    assert (found.scores["rows"], sum(found.scores["kept"]), sum(found.scores["dropped"])) == (5, 3, 2)
    assert (found.input, found.finished_before) == ({"path": str(tmp_path / "in"), "id": "n"}, False)


def test_examples_name_file_and_row(tmp_path: Path) -> None:
    found = summary(tmp_path, [0.1, 0.9, None, 0.8, 0.3, 0.7], {"min_score": 0.5})
    best = found.examples["best"][0]
    assert best == {"row_id": 10, "score": best["score"], "reason": None, "file": "a.parquet", "row": 1}
    near = found.examples["near"][0]
    assert (near["file"], near["row"], near["row_id"]) == ("b.parquet", 1, 50), "near the lowest that was kept"
    assert found.examples["worst"][0]["reason"] == "score below 0.5"


def test_rows_without_a_score(tmp_path: Path) -> None:
    found = summary(tmp_path, [None] * 4, {"min_score": 0.5})
    assert (found.scores, found.examples, found.lowest_kept) == (None, {}, None)
    assert found.dropped == {"error: image_null": 4}
