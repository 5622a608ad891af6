"""Faults that pass, as `tests.passing_faults` has them, of files that are copied, and of files in the input's order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fsspec.implementations.local import LocalFileSystem

from jobs.commands import calibrate, report, show
from jobs.console.command import Outcome
from pipeline import run
from pipeline.common.errors import RowsLostError, StorageFailedError
from pipeline.common.row_ranges import row_key
from pipeline.config.filter import FilterConfig
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.filtering.filter_table import filter_table
from pipeline.reporting.access import Access
from pipeline.results import input_order
from pipeline.results.file_footer import ResultFile
from pipeline.results.output_folder import OutputFolder
from pipeline.results.result_parts import ResultParts
from pipeline.tables.formats.webdataset.format import WebDatasetFormat
from pipeline.tables.table import open_files
from tests.passing_faults import AWAY, once, storage_away_for_a_first_look, storage_away_for_a_plan
from tests.pipeline.filtering.test_filter_tars import write_shards
from tests.pipeline.reindexing.world import World
from tests.pipeline.reporting.outputs import write_output
from tests.pipeline.results.test_input_order import write_input, write_parts
from tests.pipeline.scoring.flowless import without_ray
from tests.pipeline.scoring.test_tar_output import config as tar_job
from tests.pipeline.scoring.test_tar_output import write_tars


def a_tar_that_grows_under_a_filter(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del small_world
    config, copy = FilterConfig.checked(write_shards(tmp_path)), WebDatasetFormat.copy_rows
    failed: list[bool] = []

    def more(self: WebDatasetFormat, *args: Any) -> int:
        rows = copy(self, *args)
        if failed:
            return rows
        failed.append(True)
        return rows + 1

    monkeypatch.setattr(WebDatasetFormat, "copy_rows", more)
    with pytest.raises(RowsLostError, match=r"of 7 that were counted: .*run the same command again"):
        filter_table(config)
    assert filter_table(config).rows_in == 21


def a_tar_that_grows_under_a_job(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del small_world
    flow, job = without_ray(monkeypatch), tar_job(str(write_tars(tmp_path)), f"{tmp_path}/out")
    copy, failed = WebDatasetFormat.copy_rows, list[bool]()

    def more(self: WebDatasetFormat, *args: Any) -> int:
        rows = copy(self, *args)
        failed.append(True)
        return rows + (len(failed) == 1)

    monkeypatch.setattr(WebDatasetFormat, "copy_rows", more)
    with pytest.raises(RowsLostError, match=r"that were counted: .*run the same command again"):
        run(job)
    assert (run(job).rows_out, len(flow.read)) == (15, 15)


def a_row_is_lost_between_the_parts_and_the_order(
    small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    del small_world
    rows = [{"image": b"x", "caption": f"{i}", "id": i} for i in range(30)]
    table = open_files(InputConfig(path=str(write_input(tmp_path, rows))), StorageConfig())
    ordered = input_order.row_groups
    failed: list[bool] = []

    def fewer(found: Iterator[pa.Table]) -> Iterator[pa.Table]:
        for group in ordered(found):
            yield group if failed else group.slice(1)
            failed.append(True)

    monkeypatch.setattr(input_order, "row_groups", fewer)
    with OutputFolder(LocalFileSystem(), f"{tmp_path}/out", {"config": "c"}) as output:
        output.begin(overwrite=False)
        parts = ResultParts(output, in_input_order=True)
        parts.load()
        write_parts(parts, [row_key(0) + np.arange(17), row_key(2) + np.arange(13)], "RUN", {})
        with pytest.raises(RowsLostError, match=r"rows in, 1\d rows out: nothing was published; run the same command"):
            parts.put_in_input_order(table)
        parts.put_in_input_order(table)
        assert ResultFile.total(parts.all()).rows == 30


def storage_away_for_a_look_at_results(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del small_world
    out = write_output(tmp_path / "out", {"row_id": [1, 2], "score": [1.0, 2.0]}, id="id")
    (tmp_path / "labels.csv").write_text("row_id,good\n1,0\n2,1\n")
    commands: list[tuple[Any, str, Callable[[], Outcome]]] = [
        (show, "look_at", lambda: show.show_output(out, 1)),
        (report, "write_report", lambda: report.report_output(out, str(tmp_path / "a.html"), Access())),
        (report, "compare", lambda: report.compare_outputs(out, out, str(tmp_path / "b.html"), Access())),
        (calibrate, "draw_sample", lambda: calibrate.draw_rows(out, 2, 0, str(tmp_path / "drawn.csv"))),
        (calibrate, "calibrate", lambda: calibrate.calibrate_output(out, str(tmp_path / "labels.csv"), 0.9)),
    ]
    for module, name, command in commands:
        once(monkeypatch, module, name, AWAY)
        with pytest.raises(StorageFailedError, match="run the same command again"):
            command()
        assert command().values


CASES = {
    "pipeline/storage/failures.py as_storage_failure": [
        storage_away_for_a_plan,
        storage_away_for_a_first_look,
        storage_away_for_a_look_at_results,
    ],
    "pipeline/results/copied_files.py copy_file": [a_tar_that_grows_under_a_filter, a_tar_that_grows_under_a_job],
    "pipeline/results/input_order.py write": [a_row_is_lost_between_the_parts_and_the_order],
}
