"""A window in parts: no more images and texts than fit the budget, each row in one part, in order."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import JobConfig
from pipeline.stages import window_parts as module
from pipeline.stages.window_parts import WindowPart, window_parts

BUDGET = 10_000


def job(folder: object, budget: int = BUDGET, **limits: int) -> JobConfig:
    values = {"input": {"path": str(folder)}, "model": "zoo://scenes", "output": {"path": "/nowhere/out"}}
    return JobConfig.parse("score", {**values, "batch": {"window_bytes": budget}, "limits": limits})


def parts_of(window: pa.Table, config: JobConfig) -> list[WindowPart]:
    parts = list(window_parts(window, config, config.input.path))
    assert pa.concat_tables([part.rows for part in parts]).equals(window), "each row in one part, in order"
    assert all(len(part.images) == part.rows.num_rows > 0 for part in parts)
    return parts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files whose names are their sizes."""
    made = tmp_path_factory.mktemp("images")
    for size in (0, 10, 3000, 5000, 9000, 30_000):
        (made / f"{size}.bin").write_bytes(b"x" * size)
    return made


@given(rows=st.lists(st.sampled_from(["0", "10", "3000", "5000", "9000", "30000", "none"]), min_size=1, max_size=30))
def test_fetched_images_fit_the_budget(folder: Path, rows: list[str]) -> None:
    window = pa.table({"image": [f"{name}.bin" for name in rows], "text": ["a"] * len(rows)})
    parts = parts_of(window, job(folder))
    images = [row[0] for part in parts for row in part.images]
    sizes = [str(len(image)) if isinstance(image, bytes) else "none" for image in images]
    assert sizes == rows
    for part in parts:
        distinct = {image for [image] in part.images if isinstance(image, bytes)}
        first = len(part.images[0][0]) if isinstance(part.images[0][0], bytes) else 0
        assert sum(map(len, distinct)) - first <= BUDGET
    small = sum({int(name) for name in rows if name.isdigit()}) <= BUDGET
    assert not small or len(parts) == 1, "what fits is one part"


def test_large_files_are_not_read_before_they_are_counted(tmp_path: Path) -> None:
    """Sparse files of 60 MB: a window of 40 of them would take 2.4 GB."""
    for i in range(40):
        with open(tmp_path / f"{i}.bin", "wb") as file:
            file.truncate(60_000_000)
    window = pa.table({"image": [f"{i}.bin" for i in range(40)], "text": ["a"] * 40})
    parts = window_parts(window, job(tmp_path, 2**27), str(tmp_path))
    held = [sum(len(row[0]) for row in part.images) for part in parts]
    assert sum(held) == 40 * 60_000_000
    assert max(held) <= 2**27 + 60_000_000, "the budget, beside the image of the first row"


def texts_window(counts: list[int], size: int) -> pa.Table:
    texts = [[f"text {i}" for i in range(count)] for count in counts]
    return pa.table({"image": ["none.png"] * len(counts), "text": texts, "meta": ["m" * size] * len(counts)})


def test_rows_of_many_texts_are_parts_of_their_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEXT_BYTES", 0)
    parts = parts_of(texts_window([1, 90, 1, 1, 90], 90), job(folder))
    assert [[len(texts) for texts in part.rows["text"].to_pylist()] for part in parts] == [[1, 90, 1, 1], [90]]
    assert not any(part.failures for part in parts)


def test_what_texts_would_repeat_is_limited(folder: Path) -> None:
    config = job(folder, carried_bytes=100_000, texts_per_row=500)
    [part] = parts_of(texts_window([2, 400, 3], 1000), job(folder, 2**29))
    assert not part.failures
    failures = [part.failures for part in parts_of(texts_window([2, 400, 3, 501], 1000), config)]
    [failure] = [failure for found in failures for failure in found.values()]
    assert failure.reason == "row_too_large"
    assert "are more than 100,000 (limits.carried_bytes)" in failure.detail


def test_a_failure_is_that_of_its_row_wherever_a_part_begins(folder: Path) -> None:
    window = texts_window([1, 1, 400, 1, 400], 1000)
    images = pa.array([f"{size}.bin" for size in (9000, 30_000, 10, 10, 9000)])
    parts = parts_of(window.set_column(0, "image", images), job(folder, carried_bytes=100_000))
    assert len(parts) > 1
    failed = [[row in part.failures for row in range(part.rows.num_rows)] for part in parts]
    assert [one for part in failed for one in part] == [False, False, True, False, True]
    assert all(row < part.rows.num_rows for part in parts for row in part.failures)
