"""CSV: values as they stand, quotes that are never closed, line ends at the edges of blocks."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import ConfigError
from pipeline.tables.format import OpenOptions
from pipeline.tables.formats.csv.format import CsvFormat
from pipeline.tables.table import open_table
from tests.pipeline.tables.reading import (
    config,
    rows_of,
)


def test_csv_values_are_strings_and_ids_numbers(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(b'\xef\xbb\xbfid,image,text,zip\n7,a.png,"one\ntwo",007\n\n8,b.png,,1e3\n')
    job = config(file, id="id")
    assert rows_of(job) == [
        {"id": 7, "image": "a.png", "text": "one\ntwo", "zip": "007"},
        {"id": 8, "image": "b.png", "text": "", "zip": "1e3"},
    ]
    assert [row["image"] for row in rows_of(config(file, id="image"))] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["1", "-2", "0", ""], [1, -2, 0, None]),
        (["1", "007", ""], ["1", "007", ""]),
        (["9223372036854775807"], [2**63 - 1]),
        (["9223372036854775808"], ["9223372036854775808"]),
        (["00000000000000000000000000000012", "deadbeef"], ["00000000000000000000000000000012", "deadbeef"]),
    ],
)
def test_ids_are_integers_or_stand_as_they_are(written: list[str], read: list[object], tmp_path: Path) -> None:
    lines = [f'{one},a.png,"x"' for one in written]
    (tmp_path / "a.csv").write_text("\n".join(["id,image,text", *lines]) + "\n")
    assert [row["id"] for row in rows_of(config(tmp_path, id="id"))] == read
    (tmp_path / "b.csv").write_text("id,image,text\nx,b.png,y\n")
    both = [row["id"] for row in rows_of(config(tmp_path, id="id"))]
    assert both == [*written, "x"], "strings in one file, strings in all"


def test_quotes_that_are_never_closed(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    for text in ('a,b\nc,"d\ne,f\n', 'a,b\nc,"d', 'a,b\nc,"d""\n'):
        file.write_text(f"image,text\n{text}")
        with pytest.raises(ConfigError, match="a quote in row 2 is never closed: all that follows it is one value"):
            open_table(config(file))
    file.write_text('image,text\na,5" tape\nb,""\n')
    assert [row["text"] for row in rows_of(config(file))] == ['5" tape', ""]


CELLS = st.lists(st.sampled_from(["a", "\r\n", "\n", "\r", '"', ",", "é" * 9]), max_size=8).map("".join)


@settings(max_examples=50)
@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=20), block=st.integers(400, 500))
def test_values_at_the_edges_of_blocks(rows: list[tuple[str, str]], block: int) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *rows])
    data, csv_format = text.getvalue().encode(), CsvFormat()
    with patch("pipeline.tables.formats.row_format.BLOCK_BYTES", block):
        scan = csv_format.scan(lambda: io.BytesIO(data), OpenOptions())
        tables = list(csv_format.parse(io.BytesIO(data), scan.schema, OpenOptions()))
    assert scan.rows == len(rows)
    assert [(row["a"], row["b"]) for table in tables for row in table.to_pylist()] == rows


@pytest.mark.parametrize("block_bytes", [16, 2**24])
def test_the_first_bytes_of_a_file_are_read_once_for_its_names(block_bytes: int) -> None:
    opened: list[io.BytesIO] = []

    def file() -> io.BytesIO:
        opened.append(io.BytesIO(b"a,b\r\n" + b"1,2\r\n" * 500))
        return opened[-1]

    with patch("pipeline.tables.formats.row_format.BLOCK_BYTES", block_bytes):
        scan = CsvFormat().scan(file, OpenOptions())
    assert (scan.schema.names, scan.rows) == (["a", "b"], 500)
    assert len(opened) == 2  # for the names, and for the rows
