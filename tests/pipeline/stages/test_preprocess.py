"""A window of rows becomes micro-batches: each image decoded once, the rows of a list of texts together."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from pipeline import JobConfig
from pipeline.common.columns import UNREAD
from pipeline.stages.micro_batch import MicroBatch
from pipeline.stages.predict import PredictActor
from pipeline.stages.preprocess import Preprocess
from pipeline.tables.column_checks import check_columns
from pipeline.tables.formats.row_format import UNREAD_TYPE
from tests.conftest import png
from vilt.inference.pairs import ImageRows
from vilt.models.vilt.preprocessor import Preprocessor

PATCHES = ImageRows(3 * 32 * 32)


def batches_of(rows: list[dict[str, Any]], tokens: int, **keys: Any) -> list[MicroBatch]:
    values = {"input": {"path": "/nowhere", "text": "texts", "id": "id"}, "model": "zoo://scenes"}
    config = JobConfig.parse("score", {**values, "output": {"path": "/out"}, **keys})
    window = pa.Table.from_pylist(rows)
    preprocess = Preprocess(config, "/nowhere", check_columns(window.schema, config), tokens, 1)
    return [batch for table in preprocess.map_batch(window) for batch in MicroBatch.from_arrow(table, PATCHES)]


@pytest.mark.parametrize("tokens", [256, 100_000])
def test_several_texts_cost_one_decode_and_one_patch_embedding(
    scene_rows: Callable[[int], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    decoded = []
    whole = Preprocessor.patches_of_bytes
    monkeypatch.setattr(
        Preprocessor, "patches_of_bytes", lambda self, data, *most: decoded.append(data) or whole(self, data, *most)
    )
    rows = [
        {"id": row["id"], "image": row["image"], "texts": [row["caption"], None, "a red star", row["question"]]}
        for row in scene_rows(12)
    ]
    batches = batches_of(rows, tokens)
    assert len(decoded) == len(set(decoded)) == 12
    assert sum(len(batch.pairs) for batch in batches) == 36
    assert sum(len(batch.pairs.grids) for batch in batches) == 12, "what the model embeds"
    ids = [set(batch.rows["row_id"].to_pylist()) for batch in batches]
    assert sum(map(len, ids)) == 12, "no row's texts are in two micro-batches"
    assert sum(batch.rows.num_rows for batch in batches) == 48
    assert (len(batches) == 1) == (tokens == 100_000)


def test_a_list_of_texts_is_not_repeated_for_each_of_them() -> None:
    """2,000 texts of 20 characters: 40 kB, which repeated would be 80 MB."""
    texts = [f"a red star {i:09d}" for i in range(2000)]
    [batch] = batches_of([{"id": 1, "image": png(64, 48), "texts": texts}], 10**6)
    assert batch.rows["texts"].to_pylist() == texts, "each row has its own text"
    assert batch.rows.column_names[:2] == ["id", "texts"]
    assert batch.rows.nbytes < 10**6


def test_rows_that_cost_too_much_leave_once_with_a_reason() -> None:
    row = {"id": 1, "image": png(64, 48), "texts": ["a red star"], "meta": "m"}
    rows = [
        row,
        {**row, "id": 2, "texts": ["a"] * 20_000},
        {**row, "id": 3, "texts": ["a", "b" * 2000, None]},
        {**row, "id": 4, "texts": ["a"] * 900, "meta": "m" * 2000},
        row | {"id": 5},
    ]
    limits = {"text_bytes": 1000, "carried_bytes": 10**6}
    batches = batches_of(rows, 10**6, limits=limits)
    whole = [row for batch in batches for row in batch.rows.select(["row_id", "text_index", "error"]).to_pylist()]
    assert sorted(tuple(row.values()) for row in whole if row["text_index"] is None) == [
        (2, None, "texts_too_many"),
        (4, None, "row_too_large"),
    ]
    assert sorted(tuple(row.values()) for row in whole if row["text_index"] is not None) == [
        (1, 0, None),
        (3, 0, None),
        (3, 1, "text_too_long"),
        (3, 2, "text_null"),
        (5, 0, None),
    ]


def test_rows_that_were_not_read_leave_once_with_their_reason() -> None:
    rows = [{"id": i, "image": png(64, 48), "texts": ["a red star"]} for i in range(3)]
    window = pa.Table.from_pylist(rows)
    failures = [None, {"reason": "row_too_deep", "detail": "line 2"}, None]
    window = window.append_column(UNREAD, pa.array(failures, UNREAD_TYPE))
    values = {"input": {"path": "/nowhere", "text": "texts", "id": "id"}, "model": "zoo://scenes"}
    config = JobConfig.parse("score", {**values, "output": {"path": "/out"}})
    preprocess = Preprocess(config, "/nowhere", check_columns(pa.Table.from_pylist(rows).schema, config), 10_000, 1)
    batches = [batch for table in preprocess.map_batch(window) for batch in MicroBatch.from_arrow(table, PATCHES)]
    rows = [row for batch in batches for row in batch.rows.select(["row_id", "error"]).to_pylist()]
    found = {row["row_id"]: row["error"] for row in rows}
    assert len(rows) == len(found)
    assert found == {0: None, 1: "row_too_deep", 2: None}
    assert not any(UNREAD in batch.rows.column_names for batch in batches)


def test_negatives_are_read_once_with_each_image(scene_rows: Callable[[int], list[dict[str, Any]]]) -> None:
    """Their scores are those of the same texts as a row's own, and all texts of an image have them."""
    texts = ["a red star", "a watermark"]
    scenes = scene_rows(5)
    scenes[2]["image"] = b"<html>"
    captions = [[row["caption"], None, row["question"]] for row in scenes]
    rows = [
        {"id": row["id"], "image": row["image"], "texts": texts_} for row, texts_ in zip(scenes, captions, strict=True)
    ]
    rows.append({**rows[0], "id": 99})  # another row of the same image
    batches = batches_of(rows, 100_000, negatives=texts)
    assert [len(batch.pairs) for batch in batches] == [5 * 2 + 4 * 2]
    assert len(batches_of(rows, 300, negatives=texts)) > len(batches_of(rows, 300)), "they count as tokens"
    config = JobConfig.parse(
        "score",
        {"input": {"path": "t"}, "model": "zoo://scenes", "output": {"path": "o"}, "negatives": texts},
    )
    found = pa.concat_tables([PredictActor(config, 1)(batch.to_arrow()) for batch in batches])
    assert found.column_names[-5:] == ["score", "negative_scores", "error", "error_detail", "__stats"]
    plain = config.model_copy(update={"negatives": None})
    alone = [{**row, "texts": texts} for row in rows]
    expected = pa.concat_tables([PredictActor(plain, 1)(batch.to_arrow()) for batch in batches_of(alone, 100_000)])
    scores = {(row["row_id"], row["text_index"]): row["score"] for row in expected.to_pylist()}
    for row in found.to_pylist():
        if row["error"] is None:
            of_texts = [scores[row["row_id"], i] for i in range(2)]
            assert row["negative_scores"] == pytest.approx(of_texts, abs=1e-4)
        else:
            assert row["negative_scores"] is None
    assert found["error"].null_count == 10
