"""What the footers of Parquet files say, and the types in which several files are read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError
from pipeline.tables.formats.parquet.footers import (
    RowGroup,
    columns_outside,
    common_int96_unit,
    read_footers,
    schema_with_unit,
)
from pipeline.tables.input_file import InputFile

LOCAL = pyarrow.fs.LocalFileSystem()
FAR = 2**63 // 10**9 + 1  # a second beyond the nanoseconds of int64


def put(folder: Path, name: str, table: pa.Table, **keys: object) -> InputFile:
    pq.write_table(table, folder / name, **keys)
    return InputFile(str(folder / name), name, (folder / name).stat().st_size, "")


def int96(folder: Path, name: str, values: list[int], unit: str) -> InputFile:
    nested = [[{"t": value}] for value in values]
    kind = pa.list_(pa.struct([("t", pa.timestamp(unit))]))
    table = pa.table({"t": pa.array(values, pa.timestamp(unit)), "in": pa.array(nested, kind), "n": values})
    return put(folder, name, table, use_deprecated_int96_timestamps=True)


def test_row_groups_and_types(tmp_path: Path) -> None:
    kinds = {"v": pa.string_view(), "l": pa.list_(pa.string(), 2), "b": pa.binary(), "c": pa.binary()}
    columns = {"v": ["a", "b", "c"], "l": [["x", "y"]] * 3, "b": [b"1", b"2", b"3"], "c": [b"1", b"2", b"3"]}
    table = pa.table({name: pa.array(columns[name], kind) for name, kind in kinds.items()})
    file = put(tmp_path, "a", table.replace_schema_metadata({"by": "x"}), row_group_size=2)
    [footer] = read_footers([file], LOCAL, ["b"])
    assert [(group.number, group.rows) for group in footer.groups] == [(0, 2), (1, 1)]
    assert all(isinstance(group, RowGroup) and group.size > 0 for group in footer.groups)
    assert dict(zip(footer.schema.names, footer.schema.types, strict=True)) == {
        "v": pa.string(),
        "l": pa.list_(pa.string()),
        "b": pa.string(),
        "c": pa.binary(),
    }
    assert footer.schema.metadata is None
    assert (footer.int96, footer.unreadable) == ((), {})


def test_equal_schemas_are_held_once(tmp_path: Path) -> None:
    files = [put(tmp_path, name, pa.table({"n": [1]})) for name in "abc"]
    footers = read_footers(files, LOCAL, [])
    assert len({id(footer.schema) for footer in footers}) == 1


@pytest.mark.skipif(int(pa.__version__.split(".")[0]) < 26, reason="older releases of pyarrow write no list views")
def test_columns_that_cannot_be_converted(tmp_path: Path) -> None:
    kind = pa.list_view(pa.list_(pa.int8()))
    file = put(tmp_path, "a", pa.table({"n": [1], "v": pa.array([[[1]]], kind)}))
    [footer] = read_footers([file], LOCAL, [])
    assert footer.schema.names == ["n"]
    stored = pq.read_schema(file.path).field("v").type
    assert footer.unreadable == {"v": f"it is {stored} in {file.path!r}"}


def test_what_is_no_parquet_file(tmp_path: Path) -> None:
    good = put(tmp_path, "good", pa.table({"n": [1]}))
    (tmp_path / "cut").write_bytes((tmp_path / "good").read_bytes()[:-5])
    with pytest.raises(ConfigError) as caught:
        read_footers([good, InputFile(str(tmp_path / "cut"), "cut", 1, "")], LOCAL, [])
    assert str(caught.value).startswith(f"input.path: {str(tmp_path / 'cut')!r} is not Parquet, or is cut off: ")
    assert "\n" not in str(caught.value)
    twice = put(tmp_path, "twice", pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["n", "n"]))
    with pytest.raises(ConfigError) as caught:
        read_footers([twice], LOCAL, [])
    assert str(caught.value) == (f"input.path: {twice.path!r} has two columns named 'n'; give each a name of its own")


def test_the_unit_of_int96_times(tmp_path: Path) -> None:
    far, fine = int96(tmp_path, "far", [FAR], "s"), int96(tmp_path, "fine", [1], "ns")
    near, none = int96(tmp_path, "near", [1000], "us"), put(tmp_path, "none", pa.table({"n": [1]}))

    def unit(*files: InputFile) -> str:
        footers = read_footers([*files], LOCAL, [])
        timed = [file.path for file, footer in zip(files, footers, strict=True) if footer.int96]
        return common_int96_unit(timed, LOCAL)

    assert unit(near, none, fine) == "ns"
    assert unit(none) == "ns"
    assert unit(near, far) == "us"
    with pytest.raises(ConfigError) as caught:
        unit(near, far, fine)
    assert str(caught.value) == (
        f"input.path: INT96 times in {far.path!r} are out of the range of nanoseconds, and those in "
        f"{fine.path!r} are read right as nanoseconds alone: no type holds both; write them as microseconds"
    )


def test_the_schema_in_a_unit(tmp_path: Path) -> None:
    [footer] = read_footers([int96(tmp_path, "a", [0], "s")], LOCAL, [])
    assert footer.int96 == ("t", "in.list.element.t")
    assert schema_with_unit(footer, "ns") == footer.schema
    inner = pa.list_(pa.field("element", pa.struct([("t", pa.timestamp("us"))])))
    found = schema_with_unit(footer, "us")
    assert found.field("t").type == pa.timestamp("us")
    assert found.field("in").type == inner
    assert found.field("n").type == pa.int64()


def test_values_outside_the_type_of_the_table(tmp_path: Path) -> None:
    files = [
        put(tmp_path, "a", pa.table({"n": [2**53 + 1, 0], "m": [1, 2]})),
        put(tmp_path, "b", pa.table({"n": [0.5]})),
        put(tmp_path, "c", pa.table({"n": [2**53 + 3, 0]})),
    ]
    schemas = [footer.schema for footer in read_footers(files, LOCAL, [])]
    table = pa.schema([("n", pa.float64()), ("m", pa.float64())])
    assert columns_outside([file.path for file in files], LOCAL, schemas, table) == {
        "n": f"it is int64 in {files[0].path!r} (0 to 9007199254740993 in row group 0) and in other files double, "
        "which does not hold these values"
    }
