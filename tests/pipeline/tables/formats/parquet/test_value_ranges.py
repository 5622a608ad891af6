"""INT96 times out of pyarrow's range, and statistics that show values that do not fit."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError
from pipeline.tables.formats.parquet.value_ranges import (
    Int96Times,
    can_fail,
    int96_columns,
    int96_times,
    outside,
    refuse_unless_one_unit,
)

LOCAL = pyarrow.fs.LocalFileSystem()
MOST_NS = 2**63 - 1  # nanoseconds after 1970, in 2262
DAY = 86_400


def write_int96(path: Path, seconds: list[int | None], kind: pa.DataType | None = None) -> str:
    times = pa.array(seconds, pa.timestamp("s"))
    nested = pa.StructArray.from_arrays([pa.array([[one] for one in times], pa.list_(times.type))], ["in"])
    columns = {"n": pa.array(range(len(times))), "t": times.cast(kind or times.type), "s": nested}
    pq.write_table(pa.table(columns), path, use_deprecated_int96_timestamps=True)
    return str(path)


def test_times_within_the_range(tmp_path: Path) -> None:
    path = write_int96(tmp_path / "a", [0, None, DAY, MOST_NS // 10**9, -(MOST_NS // 10**9)])
    assert int96_times(path, LOCAL) == Int96Times(["t", "s.in.list.element"])


@pytest.mark.parametrize("second", [MOST_NS // 10**9 + DAY, -(MOST_NS // 10**9) - DAY, 253402300799, -62135596800])
def test_times_that_would_wrap(tmp_path: Path, second: int) -> None:
    times = int96_times(write_int96(tmp_path / "a", [0, second]), LOCAL)
    assert (times.too_wide, times.too_fine) == (True, False)
    refuse_unless_one_unit("a", times)


def test_times_finer_than_microseconds(tmp_path: Path) -> None:
    path = tmp_path / "a"
    times = pa.array([1, 1000, None], pa.timestamp("ns"))
    pq.write_table(pa.table({"t": times}), path, use_deprecated_int96_timestamps=True)
    assert int96_times(str(path), LOCAL) == Int96Times(["t"], too_fine=True)
    pq.write_table(pa.table({"t": times.slice(1)}), path, use_deprecated_int96_timestamps=True)
    assert int96_times(str(path), LOCAL) == Int96Times(["t"])


def test_times_far_away_that_microseconds_do_not_hold(tmp_path: Path) -> None:
    """They would be cut."""
    path = tmp_path / "a"
    pq.write_table(pa.table({"t": pa.array([0], pa.timestamp("ns"))}), path, use_deprecated_int96_timestamps=True)
    data = path.read_bytes()
    at = data.index((2440588).to_bytes(4, "little")) - 8  # the Julian day of 1970
    path.write_bytes(
        data[:at] + (7).to_bytes(8, "little") + (2440588 + 200_000).to_bytes(4, "little") + data[at + 12 :]
    )
    assert int96_times(str(path), LOCAL) == Int96Times(["t"], too_wide=True, too_fine=True)


def test_files_that_have_none(tmp_path: Path) -> None:
    pq.write_table(pa.table({"t": pa.array([MOST_NS], pa.timestamp("us"))}), tmp_path / "a")
    assert int96_times(str(tmp_path / "a"), LOCAL) == Int96Times([])
    assert int96_columns(pq.read_metadata(tmp_path / "a")) == []


def test_times_that_no_unit_holds() -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_unless_one_unit("b/a.parquet", Int96Times(["t", "s.in"], too_wide=True, too_fine=True))
    assert str(caught.value) == (
        "input.path: 'b/a.parquet' holds INT96 times in t, s.in that are read right as nanoseconds alone, beside "
        "times out of the range of nanoseconds; write them as microseconds first"
    )
    refuse_unless_one_unit("a", Int96Times(["t"], too_fine=True))


def test_statistics_of_row_groups(tmp_path: Path) -> None:
    values = pa.table({"n": [1, 2, 3, 2**53 + 1], "t": pa.array([0, 0, 2**40, 0], pa.timestamp("ms"))})
    pq.write_table(values, tmp_path / "a", row_group_size=2)
    metadata = pq.read_metadata(tmp_path / "a")
    assert outside(metadata, pa.field("n", pa.int64()), pa.float64()) == "3 to 9007199254740993 in row group 1"
    assert outside(metadata, pa.field("n", pa.int64()), pa.int64()) is None
    assert outside(metadata, pa.field("not there", pa.int64()), pa.float64()) is None
    pq.write_table(values, tmp_path / "b", write_statistics=False)
    assert outside(pq.read_metadata(tmp_path / "b"), pa.field("n", pa.int64()), pa.float64()) is None


def test_statistics_of_times_beyond_the_years_of_python(tmp_path: Path) -> None:
    """Postgres and DuckDB have a time `infinity`; no nanoseconds hold it."""
    far = pa.array([0, 2**63 - 1], pa.timestamp("us"))
    pq.write_table(pa.table({"t": far}), tmp_path / "a")
    found = outside(pq.read_metadata(tmp_path / "a"), pa.field("t", far.type), pa.timestamp("ns"))
    assert found == "1970-01-01 00:00:00 to <value out of range: 9223372036854775807> in row group 0"


@pytest.mark.parametrize(
    ("kind", "target", "may"),
    [
        (pa.int64(), pa.float64(), True),
        (pa.uint64(), pa.int64(), True),
        (pa.int64(), pa.int64(), False),
        (pa.int32(), pa.float64(), False),
        (pa.timestamp("s"), pa.timestamp("ns"), True),
        (pa.timestamp("s"), pa.timestamp("s"), False),
        (pa.string(), pa.large_string(), False),
    ],
)
def test_types_whose_values_may_be_outside(kind: pa.DataType, target: pa.DataType, may: bool) -> None:
    assert can_fail(kind, target) is may
