"""What a rank job found, for reports: images of texts and texts of images, the best first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.storage import StorageConfig
from pipeline.reporting.access import Access
from pipeline.reporting.overview import look_at
from pipeline.reporting.pictures import pictures_of
from pipeline.reporting.ranked import TEXTS_SHOWN, Ranked, look_at_ranked
from pipeline.reporting.truncation import truncated_texts
from tests.conftest import png
from tests.pipeline.reporting.outputs import write_output

IMAGES = pa.list_(pa.struct([("row_id", pa.string()), ("score", pa.float32())]))
TEXTS = pa.list_(pa.struct([("text_id", pa.string()), ("score", pa.float32())]))


def write_ranked(folder: Path, count: int = 3) -> str:
    """A rank job over images "i0", "i1", ... and as many texts: text j has image i with the score 10 j - i."""
    (folder / "table").mkdir(parents=True)
    ids = [f"i{number}" for number in range(count)]
    pq.write_table(pa.table({"id": ids, "image": [png(5, 5)] * count}), folder / "table" / "t.parquet")
    best_texts: list[Any] = [
        [{"text_id": f"t{j}", "score": 10 * j - i} for j in reversed(range(count))] for i in range(count)
    ]
    best_texts[-1] = None
    columns = {"row_id": ids, "best_texts": pa.array(best_texts, TEXTS), "error": [None] * (count - 1) + ["image_null"]}
    uri = write_output(folder / "out", columns, ["rank"], id="id")
    (folder / "out" / "images").mkdir()
    (folder / "out" / "part-0.parquet").rename(folder / "out" / "images" / "part-0.parquet")
    best_images = [[{"row_id": f"i{i}", "score": 10 * j - i} for i in range(count - 1)] for j in range(count)]
    texts = {
        "text_id": [f"t{j}" for j in range(count)],
        "text": [f"text <{j}>" for j in range(count - 1)] + ["word " * 100],
        "best_images": pa.array([*best_images[:-1], []], IMAGES),
        "text_truncated": [None] + [False] * (count - 2) + [True],
    }
    (folder / "out" / "texts").mkdir()
    pq.write_table(pa.table(texts), folder / "out" / "texts" / "part-0.parquet")
    return uri


def test_texts_and_images(tmp_path: Path) -> None:
    view = look_at(write_ranked(tmp_path), StorageConfig())
    assert (view.score, view.rejected) == ("best score", {"image_null": 1})
    assert view.scores
    assert (view.scores.rows, view.scores.quantiles[0], view.scores.quantiles[-1]) == (2, 19, 20)
    ranked = look_at_ranked(view, StorageConfig())
    assert [(one.text_id, one.text) for one in ranked.texts] == [("t1", "text <1>"), ("t0", "text <0>")]
    pictures, note = pictures_of(view, StorageConfig(), Access([str(tmp_path / "table")]))
    assert note == ""
    shown = [(one.row_id, one.score, one.source, bool(one.thumbnail)) for one in pictures[ranked.texts[0].kind]]
    assert shown == [("i0", "10", "t.parquet, row 0", True), ("i1", "9", "t.parquet, row 1", True)]
    [first, second] = view.examples["best"]
    assert ranked.best_texts[first["row_key"]] == [("20", "word " * 100), ("10", "text <1>"), ("0", "text <0>")]
    assert [score for score, _ in ranked.best_texts[second["row_key"]]] == ["19", "9", "-1"]
    truncated, note = truncated_texts(view, ranked, StorageConfig(), Access())
    assert [one.row_id for one in truncated] == ["t2"]
    assert truncated[0].lost


def test_many_texts(tmp_path: Path) -> None:
    view = look_at(write_ranked(tmp_path, 50), StorageConfig())
    ranked = look_at_ranked(view, StorageConfig())
    assert len(ranked.texts) == TEXTS_SHOWN
    assert (ranked.texts[0].text_id, ranked.texts[-1].text_id) == ("t48", "t0"), "from the best to the worst"


def test_other_outputs(tmp_path: Path) -> None:
    out = write_output(tmp_path / "out", {"row_id": [1], "score": [0.5]})
    assert look_at_ranked(look_at(out, StorageConfig()), StorageConfig()) == Ranked()
