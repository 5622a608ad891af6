"""Every text with every image: the best of each, without the matrix, whatever stops the job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from jobs.console.tables import to_text
from jobs.reports.summary import summary_table
from pipeline import ConfigError, JobConfig, run
from pipeline.config.storage import StorageConfig
from pipeline.ranking.rank import rank
from pipeline.reporting.access import Access
from pipeline.reporting.page import make_report
from pipeline.tables.rank_inputs.texts_reader import read_texts
from pipeline.tables.table import open_table
from vilt import Predictor

TOP = 3


def config(folder: Path, **keys: Any) -> JobConfig:
    values: dict[str, Any] = {
        "input": {"path": str(folder / "table"), "id": "id", "columns": ["id"]},
        "texts": {"path": str(folder / "texts.parquet"), "text": "caption", "id": "text_id"},
        "model": "zoo://scenes",
        "output": {"path": str(folder / "out"), "report": False, "rows_per_file": 4},
        "precision": "float32",
        "top_k": TOP,
        "batch": {"window_rows": 4},
        "max_error_rate": 1,
    }
    for key, value in keys.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    return JobConfig.parse("rank", values)


@pytest.fixture
def tables(tmp_path: Path, write_table: Callable[..., str], scene_rows: Callable[[int], Any]) -> list[dict[str, Any]]:
    """12 images, one of them broken; 9 texts, one of them null and one empty."""
    rows = scene_rows(12)
    rows[5]["image"] = b"broken"
    write_table(rows, 2)
    captions = [row["caption"] for row in rows[:7]]
    texts = pa.table({"text_id": [100 + i for i in range(9)], "caption": [*captions, None, " "]})
    pq.write_table(texts, tmp_path / "texts.parquet")
    return rows


def matrix(rows: list[dict[str, Any]], texts: list[str]) -> np.ndarray:
    """(images that can be read, texts)."""
    predictor = Predictor.from_pretrained("zoo://scenes", precision="float32")
    images = [row["image"] for row in rows if row["image"] != b"broken"]
    scores = predictor.rank(images, texts)
    alone = predictor.score([images[0]] * len(texts), texts)
    assert np.abs(scores[0] - alone).max() < 1e-4
    return scores


@pytest.mark.usefixtures("ray_cluster")
def test_the_best_of_each(tmp_path: Path, tables: list[dict[str, Any]]) -> None:
    summary = run(config(tmp_path))
    assert (summary.rows_in, summary.rows_out, summary.pairs) == (12, 12, 11 * 7)
    assert summary.rejected == {"image_unsupported": 1}
    exact = matrix(tables, [row["caption"] for row in tables[:7]])
    ids = [row["id"] for row in tables if row["image"] != b"broken"]
    images = {row["id"]: row for row in pq.read_table(tmp_path / "out" / "images").to_pylist()}
    assert images.keys() == {row["id"] for row in tables}
    assert images[tables[5]["id"]]["best_texts"] is None
    for i, own in enumerate(ids):
        best = np.argsort(-exact[i], kind="stable")[:TOP]
        assert [found["text_id"] for found in images[own]["best_texts"]] == (100 + best).tolist()
        assert np.allclose([found["score"] for found in images[own]["best_texts"]], exact[i, best], atol=1e-4)
    texts = pq.read_table(tmp_path / "out" / "texts").to_pylist()
    assert [row["text_id"] for row in texts] == list(range(100, 109))
    for j, row in enumerate(texts[:7]):
        best = np.argsort(-exact[:, j], kind="stable")[:TOP]
        assert [found["row_id"] for found in row["best_images"]] == [ids[i] for i in best]
    assert [(row["best_images"], row["error"]) for row in texts[7:]] == [([], "text_null"), ([], "text_empty")]
    again = rank(config(tmp_path))
    assert again.finished_before
    with pytest.raises(ConfigError, match=r"already holds 4 \.parquet files"):
        rank(config(tmp_path, top_k=2))


@pytest.mark.usefixtures("ray_cluster")
def test_candidates(tmp_path: Path, tables: list[dict[str, Any]]) -> None:
    ids = [row["id"] for row in tables]
    wanted = [(100, ids[0]), (101, ids[0]), (100, ids[0]), (103, ids[5]), (106, ids[11])]
    chosen = pa.table({"text_id": [t for t, _ in wanted], "image_id": [i for _, i in wanted]})
    pq.write_table(chosen, tmp_path / "candidates.parquet")
    path = {"candidates": str(tmp_path / "candidates.parquet")}
    assert rank(config(tmp_path, texts=path)).pairs == 3
    images = {row["id"]: row for row in pq.read_table(tmp_path / "out" / "images").to_pylist()}
    assert {found["text_id"] for found in images[ids[0]]["best_texts"]} == {100, 101}
    assert images[ids[1]]["best_texts"] == []
    texts = {row["text_id"]: row for row in pq.read_table(tmp_path / "out" / "texts").to_pylist()}
    assert [found["row_id"] for found in texts[106]["best_images"]] == [ids[11]]
    assert texts[103]["best_images"] == []
    pq.write_table(pa.table({"text_id": [100, 7, 8, 9, 10], "image_id": [ids[0]] * 5}), path["candidates"])
    with pytest.raises(ConfigError, match=r"texts.candidates: 4 values of text_id are unknown: 7, 8, 9, \.\.\."):
        rank(config(tmp_path, texts=path))


@pytest.mark.usefixtures("ray_cluster")
def test_a_first_stage(tmp_path: Path, tables: list[dict[str, Any]]) -> None:
    """Only the nearest images are read; the recall is that of the whole matrix; a second run finds nothing to do."""
    rng = np.random.default_rng(3)
    images, texts = rng.normal(size=(12, 8)), rng.normal(size=(9, 8))
    flat = pa.FixedSizeListArray.from_arrays(pa.array(images.ravel(), pa.float32()), 8)
    pq.write_table(pa.table({"id": [row["id"] for row in tables], "embedding": flat}), tmp_path / "vectors.parquet")
    columns = pq.read_table(tmp_path / "texts.parquet").append_column("clip", pa.array(texts.tolist()))
    pq.write_table(columns, tmp_path / "texts.parquet")
    section = {"n": 5, "images": {"path": str(tmp_path / "vectors.parquet")}, "texts": {"vector": "clip"}}
    job = config(tmp_path, texts={"candidates": {**section, "recall_texts": 4}})
    summary = rank(job)
    directions = images / np.linalg.norm(images, axis=1, keepdims=True)
    near = [set(np.argsort(-(text @ directions.T))[:5].tolist()) for text in texts[:7]]
    read = [i for i in range(12) if i != 5]
    assert summary.pairs == sum(len(some - {5}) for some in near) + 4 * 11
    exact = matrix(tables, [row["caption"] for row in tables[:7]])
    ids, found = [row["id"] for row in tables], 0
    for row, some in zip(pq.read_table(tmp_path / "out" / "texts").to_pylist(), near, strict=False):
        order = [read[i] for i in np.argsort(-exact[:, row["text_id"] - 100], kind="stable")]
        assert [one["row_id"] for one in row["best_images"]] == [ids[i] for i in order if i in some][:TOP]
    chosen = read_texts(job, open_table(job)).exact.tolist()
    for text in chosen:
        found += len(near[text] & {read[i] for i in np.argsort(-exact[:, text], kind="stable")[:TOP]})
    assert summary.candidates == {"n": 5, "texts": 4, "best": 4 * TOP, "found": found}
    line = (
        f"candidates  5 nearest images of each text; recall {found / 12:.1%}: {found} of the 12 best images of 4 texts"
    )
    assert line in to_text(summary_table(summary))
    pairs = pq.read_table(tmp_path / "out" / "candidates").to_pylist()
    assert {(row["text_id"], row["image_id"]) for row in pairs} == {
        (100 + t, ids[i]) for t in range(7) for i in near[t]
    }
    again = rank(job)
    assert again.finished_before
    assert again.candidates == summary.candidates
    page, _ = make_report(str(tmp_path / "out"), StorageConfig(), Access())
    assert f"recall {found / 12:.1%}" in page


@pytest.mark.usefixtures("ray_cluster")
def test_on_s3(s3_server: str, scene_rows: Callable[[int], Any]) -> None:
    assert s3_server
    s3, rows = s3fs.S3FileSystem(), scene_rows(5)
    s3.mkdir("rank")
    pq.write_table(pa.Table.from_pylist(rows), "rank/table/a.parquet", filesystem=s3)
    s3.pipe_file("rank/texts.csv", ("text\n" + "\n".join(row["caption"] for row in rows[:3])).encode())
    values = {
        "input": {"path": "s3://rank/table/", "id": "id"},
        "texts": {"path": "s3://rank/texts.csv"},
        "model": "zoo://scenes",
        "output": {"path": "s3://rank/out/", "report": False},
        "top_k": 2,
    }
    assert rank(JobConfig.parse("rank", values)).pairs == 15
    texts = pq.read_table("rank/out/texts", filesystem=s3).to_pylist()
    assert [(row["text_id"], len(row["best_images"])) for row in texts] == [(0, 2), (1, 2), (2, 2)]
    assert pq.read_table("rank/out/images", filesystem=s3).num_rows == 5
