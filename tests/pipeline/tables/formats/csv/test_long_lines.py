"""Lines of CSV that are too long: one row each that is not read, if it is one row for certain."""

from __future__ import annotations

import io

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.columns import UNREAD
from pipeline.tables.format import OpenOptions
from pipeline.tables.formats import row_format
from pipeline.tables.registry import format_named

LONG = "x" * 200


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_format, "BLOCK_BYTES", 64)
        yield


def rows_of(data: bytes, kind: str = "csv", **options: object) -> list[tuple[str, ...] | str]:
    """Return the values of each row, or the reason why it is not read."""
    known, opened = format_named(kind), OpenOptions(**options)  # type: ignore[arg-type]
    scan = known.scan(lambda: io.BytesIO(data), opened)  # type: ignore[attr-defined]
    out: list[tuple[str, ...] | str] = []
    for table in known.parse(io.BytesIO(data), scan.schema, opened):  # type: ignore[attr-defined]
        for row in table.to_pylist():
            unread = row.pop(UNREAD, None)
            out.append(unread["reason"] if unread else tuple(row.values()))
    assert len(out) == scan.rows
    return out


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_a_long_line_is_one_row(end: str, last: bool) -> None:
    for long in (f"1,{LONG}", f'1,"{LONG}"', f'"{LONG}""{LONG}",b'):
        lines = ["a,b", "1,x", long, "2,y", "", long, long, '"3","z"""']
        data = end.join(lines + ([""] if last else [])).encode()
        failed = "row_too_large"
        assert rows_of(data) == [("1", "x"), failed, ("2", "y"), failed, failed, ("3", 'z"')]
        assert rows_of(data + (b"" if last else end.encode()) + long.encode())[-1] == failed


def test_files_that_begin_and_end_with_long_lines() -> None:
    names = ("a", "b")
    assert rows_of(f"1,{LONG}\n\n2,y\n3,{LONG}".encode(), column_names=names) == [
        "row_too_large", ("2", "y"), "row_too_large"
    ]  # fmt: skip
    assert rows_of(f"1,{LONG}\n\n".encode(), column_names=names) == ["row_too_large"]
    assert rows_of(f'a\tb\n1\t{LONG}\n2\t5" tall\n'.encode(), "tsv") == ["row_too_large", ("2", '5" tall')]
    assert rows_of(f"n,a\n007,{LONG}\n7,x\n".encode(), id_column="n") == ["row_too_large", (7, "x")]


@pytest.mark.parametrize(
    "lines",
    [
        ["a,b", f'1,"open {LONG}', "2,y", '3,"z"'],  # never closed: rows would be lost in it
        ["a,b", f'1,"{LONG}', f'{LONG}"', "2,y"],  # line ends in a value
        ["a,b", '1,5" tall', f"2,{LONG}", "3,z"],  # the quote is a character, as the parity does not know
        ["a,b", f'1,{LONG}"{LONG}"', "3,z"],
        [f"a,{LONG}", "1,x"],  # the header
    ],
)
def test_other_long_rows_refuse_the_file(lines: list[str]) -> None:
    with pytest.raises((ValueError, pa.ArrowInvalid)) as caught:
        rows_of("\n".join(lines).encode())
    assert "more than 64 bytes" in str(caught.value)


VALUES = st.text(st.sampled_from('ab," \n'), max_size=12) | st.just("y" * 90) | st.just('"' * 45)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_no_row_is_lost(rows: list[tuple[str, str]], end: str) -> None:
    """Each row comes back as it was written, or with its reason, or the file is refused."""
    written = ["a,b", *(",".join('"' + value.replace('"', '""') + '"' for value in row) for row in rows)]
    try:
        found = rows_of((end.join(written) + end).encode())
    except ValueError as error:
        assert "more than 64 bytes" in str(error)
        return
    assert len(found) == len(rows)
    for line, row, one in zip(written[1:], rows, found, strict=True):
        assert one == (row if len(line) + len(end) <= 64 or one != "row_too_large" else "row_too_large")
