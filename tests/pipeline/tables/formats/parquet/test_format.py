"""Parquet tables: folders that name columns, filters, and columns that are not read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError
from pipeline.common.row_ranges import RowSet
from pipeline.tables.reading import read_plan
from pipeline.tables.table import open_table
from tests.pipeline.tables.reading import config, rows_of


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Three files in folders `year=.../source=...`, ten rows each, one row group for five; below a `k=v` folder."""
    root = tmp_path / "k=v" / "table"
    for year, source in ((2024, "coco"), (2025, "coco"), (2025, "visual%20genome")):
        folder = root / f"year={year}" / f"source={source}"
        folder.mkdir(parents=True)
        width = pa.array([None if i == 9 else i * 10 for i in range(10)], pa.int32() if year == 2024 else pa.int64())
        columns = {"image": ["a.png"] * 10, "text": ["a"] * 10, "width": width}
        pq.write_table(pa.table(columns), folder / "0.parquet", row_group_size=5)
    return root


def test_folders_that_name_columns(parts: Path) -> None:
    rows = rows_of(config(parts))
    assert len(rows) == 30
    assert {(row["year"], row["source"]) for row in rows} == {(2024, "coco"), (2025, "coco"), (2025, "visual genome")}
    assert "k" not in rows[0]
    assert len(rows_of(config(f"{parts}/year=2025/*/*.parquet"))) == 20
    assert "year" not in rows_of(config(parts / "year=2024" / "source=coco" / "0.parquet"))[0]
    assert set(rows_of(config(parts, columns=["year"]))[0]) == {"image", "text", "year", "row_hash"}


@pytest.mark.parametrize(
    ("keep", "count"),
    [
        ("year == 2025", 20),
        ("source == 'visual genome'", 10),
        ("width >= 50", 12),
        ("width >= 50 and year == 2024", 4),
        ("width >= 50 or source == 'coco'", 24),
        ("width is null", 3),
        ("not (width > 0)", 3),
        ("width in [10, 20] and source != 'coco'", 2),
        ("year == 1999", 0),
    ],
)
def test_filters_are_counted_before_the_run(parts: Path, keep: str, count: int) -> None:
    assert open_table(config(parts, filter=keep)).rows == count


@pytest.mark.parametrize("keep", ["width >= 50 and year == 2024", "width >= 50 or source == 'coco'", "year == 1999"])
def test_filters_in_the_reader(parts: Path, keep: str) -> None:
    for file in parts.rglob("*.parquet"):
        table = pq.ParquetFile(file).read()
        pq.write_table(table.append_column("n", pa.array(range(10))), file, row_group_size=5)
    for row in rows_of(config(parts, filter=keep, columns=["text"], id="n")):
        assert set(row) == {"image", "text", "n"}


def test_ids_do_not_depend_on_the_filter(parts: Path) -> None:
    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["year"], row["source"], row["width"]

    whole = {key(row): row["row_hash"] for row in rows_of(config(parts))}
    part = {key(row): row["row_hash"] for row in rows_of(config(parts, filter="width > 30"))}
    assert len(part) == 15
    assert part.items() <= whole.items()


def spoil(file: Path, column: str) -> None:
    """Overwrite a column's pages, so that nobody can read them."""
    data = bytearray(file.read_bytes())
    for group in range((footer := pq.read_metadata(file)).num_row_groups):
        chunk = footer.row_group(group).column(footer.schema.names.index(column))
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        data[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    file.write_bytes(data)


def test_columns_and_row_groups_that_nobody_needs_are_not_read(tmp_path: Path) -> None:
    columns = {"n": range(10), "image": ["a.png"] * 10, "text": ["a"] * 10, "large": ["x" * 100] * 10}
    file = tmp_path / "0.parquet"
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), file, row_group_size=5)
    spoil(file, "large")
    assert len(rows_of(config(file, columns=["text"]))) == 10
    assert len(rows_of(config(file, columns=["text"], id="n", filter="n > 6"))) == 3
    assert len(rows_of(config(file, columns=["text"], filter="n > 6"))) == 3
    with pytest.raises(Exception, match=r"(?i)page|thrift|parquet"):
        rows_of(config(file))


