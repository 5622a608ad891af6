"""What a person sees of an output, in a terminal of any width."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from rich.cells import cell_len

from jobs.console.tables import to_text
from jobs.reports.overview import overview_table, overview_values
from pipeline.config.storage import StorageConfig
from pipeline.reporting.overview import look_at


def shown(uri: str, rows: int = 5, width: int = 80) -> str:
    return to_text(overview_table(look_at(uri, StorageConfig()), rows), width)


def test_scores(outputs: Path) -> None:
    text = shown(str(outputs / "scores"))
    assert "rows in       30\npairs         30, 28 with a result" in text
    assert "rejected      2\n" in text
    assert "image_unsupported: no known image format" in text
    assert "score: 28 rows" in text
    assert "model           zoo://scenes" in text
    assert "\x1b" not in text, "a caption must not steer the terminal"


def test_answers(outputs: Path) -> None:
    text = shown(str(outputs / "answers"))
    assert "answers: " in text
    assert "answer_score: 29 rows" in text
    assert "rows in       30" in text


def test_a_filter(outputs: Path) -> None:
    text = shown(str(outputs / "filtered"))
    assert "kept          14 (46.7%)\nkeep          top: 0.5\n" in text
    assert "not in the top 50%" in text
    assert "lowest kept " in text


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("name", ["scores", "answers", "filtered"])
def test_no_line_is_wider_than_the_terminal(outputs: Path, name: str, width: int) -> None:
    lines = shown(str(outputs / name), width=width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert len(lines) > 20


def test_the_columns_of_the_job_are_shown_beside_many_of_the_user(outputs: Path, tmp_path: Path) -> None:
    shutil.copytree(outputs / "scores", tmp_path / "out")
    for path in (tmp_path / "out").glob("part-*.parquet"):
        table = pq.ParquetFile(path).read()
        for number in range(20):
            table = table.add_column(0, f"mine{number}", pa.array([number] * table.num_rows))
        pq.write_table(table, path)
    header = next(line for line in shown(str(tmp_path / "out"), width=400).splitlines() if line.startswith("mine"))
    assert header.split()[-2:] == ["score", "error"]
    assert "mine0" not in header.split(), "the last of them in the file"


def test_values_that_python_cannot_hold(outputs: Path, tmp_path: Path) -> None:
    """Strings that are not UTF-8, and a time `infinity`, as DuckDB and Postgres write them."""
    shutil.copytree(outputs / "scores", tmp_path / "out")
    for path in (tmp_path / "out").glob("part-*.parquet"):
        rows, count = pq.ParquetFile(path), pq.read_metadata(path).num_rows
        text = pa.array([b"caf\xe9"] * count, pa.binary()).view(pa.string())
        far = pa.array([2**63 - 1] * count, pa.timestamp("us"))
        odd = pa.table({"latin": text, "when": far, "both": pa.StructArray.from_arrays([text, far], ["a", "b"])})
        table = rows.read()
        for name in odd.column_names:
            table = table.add_column(0, name, odd[name])
        pq.write_table(table, path)
    text = shown(str(tmp_path / "out"), width=400)
    assert "caf\\xe9" in text
    assert "<value out of range: 9223372036854775807>" in text


def test_on_s3(outputs: Path, s3_server: str) -> None:
    assert s3_server
    s3 = s3fs.S3FileSystem()
    s3.mkdir("shown")
    s3.put(str(outputs / "filtered"), "shown/filtered", recursive=True)
    here, there = shown(str(outputs / "filtered")), shown("s3://shown/filtered")
    assert there.replace("s3://shown", str(outputs)) == here


def test_values(outputs: Path) -> None:
    values = overview_values(look_at(str(outputs / "scores"), StorageConfig()))
    assert (values["rows_in"], values["scored"], values["score"]) == (30, 28, "score")
    assert values["rejected"] == {"image_unsupported": 1, "text_empty": 1}
    assert len(values["scores"]["quantiles"]) == 9
    filtered = overview_values(look_at(str(outputs / "filtered"), StorageConfig()))
    assert (filtered["kept"], filtered["keep"]) == (14, {"top": 0.5})
