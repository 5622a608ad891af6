"""A window of rows becomes micro-batches: each image decoded once, the rows of a list of texts together."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from pipeline import JobConfig
from pipeline.stages.micro_batch import MicroBatch
from pipeline.stages.preprocess import Preprocess
from pipeline.tables.column_checks import check_columns
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
