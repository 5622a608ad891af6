"""A format that is defined here alone, registered in one line, runs real jobs: listed, read, planned and filtered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError, JobConfig, run
from pipeline.config.filter import FilterConfig
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.filtering.filter_table import filter_table
from pipeline.planning.sampling import draw_sample
from pipeline.tables import registry
from pipeline.tables.format import Listing, OpenOptions, TableFormat
from pipeline.tables.input_file import InputFile
from pipeline.tables.opened_table import OpenedFile, OpenedTable, Split
from pipeline.tables.table import open_files, open_table

pytestmark = pytest.mark.usefixtures("ray_cluster")
COLUMNS = pa.schema([("image", pa.string()), ("text", pa.string())])


class Slides(TableFormat):
    """Lines of `image|text`, some rows of it a split."""

    name = "slides"
    extensions = (".slides",)

    def open(self, listing: Listing, options: OpenOptions) -> OpenedTable:
        """Count the lines of all files."""
        del options
        opened = []
        for file in listing.files:
            rows = len(Path(file.path).read_text().splitlines())
            splits = [Split(first, min(4, rows - first), min(4, rows - first), 100) for first in range(0, rows, 4)]
            opened.append(OpenedFile(file, splits))
        return OpenedTable(opened, COLUMNS, SlidesReader())


class SlidesReader:
    """Reads splits of lines."""

    def read(self, file: InputFile, split: Split, columns: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Yield a split at once."""
        del rows
        lines = Path(file.path).read_text().splitlines()[split.first_row : split.first_row + split.all_rows]
        cells = zip(*(line.split("|") for line in lines), strict=True)
        yield pa.table(dict(zip(COLUMNS.names, cells, strict=True)), COLUMNS).select(columns.names)


@pytest.fixture
def slides(tmp_path: Path, scene_rows: Callable[[int], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of ten rows in two files, and the format registered."""
    monkeypatch.setattr(registry, "FORMATS", [*registry.FORMATS, Slides()])
    folder = tmp_path / "table"
    folder.mkdir()
    lines = []
    for number, row in enumerate(scene_rows(10)):
        (folder / f"{number}.img").write_bytes(row["image"])
        lines.append(f"{number}.img|{row['caption']}\n")
    (folder / "a.slides").write_text("".join(lines[:7]))
    (folder / "b.slides").write_text("".join(lines[7:]))
    return folder


def test_a_toy_format_runs_a_job(slides: Path, tmp_path: Path) -> None:
    values = {
        "input": {"path": str(slides)},
        "model": "zoo://scenes",
        "output": {"path": str(tmp_path / "out"), "report": False},
    }
    job = JobConfig.parse("score", values)
    table = open_table(job)
    assert (table.format.name, table.rows, [len(opened.splits) for opened in table.files]) == ("slides", 10, [2, 1])
    assert len(draw_sample(table, 6, seed=0).rows) == 6
    summary = run(job)
    assert (summary.rows_in, summary.scored, summary.rejected) == (10, 10, {})
    out = pq.read_table(tmp_path / "out")
    assert sorted(out["text"].to_pylist()) == sorted(
        line.split("|")[1] for file in slides.glob("*.slides") for line in file.read_text().splitlines()
    )
    keep = {"top": 0.5}
    config = {
        "input": values["input"],
        "scores": str(tmp_path / "out"),
        "output": {"path": str(tmp_path / "good"), "report": False},
    }
    kept = filter_table(FilterConfig.checked({**config, "keep": keep}))
    assert kept.kept == 5
    assert pq.read_table(tmp_path / "good" / "kept").num_rows == 5


def test_a_format_is_known_by_its_name(slides: Path) -> None:
    (slides / "c.parquet").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"several formats \(1 parquet, 2 slides\); choose in input\.format"):
        open_files(InputConfig(path=str(slides)), StorageConfig())
    assert open_files(InputConfig(path=str(slides), format="slides"), StorageConfig()).rows == 10
    with pytest.raises(ConfigError) as caught:
        open_files(InputConfig(path=str(slides), format="slidez"), StorageConfig())
    names = ", ".join(known.name for known in registry.FORMATS)
    assert "parquet, csv, tsv, jsonl" in names
    assert str(caught.value) == f"input.format: 'slidez' is no table format; use {names}"


def test_names_and_extensions_are_distinct() -> None:
    names = [known.name for known in registry.FORMATS]
    ends = [end for known in registry.FORMATS for end in known.extensions]
    assert len(set(names)) == len(names)
    assert len(set(ends)) == len(ends)
