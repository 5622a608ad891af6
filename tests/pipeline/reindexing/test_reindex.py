"""A Delta table of results on a real Ray and a real S3 server; `tests/pipeline/test_reindex_steps.py` has the rules."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from deltalake import DeltaTable

from pipeline import ConfigError, JobConfig, run
from pipeline.common.errors import BusyError
from pipeline.config.filter import FilterConfig
from pipeline.filtering.filter_table import filter_table
from pipeline.reindexing.reindex import reindex
from pipeline.reindexing.table_folder import open_folder
from pipeline.reporting.overview import look_at
from tests.pipeline.images.web_server import Server

pytestmark = pytest.mark.usefixtures("ray_cluster")
Rows = list[dict[str, Any]]


def job(table: str, out: str, **keys: Any) -> JobConfig:
    values = {
        "input": {"path": table, "text": "caption", "id": "id"},
        "model": "zoo://scenes",
        "output": {"path": out, "report": False, "format": "delta"},
        "precision": "float32",
    }
    return JobConfig.parse("score", {**values, **keys})


def test_follows_a_bucket(s3_server: str, scene_rows: Callable[[int], Rows]) -> None:
    assert s3_server
    s3 = s3fs.S3FileSystem()
    s3.mkdir("followed")
    rows = scene_rows(40)
    rows[2]["image"] = b"x"

    def put(name: str, some: Rows) -> None:
        pq.write_table(pa.Table.from_pylist(some), f"followed/in/{name}.parquet", filesystem=s3)

    put("a", rows[:15])
    put("b", rows[15:30])
    config = job("s3://followed/in", "s3://followed/out")
    first, new, *_ = reindex(config)
    assert new
    assert (first.counts["rows_read"], first.rejected) == (30, {"image_unsupported": 1})
    put("a", [*rows[:10], {**rows[10], "caption": rows[11]["caption"]}])
    s3.rm_file("followed/in/b.parquet")
    put("c", rows[20:40])
    second, new, *_ = reindex(config)
    assert new
    # a has 10 rows as they were and one that is not, c 10 of b's and 10 that are new
    assert {second.counts[n] for n in ("rows_read", "rows_moved")} == {11, 20}
    assert reindex(config)[:3] == (second, False, 0)

    table = DeltaTable("s3://followed/out", storage_options={"AWS_ALLOW_HTTP": "true"})
    kept = {row["id"]: row for row in table.to_pyarrow_table().to_pylist()}
    run(job("s3://followed/in", "s3://followed/anew", output={"path": "s3://followed/anew", "report": False}))
    anew = {row["id"]: row for row in pq.read_table("followed/anew", filesystem=s3).to_pylist()}
    assert len(kept) == 31
    for i, row in anew.items():
        mine = {key: value for key, value in kept[i].items() if key not in ("row_source", "score")}
        assert mine == {key: value for key, value in row.items() if key != "score"}
        assert kept[i]["score"] == (row["score"] and pytest.approx(row["score"], abs=1e-4))
    database = duckdb.connect()
    database.register("scores", table.to_pyarrow_dataset())
    assert database.execute("SELECT count(*), count(score) FROM scores").fetchall() == [(31, 30)]
    assert table.to_pandas().shape[0] == 31
    earlier = DeltaTable("s3://followed/out", version=first.version, storage_options={"AWS_ALLOW_HTTP": "true"})
    assert earlier.to_pyarrow_table().num_rows == 30

    view = look_at("s3://followed/out", config.storage)
    assert (view.summary["rows_in"], view.rejected) == (31, {"image_unsupported": 1})
    kept_rows = filter_table(
        FilterConfig.checked(
            {
                "input": {"path": "s3://followed/in", "id": "id"},
                "scores": "s3://followed/out",
                "keep": {"top": 0.5},
                "output": {"path": "s3://followed/good", "report": False},
            }
        )
    )
    assert kept_rows.kept == 15


def test_score_into_a_delta_table(tmp_path: Path, scene_rows: Callable[[int], Rows], write_table: Any) -> None:
    rows: Rows = [{**row, "texts": [row["caption"], row["question"]]} for row in scene_rows(12)]
    rows[3]["texts"] = []
    table, out = write_table(rows, 2), str(tmp_path / "out")
    spec = {"path": table, "text": "texts", "id": "id", "columns": ["id", "texts"]}
    config = job(table, out, input=spec)
    commit, new, *_ = reindex(config, follow=False)
    assert new
    assert (commit.counts["rows_in"], commit.counts["rows_out"]) == (12, 23)
    assert reindex(config, follow=False)[:3] == (commit, False, 0)
    (tmp_path / "table" / "000.parquet").unlink()
    with pytest.raises(ConfigError, match="holds the results of another config or input; choose another folder"):
        reindex(config, follow=False)
    fresh = job(table, out, input=spec, output={"path": out, "report": False, "format": "delta", "overwrite": True})
    commit, new, *_ = reindex(fresh, follow=False)
    assert (commit.version, commit.counts["rows_read"], commit.counts["rows_out"]) == (1, 6, 12)
    found = DeltaTable(out).to_pyarrow_table()
    assert set(found.column_names) == {
        "id",
        "texts",
        "row_source",
        "row_id",
        "text_index",
        "text_truncated",
        "score",
        "error",
        "error_detail",
    }


def test_what_stands_in_the_way(tmp_path: Path, scene_rows: Callable[[int], Rows], write_table: Any) -> None:
    table = write_table(scene_rows(4))
    out = tmp_path / "out"
    out.mkdir()
    pq.write_table(pa.table({"x": [1]}), out / "a.parquet")
    with pytest.raises(ConfigError, match="holds Parquet files that are no Delta table; choose another folder"):
        reindex(job(table, str(out)))
    with open_folder(str(tmp_path / "busy"), job(table, "x").storage), pytest.raises(BusyError, match="is at work"):
        reindex(job(table, str(tmp_path / "busy")))
    with pytest.raises(ConfigError, match="'row_source', a name that the job needs"):
        reindex(job(write_table([{**scene_rows(1)[0], "row_source": 1}], name="named"), str(tmp_path / "named-out")))
    with pytest.raises(ConfigError, match="does not exist"):
        reindex(job(str(tmp_path / "none"), str(tmp_path / "new")))


def test_pictures_that_come_later_and_a_text_that_is_no_utf8(
    tmp_path: Path, scene_rows: Callable[[int], Rows], caplog: pytest.LogCaptureFixture
) -> None:
    """What failed is tried again by each run; each run emits its start and end, and writes the summary."""
    rows, folder = scene_rows(6), tmp_path / "table"
    folder.mkdir()
    captions = pa.array([b"a \xff", *(row["caption"].encode() for row in rows[1:])]).view(pa.string())
    names = [f"{number}.png" for number in range(6)]
    table = pa.table({"id": range(6), "image": names, "caption": captions})
    pq.write_table(table, folder / "a.parquet")
    (folder / names[1]).write_bytes(rows[1]["image"])
    config = job(str(folder), str(tmp_path / "out"), max_error_rate=1)
    caplog.set_level("INFO", "pipeline")
    first, _, *_ = reindex(config)
    assert first.standing == {"image_missing": 4, "text_invalid": 1}
    for number in range(1, 5):
        (folder / names[number]).write_bytes(rows[number]["image"])
    (folder / names[0]).write_bytes(rows[0]["image"])
    second, new, retried, *_ = reindex(config)
    assert (new, retried, second.version) == (True, 4, 1)
    assert second.standing == {"image_missing": 1, "text_invalid": 1}
    found = DeltaTable(tmp_path / "out").to_pyarrow_table().sort_by("id")
    assert found["caption"].to_pylist()[0] == "a \ufffd"
    assert found["error"].to_pylist() == ["text_invalid", None, None, None, None, "image_missing"]
    assert reindex(config)[:3] == (second, False, 1)
    events = [
        record.event for record in caplog.records if getattr(record, "event", "") in ("job_started", "job_finished")
    ]
    assert events == ["job_started", "job_finished"] * 3
    last = [record for record in caplog.records if getattr(record, "event", "") == "job_finished"][-1]
    assert (last.fields["rejected"], last.fields["committed"]) == (second.standing, False)
    summary = json.loads((tmp_path / "out" / "_summary.json").read_text())
    assert (summary["rows_in"], summary["scored"], summary["rejected"]) == (6, 4, second.standing)


def test_pictures_that_change_behind_their_uris(
    s3_server: str, scene_rows: Callable[[int], Rows], caplog: pytest.LogCaptureFixture
) -> None:
    """In a bucket and on a web server, with one text or two: the rows of a changed picture are read again, no other."""
    assert s3_server
    s3, rows = s3fs.S3FileSystem(), scene_rows(6)
    s3.mkdir("pictures")
    with Server() as web:
        threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
        uris = [f"{number}.png" for number in range(4)] + [f"{web.url}/images/kept/{number}.png" for number in (4, 5)]
        for number, row in enumerate(rows):
            if number < 4:
                s3.pipe_file(f"pictures/in/{number}.png", row["image"])
            else:
                web.kept[f"{number}.png"] = row["image"]
        texts = [[row["caption"], row["question"]] for row in rows]
        table = pa.table({"id": range(6), "image": uris, "caption": texts})
        pq.write_table(table, "pictures/in/a.parquet", filesystem=s3)
        spec = {"path": "s3://pictures/in", "text": "caption", "id": "id", "verify": "etag"}
        spec |= {"allow": [f"{web.url}/images/"], "allow_private": True}
        config = job("s3://pictures/in", "s3://pictures/out", input=spec)
        first, *_ = reindex(config)
        caplog.set_level("INFO", "pipeline")
        assert reindex(config)[:3] == (first, False, 0)
        assert _verified(caplog) == {"images": 6, "rows_changed": 0, "unknown": 0}

        s3.pipe_file("pictures/in/1.png", rows[0]["image"])
        s3.pipe_file("pictures/in/2.png", rows[2]["image"])  # the same bytes: the same etag
        s3.rm_file("pictures/in/3.png")
        web.kept["5.png"] = rows[0]["image"]
        part = config.model_copy(update={"input": config.input.model_copy(update={"verify_share": 1e-9})})
        assert reindex(part)[:3] == (first, False, 0), "no row is in so small a sample"
        second, new, retried, *_ = reindex(config.model_copy(update={"max_error_rate": 0.5}))
        assert (new, retried) == (True, 0)
        assert _verified(caplog) == {"images": 6, "rows_changed": 3, "unknown": 0}
        assert (second.counts["rows_image_changed"], second.counts["rows_read"]) == (3, 3)
        assert (second.counts["rows_out"], second.standing) == (12, {"image_missing": 2})
        web.shutdown()
    storage = {"AWS_ALLOW_HTTP": "true"}
    [before, after] = (
        DeltaTable("s3://pictures/out", version=version, storage_options=storage)
        .to_pyarrow_table()
        .sort_by([("id", "ascending"), ("text_index", "ascending")])
        for version in (first.version, second.version)
    )
    changed = [i for i in range(12) if before["image_version"][i] != after["image_version"][i]]
    assert changed == [2, 3, 6, 7, 10, 11]
    assert after["image_version"].to_pylist()[6:8] == [None, None]
    differ = [i for i in range(12) if before["score"][i] != after["score"][i]]
    assert differ == changed


def _verified(caplog: pytest.LogCaptureFixture) -> dict[str, int]:
    """What the last event of the images that were asked for said."""
    fields = [record.fields for record in caplog.records if getattr(record, "event", "") == "images_verified"]
    return fields[-1]


def test_pictures_in_the_table_need_no_asking(
    tmp_path: Path, scene_rows: Callable[[int], Rows], write_table: Any
) -> None:
    table = write_table(scene_rows(2))
    config = job(table, str(tmp_path / "out"), input={"path": table, "text": "caption", "verify": "etag"})
    with pytest.raises(ConfigError, match="column 'image' lie in the table itself, whose files are compared"):
        reindex(config)
