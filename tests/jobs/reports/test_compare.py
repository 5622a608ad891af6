"""Two runs compared: what a person, a program and a browser get, whatever the rows hold."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.console.tables import to_text
from jobs.reports.compare import comparison_table, comparison_values
from pipeline.config.storage import StorageConfig
from pipeline.reporting.access import Access
from pipeline.reporting.comparison import Comparison, compare
from pipeline.reporting.comparison_page import comparison_page
from tests.conftest import png
from tests.outputs import HOSTILE, thumbnails
from tests.pipeline.reporting.outputs import write_output


def two_runs(folder: Path) -> Comparison:
    """Runs over 12 images: two rows change places, one is rejected in the second, one is in the first alone."""
    ids, scores = list(range(12)), [number / 10 for number in range(12)]
    (folder / "table").mkdir(parents=True)
    pq.write_table(pa.table({"id": ids, "image": [png(8, 8)] * 12}), folder / "table" / "t.parquet")
    table = {"path": str(folder / "table"), "text": "text", "id": "id"}
    texts = [HOSTILE] * 12
    a = write_output(folder / "a", {"row_id": ids, "text": texts, "score": scores}, **table)
    scores[0], scores[10], scores[5] = scores[10], scores[0], None  # type: ignore[call-overload]
    errors = [None] * 5 + ["image_missing"] + [None] * 5
    b = {"row_id": ids[:11], "text": texts[:11], "score": scores[:11], "error": errors}
    return compare(a, write_output(folder / "b", b, **table), StorageConfig())


def test_for_a_person(tmp_path: Path) -> None:
    text = to_text(comparison_table(two_runs(tmp_path), "b/_compared.html"))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[:6] == [
        f"A {tmp_path}/a",
        f"B {tmp_path}/b",
        "Rows in A 12",
        "Rows in B 11",
        "In both 11",
        "With both scores 10",
    ]
    assert "Cross threshold 20.00%" in lines
    assert "Only in A 1" in lines
    median = "the median of each run, 0.6 in A and 0.6 in B"
    assert f"Of 10 rows 1 rise above {median}, 1 fall below; 4 stay above it and 4 below." in lines
    assert lines[-2].startswith("B 1 image_missing: ")
    assert lines[-1] == "report b/_compared.html"


def test_for_a_program(tmp_path: Path) -> None:
    values = comparison_values(two_runs(tmp_path))
    assert json.loads(json.dumps(values)) == values
    assert (values["rows"], values["in_both"], values["only"], values["compared"]) == ([12, 11], 11, [1, 0], 10)
    assert values["rejected_only"] == [{}, {"image_missing": 1}]
    assert values["crossing"] == {"thresholds": [0.6, 0.6], "rose": 1, "fell": 1, "share": 0.2}
    assert values["differences"]["1.0"] == 1.0
    assert -1 < values["spearman"] < 1


def test_for_a_browser(tmp_path: Path) -> None:
    found = two_runs(tmp_path)
    page, left_out = comparison_page(found, StorageConfig(), Access([str(tmp_path / "table")]))
    for part in ("Rose most in rank, from A to B", "rank 10% → 100%", "0 → 1", "id 0<br>t.parquet, row 0"):
        assert part in page
    assert "Rejected in B alone" in page
    assert "1: 11" in page, "the id of the row that only one has"
    assert len(thumbnails(page)) == 2, "the two rows that changed places"
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert left_out == ""
    closed, left_out = comparison_page(two_runs(tmp_path / "again"), StorageConfig(), Access())
    assert thumbnails(closed) == []
    assert left_out.startswith("Pictures are left out: they are in ")
    assert "Pictures are left out: they are in " in closed