def test_row_groups_whose_statistics_rule_the_filter_out_are_not_read(tmp_path: Path) -> None:
    columns = {"n": range(10), "image": ["a.png"] * 10, "text": ["a"] * 10}
    folder = tmp_path / "year=2024"
    folder.mkdir()
    pq.write_table(pa.table({k: list(v) for k, v in columns.items()}), folder / "0.parquet", row_group_size=5)
    spoil(folder / "0.parquet", "n")
    assert [split.rows for split in open_table(config(tmp_path, filter="n > 100")).files[0].splits] == [0, 0]
    assert [split.rows for split in open_table(config(tmp_path, filter="year < 2000")).files[0].splits] == [0, 0]
    with pytest.raises(Exception, match=r"(?i)page|thrift|parquet"):
        open_table(config(tmp_path, filter="n > 6"))


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (
            "widht > 1",
            "input.filter: the table has no column 'widht'; did you mean 'width'? "
            "it has image, text, width, year, source",
        ),
        ("width > 'x'", "input.filter: \"width > 'x'\" compares 'width', which is int64, with 'x'"),
        ("width > ", "input.filter: 'width > ' is not SQL: "),
        ("year + 1 > 2", "input.filter: 'year + 1 > 2' is not supported: '2' is no column; a filter compares"),
    ],
)
def test_wrong_filters(parts: Path, keep: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_table(config(parts, filter=keep))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_that_do_not_agree(parts: Path) -> None:
    table = pq.ParquetFile(parts / "year=2024" / "source=coco" / "0.parquet").read()
    pq.write_table(table, parts / "0.parquet")
    with pytest.raises(ConfigError, match=r"the folders of '.*' name the columns \['year', 'source'\], those of '.*'"):
        open_table(config(parts))
    (parts / "0.parquet").unlink()
    twice = table.append_column("year", pa.array(range(10)))
    pq.write_table(twice, parts / "year=2024" / "source=coco" / "0.parquet")
    with pytest.raises(ConfigError, match="column 'year' is in the files and in the names of their folders"):
        open_table(config(parts))


def test_types_that_have_nothing_in_common(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": ["a.png"], "text": ["a"]}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"image": [b"x"], "text": ["a"]}), tmp_path / "1.parquet")
    with pytest.raises(ConfigError, match=r"column 'image' is binary in '.*1\.parquet' and string in other files"):
        open_table(config(tmp_path))
    large = {"image": pa.array(["b"], pa.large_string()), "text": pa.array([None], pa.null())}
    pq.write_table(pa.table(large), tmp_path / "1.parquet")
    assert sorted(row["image"] for row in rows_of(config(tmp_path))) == ["a.png", "b"]


def pictures(path: Path, rows: int) -> pa.Table:
    """One row group of pictures as Hugging Face's datasets store them: structs of bytes and path."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": bytes([i]) * 2**16, "path": f"{i}.png"} for i in range(rows)]
    table = pa.table({"image": pa.array(cells, kind), "text": ["a"] * rows})
    pq.write_table(table, path, row_group_size=rows, compression="none", use_dictionary=False)
    assert pq.read_metadata(path).num_row_groups == 1
    return table


def test_a_large_row_group_is_held_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pyarrow cannot read at once is above 2 GiB; here above 1 MiB: never more than that is in memory."""
    table = pictures(tmp_path / "a.parquet", 100)
    monkeypatch.setattr("pipeline.tables.formats.parquet.format.BATCH_BYTES", 2**20)
    read = list(batches(tmp_path))
    assert max(part.nbytes for part in read) <= 2**20 + 2**16
    assert pa.concat_tables(read).select(["image", "text"]).equals(table)


def test_batches_that_are_too_large_for_pyarrow_are_made_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes in the footer may be far from what a batch needs; rows that were given are not given twice."""
    table = pictures(tmp_path / "a.parquet", 50)
    iter_batches, asked = pq.ParquetFile.iter_batches, []

    def limited(self: pq.ParquetFile, rows: int, *args: Any) -> Iterator[pa.RecordBatch]:
        asked.append(rows)
        for number, batch in enumerate(iter_batches(self, rows, *args)):
            if rows > 4 and number == 2:
                raise pa.ArrowNotImplementedError("Nested data conversions not implemented for chunked array outputs")
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", limited)
    monkeypatch.setattr("pipeline.tables.formats.parquet.format.BATCH_BYTES", 2**20)
    read = pa.concat_tables(batches(tmp_path))
    assert len(asked) == 2
    assert asked[1] < asked[0]
    assert read.select(["image", "text"]).equals(table)


def batches(folder: Path) -> Iterator[pa.Table]:
    """Yield the tables in which a read task gets the rows."""
    table = open_table(config(folder))
    plan = read_plan(table, 1000)
    for one in table.unread(RowSet.none()):
        yield from one.read(plan)
