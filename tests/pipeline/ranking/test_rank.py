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
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import ConfigError, JobConfig
from pipeline.ranking.best_images import best_images
from pipeline.ranking.rank import rank
from pipeline.stages.ranker import Ranker
from pipeline.stages.task_columns import BatchFeatures
from pipeline.tables.rank_texts import Candidates, RankTexts
from vilt import Predictor

TOP = 3


def config(folder: Path, **keys: Any) -> JobConfig:
    values: dict[str, Any] = {
        "input": {"path": str(folder / "table"), "id": "id", "columns": ["id"]},
        "texts": {"path": str(folder / "texts.parquet"), "text": "caption", "id": "text_id"},
        "model": "zoo://scenes",
        "output": {"path": str(folder / "out"), "rows_per_file": 4},
        "precision": "float32",
        "top_k": TOP,
        "batch": {"window_rows": 4},
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
    summary = rank(config(tmp_path))
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


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"texts": {"path": "nowhere.parquet"}}, "texts.path: 'nowhere.parquet' does not exist"),
        ({"texts": {"text": "captoin"}}, "texts: the table has no column 'captoin'; did you mean 'caption'?"),
        ({"texts": {"id": "embedding"}}, "texts: the table has no column 'embedding'"),
        ({"texts": {"text": "text_id", "id": None}}, "texts.text: column 'text_id' is int64; a text is a string"),
        ({"texts": {"candidates": "x", "id": None}}, "texts.candidates: names texts and images by their ids; set"),
    ],
)
@pytest.mark.usefixtures("tables")
def test_wrong_texts(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rank(config(tmp_path, **keys))
    assert message in str(caught.value)


def test_texts_are_for_rank() -> None:
    values = {"input": {"path": "in/"}, "model": "m", "output": {"path": "out/"}}
    with pytest.raises(ConfigError, match="texts: missing; rank reads a table of texts"):
        JobConfig.parse("rank", values)
    with pytest.raises(ConfigError, match=r"texts: only rank reads it; score reads the texts in input\.text"):
        JobConfig.parse("score", {**values, "texts": {"path": "t"}})


class Known:
    """Stands in for the `Predictor`: the scores are known. An image's patch says which it is."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores
        self.preprocessor = self.tokenizer = self

    def tokens(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.zeros(len(texts), np.int64), np.ones(len(texts), np.int64), np.zeros(len(texts), bool)

    def cross_scores(self, images: Any, *args: np.ndarray) -> list[np.ndarray]:
        *_, text, image = args
        return [self.scores[images.patches[image, 0], text]]


class Images:
    """Stands in for `Pairs`: the images `first`, `first + 1`, ..."""

    def __init__(self, first: int, count: int) -> None:
        self.patches = np.arange(first, first + count)[:, None]
        self.image_index, self.grid_sizes = np.arange(count), np.ones(count, np.int64)


@given(
    st.integers(1, 12).flatmap(
        lambda images: st.integers(1, 5).flatmap(
            lambda texts: st.lists(
                st.lists(st.integers(-2, 2), min_size=texts, max_size=texts), min_size=images, max_size=images
            )
        )
    ),
    st.integers(1, 4),
    st.data(),
)
@settings(deadline=None)
def test_no_best_image_is_missed(values: list[list[int]], top_k: int, data: st.DataObject) -> None:
    """Many ties, several actors, any order of images, and sets of candidates."""
    scores = np.array(values, np.float32)
    count, many = scores.shape
    row = st.lists(st.booleans(), min_size=many, max_size=many)
    wanted = np.array(data.draw(st.lists(row, min_size=count, max_size=count)))
    images, places = np.nonzero(wanted)
    distinct, begins = np.unique(images, return_index=True)
    some = Candidates(pa.array(distinct), np.append(begins, len(images)), places)
    chosen = data.draw(st.sampled_from([None, some]))
    wanted = np.ones_like(wanted) if chosen is None else wanted
    texts = RankTexts(pa.array(np.arange(many) + 50), [f"t{i}" for i in range(many)], chosen)
    actors = [Ranker(Known(scores), texts, top_k, lambda _: None) for _ in range(2)]  # type: ignore[arg-type]
    files = []
    for image in data.draw(st.permutations(range(count))):
        actor = actors[data.draw(st.integers(0, 1))]
        batch = BatchFeatures(None, Images(image, 1), top_k, pa.array([image]))  # type: ignore[arg-type]
        finite, (best, candidates) = actor(batch, np.array([0]))
        assert finite.all()
        own = np.flatnonzero(wanted[image])
        order = own[np.argsort(-scores[image, own], kind="stable")][:top_k]
        assert [row["text_id"] for row in best[0].as_py()] == (order + 50).tolist()
        files.append((pa.array([image]), candidates))
    for j, row in enumerate(
        best_images(files, texts, np.zeros(many, bool), top_k, pa.int64())["best_images"].to_pylist()
    ):
        own = np.flatnonzero(wanted[:, j])
        assert [found["row_id"] for found in row] == own[np.argsort(-scores[own, j], kind="stable")][:top_k].tolist()


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
        "output": {"path": "s3://rank/out/"},
        "top_k": 2,
    }
    assert rank(JobConfig.parse("rank", values)).pairs == 15
    texts = pq.read_table("rank/out/texts", filesystem=s3).to_pylist()
    assert [(row["text_id"], len(row["best_images"])) for row in texts] == [(0, 2), (1, 2), (2, 2)]
    assert pq.read_table("rank/out/images", filesystem=s3).num_rows == 5
