"""A bucket that is missing, or misspelt, is named; it is never created."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from pipeline import ConfigError, JobConfig, run
from pipeline.config.job import StorageConfig
from pipeline.storage.filesystem import make_folder, open_fsspec


def test_folders(s3_server: str, tmp_path: Path) -> None:
    assert s3_server
    with pytest.raises(FileNotFoundError, match="the bucket 'no-such-bucket' does not exist; check its name"):
        make_folder(*open_fsspec("s3://no-such-bucket/out", "output.path", StorageConfig()))
    assert not s3fs.S3FileSystem().exists("no-such-bucket")
    make_folder(*open_fsspec(str(tmp_path / "a" / "b"), "output.path", StorageConfig()))
    assert (tmp_path / "a" / "b").is_dir()


def test_a_job(s3_server: str, tmp_path: Path) -> None:
    assert s3_server
    pq.write_table(pa.table({"image": ["a.png"], "text": ["a"]}), tmp_path / "a.parquet")
    values = {"input": {"path": str(tmp_path)}, "model": "zoo://scenes", "output": {"path": "s3://mispelt-bucket/out"}}
    with pytest.raises(
        ConfigError, match=r"output\.path: cannot write to 's3://mispelt-bucket/out': the bucket 'mispelt-bucket' does"
    ):
        run(JobConfig.parse("score", values))
    assert not s3fs.S3FileSystem().exists("mispelt-bucket")
