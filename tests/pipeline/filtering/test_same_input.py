"""Scores belong to the table as its files were: a rewritten table is refused, and the changed file is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError, JobConfig, run
from pipeline.config.filter import FilterConfig
from pipeline.filtering.filter_table import filter_table
from tests.pipeline.scoring.flowless import without_ray

Rows = list[dict[str, Any]]


def reverse(file: Path) -> None:
    """Write the rows of a file in the opposite order, as a later day."""
    table = pq.read_table(file)
    pq.write_table(table.take(list(range(table.num_rows - 1, -1, -1))), file)
    os.utime(file, (2_000_000_000, 2_000_000_000))


def filtered(folder: Path, out: str, **more: Any) -> list[int]:
    values = {
        "input": {"path": f"{folder}/table", **more.pop("input", {})},
        "scores": f"{folder}/scores",
        "keep": {"top": 0.5},
        "output": {"path": f"{folder}/{out}", "report": False},
        **more,
    }
    filter_table(FilterConfig.checked(values))
    return pq.read_table(folder / out / "kept")["id"].to_pylist()


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("format", ["parquet", "delta"])
def test_the_file_that_changed_is_named(
    tmp_path: Path,
    scene_rows: Callable[[int], Rows],
    write_table: Callable[..., str],
    format: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if format == "parquet":
        without_ray(monkeypatch)
    table = Path(write_table(scene_rows(6), 3))
    job = JobConfig.parse(
        "score",
        {
            "input": {"path": str(table), "text": "caption", "id": "id", "columns": ["id"]},
            "model": "zoo://scenes",
            "output": {"path": f"{tmp_path}/scores", "format": format},
        },
    )
    run(job)
    assert (tmp_path / "scores" / "_delta_log").exists() == (format == "delta")
    assert (tmp_path / "scores" / "_report.html").exists()
    ids = {"id": "id"}
    kept = filtered(tmp_path, "first", input=ids)
    assert len(kept) == 3

    with pytest.raises(ConfigError, match=r"^input\.id: None, but the scores in '.*' were made with input\.id='id'"):
        filtered(tmp_path, "other")
    reverse(table / "001.parquet")
    (table / "002.parquet").rename(table / "003.parquet")
    with pytest.raises(ConfigError) as caught:
        filtered(tmp_path, "other", input=ids)
    assert str(caught.value) == (
        f"scores: '{tmp_path}/scores' is of another table, or the table has changed since: changed: '001.parquet', "
        "gone: '002.parquet', new: '003.parquet'; score it again, or set allow_changed=true to trust the ids in "
        "input.id"
    )
    assert not (tmp_path / "other").exists()
    assert sorted(filtered(tmp_path, "other", input=ids, allow_changed=True)) == sorted(kept)


def test_ids_that_are_hashes_are_never_trusted(
    tmp_path: Path,
    scene_rows: Callable[[int], Rows],
    write_table: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_ray(monkeypatch)
    table = Path(write_table(scene_rows(6), 1))
    values = {
        "input": {"path": str(table), "text": "caption", "columns": ["id"]},
        "model": "zoo://scenes",
        "output": {"path": f"{tmp_path}/scores", "report": False},
    }
    run(JobConfig.parse("score", values))
    assert len(filtered(tmp_path, "first")) == 3
    reverse(table / "000.parquet")
    with pytest.raises(ConfigError, match=r"changed: '000\.parquet'; score it again$"):
        filtered(tmp_path, "other")
    (tmp_path / "scores" / "_input.json").unlink()
    with pytest.raises(ConfigError, match=r"the names, sizes or versions of its files are others; score it again$"):
        filtered(tmp_path, "other")


def test_results_of_another_program_are_compared_by_their_ids_alone(tmp_path: Path) -> None:
    for name, columns in (
        ("table", {"id": [1, 2]}),
        ("scores", {"row_id": [1, 2], "score": [0.5, 0.1], "error": pa.nulls(2, pa.string())}),
    ):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table(columns), tmp_path / name / "a.parquet")
    assert filtered(tmp_path, "out", input={"id": "id"}) == [1]
