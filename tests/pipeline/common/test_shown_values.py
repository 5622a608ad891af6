"""Values that Python cannot hold are shown as texts."""

from __future__ import annotations

import pyarrow as pa

from pipeline.common.row_ids import shown_id
from pipeline.common.shown_values import python_value, python_values

FAR = 2**63 - 1  # microseconds; DuckDB's infinity
NOT_UTF8 = pa.array([b"a\xff", b"b"], pa.binary()).view(pa.string())


def test_what_python_holds() -> None:
    for values in ([1, None], ["a", None], [[1], None], [{"a": b"x"}, None], [True, None]):
        assert python_values(pa.array(values)) == values
        assert [python_value(value) for value in pa.array(values)] == values


def test_strings_that_are_not_utf8() -> None:
    assert python_values(NOT_UTF8) == ["a\\xff", "b"]
    assert python_values(pa.StructArray.from_arrays([NOT_UTF8], ["t"])) == [{"t": "a\\xff"}, {"t": "b"}]
    assert python_values(pa.ListArray.from_arrays([0, 2], NOT_UTF8)) == [["a\\xff", "b"]]


def test_times_out_of_the_years_of_python() -> None:
    times = pa.array([FAR, 0, -(2**56) * 10], pa.timestamp("us"))
    far, epoch, early = python_values(pa.chunked_array([times]))
    assert (str(FAR) in far, early[0]) == (True, "-")
    assert epoch.year == 1970
    assert python_values(pa.array([2**31 - 1], pa.date32())) == [f"<value out of range: {2**31 - 1}>"]
    assert python_values(pa.ListArray.from_arrays([0, 1], times[:1]))[0][0] == far
    assert shown_id(times[0]) == far
