"""Faults that pass, as `tests.passing_faults` has them, of files that are copied, and of files in the input's order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fsspec.implementations.local import LocalFileSystem

from pipeline.common.errors import RowsLostError
from pipeline.common.row_ranges import row_key
from pipeline.config.filter import FilterConfig
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.filtering.filter_table import filter_table
from pipeline.results import input_order
from pipeline.results.file_footer import ResultFile
from pipeline.results.output_folder import OutputFolder
from pipeline.results.result_parts import ResultParts
from pipeline.tables.formats.webdataset import WebDatasetFormat
from pipeline.tables.table import open_files
from tests.pipeline.filtering.test_filter_tars import write_shards
from tests.pipeline.reindexing.world import World
from tests.pipeline.results.test_input_order import write_input, write_parts


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


CASES = {
    "pipeline/filtering/copying.py _copy_file": [a_tar_that_grows_under_a_filter],
    "pipeline/results/input_order.py write": [a_row_is_lost_between_the_parts_and_the_order],
}
