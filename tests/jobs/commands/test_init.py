"""`vilt init`: the file that it writes is one that a job takes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
import yaml
from typer.testing import CliRunner, Result

from jobs.cli import app
from pipeline import JobConfig
from pipeline.tables.table import open_table
from tests.conftest import png


def vilt_init(*words: str) -> Result:
    return CliRunner().invoke(app, ["init", *words])


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A table with a column of a name that jobs add, in the working folder."""
    monkeypatch.chdir(tmp_path)
    columns = {
        "image": [png(8, 8)] * 3,
        "caption": ["a: 'b' # c\nd", "x y", "z w"],
        "uid": [3, 1, 2],
        "score": [0.5] * 3,
    }
    pq.write_table(pa.table(columns), "pairs.parquet")
    return "pairs.parquet"


def test_the_file_is_a_job(table: str) -> None:
    done = vilt_init("score", table)
    assert done.exit_code == 0, done.output
    assert "image       image: encoded images in 3 of the first 3 rows" in done.output
    assert "next        vilt plan score.yaml --task score" in done.output
    config = JobConfig.load("score", "score.yaml")
    assert (config.input.image, config.input.text, config.input.id) == ("image", "caption", "uid")
    assert open_table(config).columns.names == ["image", "caption", "uid"], "without the column `score`"


def test_keys_that_are_given_are_written(table: str) -> None:
    done = vilt_init("answer", table, "model=zoo://scenes", "input.text=caption", "batch.tokens=999", "--out=a.yaml")
    assert done.exit_code == 0, done.output
    config = JobConfig.load("answer", "a.yaml")
    assert (config.model, config.batch.tokens, config.input.id) == ("zoo://scenes", 999, "uid")


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"a": [1]}), "t.parquet")
    values = json.loads(vilt_init("score", "t.parquet", "--json").stdout)
    assert values["to_do"] == "input.image: the table has no column 'image'; it has a"
    assert values["input"] == {"path": "t.parquet"}
    assert "# text:" in Path("score.yaml").read_text()


def test_images_alone(table: str) -> None:
    done = vilt_init("classify", table)
    assert done.exit_code == 0
    assert "to do" not in done.output
    assert "text" not in yaml.safe_load(Path("classify.yaml").read_text())["input"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("rank", "pairs.parquet"), "'rank' is none of score, answer, fill, embed, classify"),
        (("score", "nowhere"), "input.path: 'nowhere' does not exist"),
        (
            ("score", "pairs.parquet", "storage.key=a", "storage.secret={env: HOME}"),
            "storage.key: would stand in the file",
        ),
        (("score", "pairs.parquet", "input.imge=x"), "did you mean 'image'?"),
        (("score", "pairs.parquet", "--out=pairs.parquet"), "pairs.parquet: is there already"),
    ],
)
def test_refusals(words: tuple[str, ...], line: str, table: str) -> None:
    done = vilt_init(*words)
    assert done.exit_code == 2
    assert line in done.output
    assert not Path("score.yaml").exists()
    assert table


def test_a_table_on_s3(s3_server: str, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    filesystem = s3fs.S3FileSystem(endpoint_url=s3_server)
    filesystem.mkdir("init-tables")
    filesystem.put(table, "init-tables/pairs/0.parquet")
    for name, variable in (("S3_KEY", "AWS_ACCESS_KEY_ID"), ("S3_SECRET", "AWS_SECRET_ACCESS_KEY")):
        monkeypatch.setenv(name, os.environ[variable])
    secrets = ["storage.key={env: S3_KEY}", "storage.secret={env: S3_SECRET}"]
    done = vilt_init("score", "s3://init-tables/pairs/", f"storage.endpoint_url={s3_server}", *secrets)
    assert done.exit_code == 0, done.output
    assert os.environ["S3_SECRET"] not in Path("score.yaml").read_text()
    assert open_table(JobConfig.load("score", "score.yaml")).rows == 3
