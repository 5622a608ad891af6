"""The columns of a table of results: those of all files of the input, or one line about a value that does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ConfigError, JobConfig
from pipeline.reindexing.input_snapshot import InputSnapshot, SnapshotFile
from pipeline.reindexing.table_columns import carried_columns, check_values, identity_of, table_columns
from pipeline.stages.checkpoints import Models
from pipeline.tables.table import InputTable, open_table

NONE = pa.schema([])
Types = dict[str, pa.DataType]


def config(folder: Path, task: str = "score", output: dict[str, Any] | None = None, **keys: Any) -> JobConfig:
    values = {"input": {"path": str(folder / "in"), **keys}, "model": "m"}
    return JobConfig.parse(
        None, {**values, "task": task, "output": {"path": "/out", "format": "delta", **(output or {})}}
    )


def opened(folder: Path, name: str = "a.parquet", **columns: Any) -> InputTable:
    """A table of one file."""
    path = folder / "in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = len(next(iter(columns.values()))) if columns else 1
    texts = {} if "text" in columns else {"text": ["a"] * rows}
    pq.write_table(pa.table({"image": [b"i"] * rows, **texts, **columns}), path)
    return open_table(config(folder))


def kinds(schema: pa.Schema) -> Types:
    return dict(zip(schema.names, schema.types, strict=True))


def before(**files: Types) -> InputSnapshot:
    return InputSnapshot(
        {f"{name}.parquet": SnapshotFile("1 10", 1, pa.schema(list(types.items()))) for name, types in files.items()}
    )


def test_columns_that_results_carry(tmp_path: Path) -> None:
    table = opened(tmp_path, n=pa.array([1], pa.uint8()), t=pa.array([0], pa.timestamp("ms")), z=pa.nulls(1))
    assert kinds(carried_columns(table, config(tmp_path))) == {
        "text": pa.string(),
        "n": pa.int16(),
        "t": pa.timestamp("us"),
        "z": pa.null(),
    }
    job = config(tmp_path, columns=["n"])
    assert carried_columns(open_table(job), job).names == ["n"]
    assert "image" in carried_columns(table, config(tmp_path, output={"keep_image": True})).names


def test_a_list_of_texts_is_carried_text_by_text(tmp_path: Path) -> None:
    table = opened(tmp_path, text=[["a", "b"]])
    assert kinds(carried_columns(table, config(tmp_path)))["text"] == pa.string()


def test_types_of_all_files_and_of_the_table(tmp_path: Path) -> None:
    table = opened(tmp_path, n=pa.array([1], pa.int32()), new=["x"])
    text = {"text": pa.string()}
    found = kinds(table_columns(table, config(tmp_path), before(b={**text, "n": pa.int64(), "old": pa.bool_()}), NONE))
    assert found == {**text, "n": pa.int64(), "new": pa.string(), "old": pa.bool_(), "row_id": pa.int64()}
    found = kinds(
        table_columns(table, config(tmp_path), before(b=text), pa.schema([("n", pa.int64()), ("gone", pa.int8())]))
    )
    assert found["n"] == pa.int64(), "a table keeps its wider type"


def test_a_column_that_is_null_everywhere_waits_for_a_type(tmp_path: Path) -> None:
    table = opened(tmp_path, z=pa.nulls(1))
    assert kinds(table_columns(table, config(tmp_path), before(b={"z": pa.int64()}), NONE))["z"] == pa.int64()


@pytest.mark.parametrize("name", ["year", "a%2Eb"])
@pytest.mark.parametrize(
    ("stored", "value", "kind"),
    [(pa.int64(), "2026", pa.int64()), (pa.string(), "2026", pa.string()), (pa.int64(), "x", pa.string())],
)
def test_folders_names_are_numbers_if_all_are(
    tmp_path: Path, name: str, stored: pa.DataType, value: str, kind: pa.DataType
) -> None:
    table = opened(tmp_path, f"{name}={value}/a.parquet")
    column = name.replace("%2E", ".")
    files = {f"{name}=1/b.parquet": SnapshotFile("1 10", 1, pa.schema([("text", pa.string()), (column, stored)]))}
    assert kinds(table_columns(table, config(tmp_path), InputSnapshot(files), NONE))[column] == kind


def test_types_that_do_not_fit(tmp_path: Path) -> None:
    table = opened(tmp_path, n=["x"])
    with pytest.raises(
        ConfigError, match=r"^input\.path: column 'n' is int64 in 'b\.parquet' and string in other files$"
    ):
        table_columns(table, config(tmp_path), before(b={"n": pa.int64()}), NONE)


def test_values_that_are_not_exact(tmp_path: Path) -> None:
    times = pa.array([1000, 1], pa.timestamp("ns"))
    table = opened(tmp_path, t=times)
    columns = carried_columns(table, config(tmp_path))
    with pytest.raises(ConfigError) as caught:
        check_values(table, config(tmp_path), columns)
    assert str(caught.value).startswith(
        "input.columns: column 't' holds a value, in 'a.parquet', that is not exact as the timestamp[us] of a Delta "
        "table: "
    )
    assert str(caught.value).endswith(
        "List the columns to carry without it in input.columns, or set output.format=parquet"
    )
    job = config(tmp_path, columns=["text"])
    check_values(open_table(job), job, columns)
    check_values(opened(tmp_path, t=times.slice(0, 1)), config(tmp_path), columns)


def test_what_makes_a_table_another_one(tmp_path: Path) -> None:
    models = Models({"vilt.weights_sha256": "w", "vilt.config_sha256": "c"}, 1)
    first = identity_of(config(tmp_path), models)
    assert first.keys() == {"model", "config", "results"}
    assert (first["model"], first["config"]) == ("w", "c")
    assert identity_of(config(tmp_path, output={"retention_days": 1}), models) == first
    others = [config(tmp_path, output={"keep_image": True}), config(tmp_path, "answer")]
    assert len({first["results"], *(identity_of(other, models)["results"] for other in others)}) == 3
