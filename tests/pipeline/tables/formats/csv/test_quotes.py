"""Quotes of CSV, looked at in blocks of any size, and against Python's own strict reader."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tables.formats.csv.quotes import QuoteCheck, check_quotes


def suspicious(data: bytes, size: int) -> bool:
    check = QuoteCheck(",")
    for begin in range(0, len(data), size):
        check.add(data[begin : begin + size])
    check.add(b"\nend\n")  # what the scan adds
    return check.suspicious


def fault(data: bytes) -> str | None:
    try:
        check_quotes(io.BytesIO(data), ",", header=True)
    except ValueError as error:
        return str(error)
    return None


def strict(data: bytes) -> bool:
    """Return whether Python's reader takes the file: in its strict mode nothing may follow a closing quote."""
    try:
        list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
    except csv.Error as error:
        return "unexpected end" in str(error)
    return True


@given(st.text(alphabet='a",\n\r', max_size=30), st.integers(1, 7))
def test_as_python_s_strict_reader(text: str, size: int) -> None:
    data = text.encode()
    assert (fault(data) is None) == strict(data)
    if fault(data):
        assert suspicious(data, size), "or nobody would look"


@given(
    st.lists(st.lists(st.text(alphabet='a", \n\r\\', max_size=6), min_size=2, max_size=2), max_size=5),
    st.integers(1, 9),
)
def test_what_is_written_as_it_should_be_passes(rows: list[list[str]], size: int) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(rows)
    data = b"\xef\xbb\xbf" + out.getvalue().encode()
    assert fault(data) is None
    assert not suspicious(data, max(3, size))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'a,b\n1,"x \\"y\\""\n', r'row 1 goes on .*at \'1,"x'),
        (b'a,b\n\n1,2\n3,"x"y\n', "row 2 goes on"),
        (b'a,"b"c\n1,2\n', "the first line goes on"),
        (b'a,b\n"x\n\ny"z,1\n', "row 1 goes on"),
    ],
)
def test_the_row_is_named(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_quotes(io.BytesIO(data), ",", header=True)
