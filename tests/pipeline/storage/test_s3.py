"""A job whose table, images and output are on a real S3 server."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from pipeline import ConfigError, JobConfig, run
from pipeline.reindexing.reindex import reindex
from pipeline.storage.filesystem import make_folder
from vilt import Predictor
from vilt.common.folder import ZOO

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_everything_on_s3(s3_server: str, scene_rows: Callable[[int], list[dict[str, Any]]]) -> None:
    assert s3_server
    s3 = s3fs.S3FileSystem()
    s3.mkdir("bucket")
    rows = scene_rows(24)
    pictures = [row["image"] for row in rows]
    for i, row in enumerate(rows):
        s3.pipe_file(f"bucket/pairs/pictures/{i}.img", row["image"])
        row["image"] = f"s3://bucket/pairs/pictures/{i}.img"
    rows[3]["image"] = "pictures/3.img"
    rows[4]["image"] = "pictures/none.img"
    rows[5]["image"] = "s3://other/x.img"
    s3.pipe_file("bucket/pairs/empty.img", b"")
    rows[6]["image"] = "empty.img"
    pq.write_table(pa.Table.from_pylist(rows), "bucket/pairs/a.parquet", filesystem=s3)
    s3.put(str(ZOO / "scenes"), "bucket/model", recursive=True)
    config = JobConfig.parse(
        "score",
        {
            "input": {"path": "s3://bucket/pairs/", "text": "caption", "id": "id"},
            "model": "s3://bucket/model",
            "output": {"path": "s3://bucket/scores/", "report": False},
            "max_error_rate": 1,
            "precision": "float32",
        },
    )
    summary = run(config)
    out = sorted(pq.read_table("bucket/scores", filesystem=s3).to_pylist(), key=lambda row: row["id"])
    assert [r["error"] for r in out[:7]] == [None] * 4 + ["image_missing", "uri_not_allowed", "image_unsupported"]
    predictor = Predictor.from_pretrained("s3://bucket/model", precision="float32")
    scores = predictor.score(pictures, [row["caption"] for row in rows])
    for i in (0, 3, 10, 23):
        assert out[i]["score"] == pytest.approx(scores[i], abs=1e-5)
    assert summary.scored == 21
    names = sorted(path.rpartition("/")[2] for path in s3.find("bucket/scores"))
    assert names == ["_input.json", "_summary.json", *summary.files]


def test_no_access_is_one_line(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert s3_server
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    s3fs.S3FileSystem.clear_instance_cache()
    (tmp_path / "table").mkdir()
    pq.write_table(pa.table({"image": [b"x"], "text": ["a"]}), tmp_path / "table" / "a.parquet")
    local, out = {"path": str(tmp_path / "table")}, {"path": str(tmp_path / "out")}
    for values, message in (
        ({"input": {"path": "s3://bucket/pairs/"}, "output": out}, "input.path: cannot read 's3://bucket/pairs/'"),
        ({"input": local, "output": {"path": "s3://bucket/o"}}, "output.path: cannot write to 's3://bucket/o'"),
        ({"input": local, "output": out, "model": "s3://bucket/model"}, "model: "),
    ):
        with pytest.raises(ConfigError) as caught:
            run(JobConfig.parse("score", {"model": "zoo://scenes", **values}))
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize("form", ["parquet", "delta"])
def test_a_misspelt_bucket_is_one_line_and_is_not_created(
    form: str, s3_server: str, scene_rows: Callable[[int], list[dict[str, Any]]], write_table: Callable[..., str]
) -> None:
    assert s3_server
    s3 = s3fs.S3FileSystem()
    values = {
        "input": {"path": write_table(scene_rows(2)), "text": "caption", "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": "s3://buckett/scores/", "format": form},
    }
    job = partial(reindex, follow=False) if form == "delta" else run
    with pytest.raises(ConfigError) as caught:
        job(JobConfig.parse("score", values))
    assert str(caught.value).startswith("output.path: cannot ")
    assert str(caught.value).endswith(
        "'s3://buckett/scores/': there is no bucket 'buckett'; create it, or correct its name"
    )
    assert "\n" not in str(caught.value)
    s3.invalidate_cache()
    assert "buckett" not in s3.ls("")


def test_folders_are_made_where_there_are_some(tmp_path: Path, s3_server: str) -> None:
    assert s3_server
    make_folder(fsspec.filesystem("file"), f"{tmp_path}/a/b")
    make_folder(fsspec.filesystem("file"), f"{tmp_path}/a/b")
    assert (tmp_path / "a" / "b").is_dir()
    s3 = s3fs.S3FileSystem()
    s3.makedirs("folders", exist_ok=True)
    make_folder(s3, "folders/a/b")
    assert s3.find("folders") == [], "an object store has no folders"
    with pytest.raises(FileNotFoundError, match="there is no bucket 'folderz'; create it, or correct its name"):
        make_folder(s3, "folderz/a")
