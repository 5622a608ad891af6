"""Lines of JSON that cost too much: rows with a reason, wherever blocks of the file end."""

import gzip
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.columns import UNREAD
from pipeline.common.errors import ConfigError
from pipeline.common.row_ranges import RowSet
from pipeline.config.job import JobConfig
from pipeline.tables.formats.jsonl.lines import read_lines
from pipeline.tables.reading import read_plan
from pipeline.tables.table import open_table
from tests.pipeline.tables.reading import config, write_tar

DEEP = "[" * 30_000 + "]" * 30_000


def rows_and_reasons(job: JobConfig) -> list[tuple[str | None, str | None]]:
    """The text of each row, and why it could not be read."""
    table = open_table(job)
    parts = [rows for one in table.unread(RowSet.none()) for rows in one.read(read_plan(table, 512))]
    whole = pa.concat_tables(parts, promote_options="default")
    assert whole.num_rows == table.rows, "counted before, and read"
    failures = whole[UNREAD].to_pylist() if UNREAD in whole.column_names else [None] * whole.num_rows
    texts = whole["text"].to_pylist()
    return [(text, failure and failure["reason"]) for text, failure in zip(texts, failures, strict=True)]


def test_deep_lines_are_rows_with_a_reason(tmp_path: Path) -> None:
    lines = ['{"text": "a"}', f'{{"text": "b", "x": {DEEP}}}', '{"text": "[[[[", "x": 1}', f'{{"text": {DEEP}}}']
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    expected = [("a", None), (None, "row_too_deep"), ("[[[[", None), (None, "row_too_deep")]
    assert rows_and_reasons(config(tmp_path, image="text")) == expected


def test_levels_that_many_lines_open_do_not_overflow_the_stack(tmp_path: Path) -> None:
    """To pyarrow a line end is a blank: 30,000 lines of one bracket are 30,000 levels."""
    (tmp_path / "t.jsonl").write_text('{"text": "a"}\n{"x":\n' + "[\n" * 30_000)
    with pytest.raises(ConfigError, match=r"t\.jsonl' is damaged or no such table: line 2, column 6"):
        open_table(config(tmp_path, image="text"))


@pytest.mark.parametrize("end", ['"}\n{"text": "c"}\n', '"}', ""])
def test_a_line_without_end_is_passed_over(tmp_path: Path, end: str) -> None:
    with gzip.open(tmp_path / "t.jsonl.gz", "wb") as file:
        file.write(b'{"text": "a"}\n{"text": "')
        for _ in range(40):
            file.write(b"b" * 2**20)
        file.write(end.encode())
    job = config(tmp_path, image="text")
    job = job.model_copy(update={"limits": job.limits.model_copy(update={"row_bytes": 2**20})})
    after = [("c", None)] if "c" in end else []
    assert rows_and_reasons(job) == [("a", None), (None, "row_too_large"), *after]


@given(st.lists(st.integers(0, 40)), st.integers(1, 50), st.integers(1, 30), st.booleans())
def test_blocks_do_not_matter(lengths: list[int], block: int, most: int, ends: bool) -> None:
    lines = [b"x" * length for length in lengths]
    data = b"\n".join(lines) + (b"\n" if ends else b"")
    with patch("pipeline.tables.formats.row_format.BLOCK_BYTES", block):
        found = list(read_lines(io.BytesIO(data), most, 9))
    got: dict[int, bytes | None] = {}
    for part in found:
        if part.failure:
            got[part.first] = None
        else:
            got |= {part.first + i: line for i, line in enumerate(part.data.split(b"\n")) if line}
    last = len(lines) if not ends else None  # which has no line end to count
    expected = {i: line if len(line) + (i != last) <= most else None for i, line in enumerate(lines, 1) if line}
    assert got == expected
    assert [part.first for part in found] == sorted(part.first for part in found)


def test_members_of_a_tar(tmp_path: Path) -> None:
    members: dict[str, Any] = {"a.png": b"a", "a.txt": b"a", "b.png": b"b", "b.txt": b"b" * 2000, "c.png": b"c"}
    members |= {"c.json": f'{{"x": {DEEP}}}'.encode(), "d.png": b"d", "d.json": json.dumps({"text": "d"}).encode()}
    write_tar(tmp_path / "t.tar", members)
    job = config(tmp_path)
    job = job.model_copy(update={"limits": job.limits.model_copy(update={"row_bytes": 1000})})
    # the JSON of c has more than 1,000 bytes, too
    assert rows_and_reasons(job) == [("a", None), (None, "row_too_large"), (None, "row_too_large"), ("d", None)]
    assert [reason for _, reason in rows_and_reasons(config(tmp_path))] == [None, None, "row_too_deep", None]


def test_rows_that_are_not_read_have_hashes_of_their_own(tmp_path: Path) -> None:
    """A table that follows its input tells a row that became too deep from one that was empty before."""
    (tmp_path / "t.jsonl").write_text(f'{{"text": null}}\n{{"text": {DEEP}}}\n{{"text": "a"}}\n')

    table = open_table(config(tmp_path, image="text"))
    [unread] = table.unread(RowSet.none())
    parts = list(unread.read(replace(read_plan(table, 9), row_source=True)))
    hashes = [row["hash"] for part in parts for row in part["row_source"].to_pylist()]
    assert len(set(hashes)) == 3
