"""The first stage: exact search in blocks, and every fault of the vectors in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import ConfigError, JobConfig
from pipeline.ranking.nearest import find_nearest, nearest
from pipeline.ranking.nearest_pairs import NearestPairs
from pipeline.tables.rank_inputs.texts import RankTexts
from pipeline.tables.rank_inputs.texts_reader import read_texts
from pipeline.tables.table import open_table

RNG = np.random.default_rng(0)
IMAGES, TEXTS = RNG.normal(size=(9, 4)).astype(np.float32), RNG.normal(size=(6, 4)).astype(np.float32)
IDS = [10 * i for i in range(9)]


@given(st.integers(1, 40), st.integers(0, 7), st.integers(1, 12), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_the_largest_products_of_all_blocks(rows: int, queries: int, n: int, block: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    wanted, matrix = (rng.integers(-9, 9, (size, 3)).astype(np.float32) for size in (queries, rows))
    scores, at = nearest(wanted, (matrix[i : i + block] for i in range(0, rows, block)), n)
    products = wanted @ matrix.T
    assert scores.tolist() == (-np.sort(-products, axis=1))[:, :n].tolist()
    assert np.take_along_axis(products, at, 1).tolist() == scores.tolist()
    assert all(len(set(row)) == len(row) for row in at.tolist())


def fixed(vectors: np.ndarray, kind: pa.DataType | None = None) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), kind or pa.float32()), vectors.shape[1])


def lists(vectors: list[Any]) -> pa.Array:
    return pa.array(vectors, pa.list_(pa.float64()))


def prepared(folder: Path, v: pa.Array | None = None, w: pa.Array | None = None, **keys: Any) -> RankTexts:
    """The texts of a job whose vectors stand in the tables, `v` and `w`; one of the six texts is null."""
    columns = {"id": IDS, "image": [b"x"] * 9, "v": fixed(IMAGES) if v is None else v}
    pq.write_table(pa.table(columns), folder / "images.parquet", row_group_size=4)
    captions = [*(f"t{i}" for i in range(5)), None]
    columns = {"text": captions, "name": [f"n{i}" for i in range(6)], "w": fixed(TEXTS) if w is None else w}
    pq.write_table(pa.table(columns), folder / "texts.parquet")
    candidates = {"n": 3, "images": {"vector": "v"}, "texts": {"vector": "w"}, "recall_texts": 2, **keys}
    config = JobConfig.parse(
        "rank",
        {
            "input": {"path": str(folder / "images.parquet"), "id": "id"},
            "texts": {"path": str(folder / "texts.parquet"), "id": "name", "candidates": candidates},
            "model": "zoo://scenes",
            "output": {"path": str(folder / "out"), "report": False},
        },
    )
    return read_texts(config, open_table(config))


def found(texts: RankTexts) -> NearestPairs:
    return find_nearest(texts, pa.array(IDS))


def as_rows(pairs: NearestPairs) -> dict[int, list[int]]:
    """Text -> its images, best first."""
    return {text: pairs.images.filter(pa.array(pairs.texts == text)).to_pylist() for text in set(pairs.texts.tolist())}


def expected(cosine: bool = True) -> dict[int, list[int]]:
    images = IMAGES / np.linalg.norm(IMAGES, axis=1, keepdims=True) if cosine else IMAGES
    return {i: [IDS[j] for j in np.argsort(-(TEXTS[i] @ images.T))[:3]] for i in range(5)}


def test_vectors_in_the_tables_themselves(tmp_path: Path) -> None:
    texts = prepared(tmp_path)
    assert as_rows(found(texts)) == expected()
    assert texts.pairs(9) == 5 * 3 + 2 * 9
    assert texts.candidates is None
    assert len(texts.exact) == 2
    assert as_rows(found(prepared(tmp_path, metric="dot"))) == expected(cosine=False)
    null = lists([*TEXTS[:5].tolist(), None])
    assert as_rows(found(prepared(tmp_path, w=null))) == expected(), "the null text needs no vector"


def test_vectors_in_tables_of_their_own(tmp_path: Path) -> None:
    """In another order, with some of rows that are not there, in half precision and in lists of any length."""
    order = RNG.permutation(9)
    ids = pa.array([IDS[i] for i in order] + [7], pa.int32())
    vectors = fixed(np.concatenate((IMAGES[order], IMAGES[:1])).astype(np.float16), pa.float16())
    pq.write_table(pa.table({"row_id": ids, "embedding": vectors}), tmp_path / "a.parquet")
    names = ["n9", *(f"n{i}" for i in (4, 3, 2, 1, 0))]
    rows = lists([[9.0] * 4, *TEXTS[[4, 3, 2, 1, 0]].tolist()])
    pq.write_table(pa.table({"name": names, "embedding": rows}), tmp_path / "b.parquet")
    images = {"path": str(tmp_path / "a.parquet"), "id": "row_id"}
    pairs = found(prepared(tmp_path, images=images, texts={"path": str(tmp_path / "b.parquet")}))
    assert as_rows(pairs) == expected()


def test_what_is_made_of_the_pairs(tmp_path: Path) -> None:
    texts = prepared(tmp_path)
    pairs = found(texts)
    table = pairs.to_arrow(texts, pa.int64())
    assert table.column_names == ["text_id", "image_id", "similarity"]
    assert set(table["text_id"].to_pylist()) == {f"n{i}" for i in range(5)}
    again = NearestPairs.from_arrow(table, texts)
    assert as_rows(again) == as_rows(pairs)
    candidates = pairs.candidates()
    for image, chosen in zip(IDS, candidates.of(pa.array(IDS)), strict=True):
        assert chosen.tolist() == [text for text in range(5) if image in expected()[text]]
    best = expected()
    exact = {0: pa.array(best[0][:2]), 1: pa.array([best[1][0], 999])}
    assert pairs.recall(exact) == (3, 4)
    assert pairs.recall({}) == (0, 0)


NAN, SHORT, ZERO = IMAGES.copy(), [*IMAGES[:8].tolist(), [1.0]], IMAGES.copy()
NAN[3, 1], ZERO[0], ZERO[1], ZERO[2], ZERO[3] = np.nan, 0, 0, 0, 0


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"v": fixed(NAN)}, "images: column 'v': row has a vector with NaN or infinity: 30"),
        ({"v": lists(SHORT)}, "images: column 'v': row has a vector of another length than 4: 80"),
        ({"v": lists([*IMAGES[:8].tolist(), None])}, "images: column 'v': row has no vector: 80"),
        ({"v": fixed(ZERO)}, "images: column 'v': 4 rows, each of which has a vector of zeros, without a direction"),
        ({"v": fixed(IMAGES[:, :3])}, ": the vectors of the images have 3 numbers and those of the texts 4: they"),
        ({"v": lists(IMAGES[:, :3].tolist())}, ": the vectors of the images have 3 numbers and those of the texts 4"),
        ({"v": pa.array(IDS)}, "images.vector: column 'v' is int64; a vector is a list of floats"),
        ({"w": lists([None] * 6)}, "texts: column 'w': 5 rows, each of which has no vector: n0, n1, n2, ..."),
    ],
)
def test_a_fault_is_one_line(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        found(prepared(tmp_path, **keys))
    assert str(caught.value).startswith("texts.candidates")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "table", "message"),
    [
        ("images", {"id": IDS[:8], "v": fixed(IMAGES[:8])}, "images: column 'v': row has no vector: 80"),
        ("images", {"id": ["a"], "v": fixed(IMAGES[:1])}, "images.id: column 'id' is string, and the ids it names are"),
        ("images", {"id": IDS, "w": fixed(IMAGES)}, "images: the table has no column 'v'"),
        (
            "texts",
            {"name": ["n0"], "v": fixed(TEXTS[:1])},
            "texts: column 'v': 4 rows, each of which has no vector: n1",
        ),
        ("texts", None, "texts.path: "),
    ],
)
def test_a_fault_of_a_table_of_vectors(tmp_path: Path, section: str, table: Any, message: str) -> None:
    if table is not None:
        pq.write_table(pa.table(table), tmp_path / "v.parquet")
    with pytest.raises(ConfigError) as caught:
        found(prepared(tmp_path, **{section: {"path": str(tmp_path / "v.parquet"), "vector": "v"}}))
    assert message in str(caught.value)


def test_few_texts_are_read_with_all_images_if_they_are_much_of_the_work(tmp_path: Path) -> None:
    assert len(prepared(tmp_path, recall_texts=None).exact) == 0, "9 of 15 pairs"
    assert len(prepared(tmp_path, recall_texts=50).exact) == 5
    assert len(prepared(tmp_path, recall_texts=0).exact) == 0
