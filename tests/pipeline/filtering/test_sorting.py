"""`output.sort`: the kept rows of all files in one order, equal to the bit in every run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError
from pipeline.config.filter import FilterConfig
from pipeline.filtering import sorting
from pipeline.filtering.filter_table import filter_table, prepare_filter
from pipeline.filtering.sorting import Sorter
from tests.pipeline.filtering.test_filter_table import table_of, write_pair


def files_of(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*.parquet"))
    }


def test_kept_rows_in_the_order_of_their_scores(tmp_path: Path) -> None:
    values = write_pair(tmp_path)
    values["output"] |= {"sort": "score", "scores": True}
    summary = filter_table(FilterConfig.checked(values))
    best = sorted(range(29), key=lambda key: (-(key % 10), key))[:15]
    assert (summary.kept, summary.files) == (15, ["kept/part-00000.parquet"])
    kept = pq.read_table(tmp_path / "out" / "kept" / "part-00000.parquet")
    assert kept.schema.names == ["key", "image", "tags", "year", "row_id", "score"], "folders become a column"
    assert kept["key"].to_pylist() == kept["row_id"].to_pylist() == best
    assert kept["score"].to_pylist() == [key % 10 for key in best]
    assert kept.select(["key", "image", "tags"]).to_pylist() == [table_of(key, key + 1).to_pylist()[0] for key in best]
    assert kept.schema.field("tags").type == table_of(0, 1).schema.field("tags").type
    assert kept.schema.field("key").type == pa.int32()
    dropped = pq.read_table(tmp_path / "out" / "dropped", partitioning=None)
    assert sorted(dropped["row_id"].to_pylist()) == sorted({*range(30)} - {*best})
    found = files_of(tmp_path / "out")
    assert filter_table(FilterConfig.checked(values)).finished_before
    other = {**values, "output": {**values["output"], "path": f"{tmp_path}/other"}}
    filter_table(FilterConfig.checked(other))
    assert files_of(tmp_path / "other") == found, "the same input gives the same files"
    values["output"]["sort"] = "row_id"
    with pytest.raises(ConfigError, match=r"output\.overwrite=true"):
        filter_table(FilterConfig.checked(values))
    values["output"] |= {"overwrite": True, "scores": False}
    filter_table(FilterConfig.checked(values))
    assert pq.read_table(tmp_path / "out" / "kept" / "part-00000.parquet")["key"].to_pylist() == sorted(best)


def test_no_kept_row_is_an_empty_file(tmp_path: Path) -> None:
    values = write_pair(tmp_path)
    values["keep"], values["output"]["sort"] = {"min_score": 99}, "score"
    assert filter_table(FilterConfig.checked(values)).files == ["kept/part-00000.parquet"]
    assert pq.read_table(tmp_path / "out" / "kept").num_rows == 0


@pytest.mark.parametrize("most_files", [2, 64])
def test_rows_that_do_not_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_files: int) -> None:
    """Also if some rows are far larger than the others, and the size that was expected is far too small."""
    for name, value in {"FILE_BYTES": 2**12, "MOST_BYTES": 2**14, "MOST_FILES": most_files}.items():
        monkeypatch.setattr(sorting, name, value)
    rng = np.random.default_rng(0)
    positions = rng.permutation(2000)
    sizes = np.where(positions > 1990, 20_000, positions % 50)
    words = pa.array([f"w{p % 3}" for p in positions]).dictionary_encode()
    columns = {"n": positions, "bytes": [b"x" * size for size in sizes], "word": words, "__position": positions}
    table = pa.table(columns)
    sorter = Sorter(table.schema, tmp_path)
    windows = [table.slice(first, 64) for first in range(0, 2000, 64)]
    found = list(sorter.sorted(windows, 0, 2000, 1000))
    assert all(part.nbytes <= 2**15 or part.num_rows == 1 for part in found)
    whole = pa.concat_tables(found)
    assert whole["n"].to_pylist() == list(range(2000))
    assert whole.to_pylist() == table.take(np.argsort(positions)).to_pylist()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output": {"sort": "size"}}, "config: output.sort: "),
        ({"keep": {"where": "label = 'x'"}, "task": "tag"}, "output.sort: score, but the results have none of the col"),
    ],
)
def test_orders_that_there_are_not(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    values = write_pair(tmp_path)
    values["output"] |= {"sort": "score", **change.pop("output", {})}
    if task := change.pop("task", None):
        scores = pq.read_table(tmp_path / "scores").replace_schema_metadata({"vilt.task": task})
        pq.write_table(scores, tmp_path / "scores" / "part-0.parquet")
    with pytest.raises(ConfigError) as caught:
        prepare_filter(FilterConfig.checked({**values, **change}))
    assert str(caught.value).startswith(message)
