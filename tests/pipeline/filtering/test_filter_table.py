"""Whole filters: the kept rows are the table's own, every other row has its reason, and a stop leaves nothing half."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import s3fs

from pipeline import ConfigError
from pipeline.config.filter import FilterConfig
from pipeline.filtering.filter_table import filter_table

Rows = list[dict[str, Any]]
SCHEMA = pa.schema(
    [
        pa.field("key", pa.int32(), metadata={"unit": "none"}),
        pa.field("image", pa.binary()),
        pa.field("tags", pa.list_(pa.struct([("name", pa.string()), ("n", pa.uint8())]))),
    ],
    metadata={"made": "by hand"},
)


def table_of(begin: int, end: int) -> pa.Table:
    rows = [{"key": i, "image": b"%d" % i * 50, "tags": [{"name": f"t{i}", "n": 1}]} for i in range(begin, end)]
    return pa.Table.from_pylist(rows, SCHEMA)


def write_pair(folder: Path) -> dict[str, Any]:
    """A table of 30 rows in three files, and its scores: the key modulo 10; the key 29 failed."""
    (folder / "table" / "year=2026").mkdir(parents=True)
    (folder / "scores").mkdir()
    for name, begin, end, codec in (("year=2026/a", 0, 10, "gzip"), ("year=2026/b", 10, 10, "zstd")):
        pq.write_table(table_of(begin, end), folder / "table" / f"{name}.parquet", compression=codec, row_group_size=4)
    (folder / "table" / "year=2027").mkdir()
    codecs = {"key": "none", "image": "zstd", "tags.list.element.name": "gzip", "tags.list.element.n": "none"}
    last = folder / "table" / "year=2027" / "c.parquet"
    pq.write_table(table_of(10, 30), last, compression=codecs, row_group_size=7)
    keys = list(range(29, -1, -1))
    scores = pa.table(
        {
            "row_id": pa.array(keys, pa.int64()),
            "score": pa.array([None if key == 29 else key % 10 for key in keys], pa.float32()),
            "error": pa.array(["image_null" if key == 29 else None for key in keys]),
        }
    )
    pq.write_table(scores, folder / "scores" / "part-0.parquet")
    return {
        "input": {"path": f"{folder}/table", "id": "key"},
        "scores": f"{folder}/scores",
        "keep": {"top": 0.5},
        "output": {"path": f"{folder}/out", "report": False},
    }


def kept_keys(out: Path) -> list[int]:
    files = sorted((out / "kept").rglob("*.parquet"))
    return [key for file in files for key in pq.ParquetFile(file).read()["key"].to_pylist()]


def test_kept_rows_are_the_tables_own(tmp_path: Path) -> None:
    summary = filter_table(FilterConfig.checked(write_pair(tmp_path)))
    best = sorted(range(29), key=lambda key: (-(key % 10), key))[:15]  # half of 29, rounded half up
    assert kept_keys(tmp_path / "out") == sorted(best)
    assert (summary.rows_in, summary.kept, summary.lowest_kept) == (30, 15, 4.0)
    assert summary.dropped == {"not in the top 50%": 14, "error: image_null": 1}
    for name in ("year=2026/a", "year=2026/b", "year=2027/c"):
        before = pq.ParquetFile(tmp_path / "table" / f"{name}.parquet")
        after = pq.ParquetFile(tmp_path / "out" / "kept" / f"{name}.parquet")
        assert after.schema_arrow.equals(before.schema_arrow, check_metadata=True)
        expected = before.read().filter(pc.is_in(before.read()["key"], pa.array(best, pa.int32())))
        assert after.read() == expected
        if after.num_row_groups:
            codecs = [[file.metadata.row_group(0).column(i).compression for i in range(4)] for file in (before, after)]
            assert codecs[0] == codecs[1]
    dropped = pq.read_table(tmp_path / "out" / "dropped", partitioning=None)
    assert dropped.schema.names == ["row_id", "score", "reason"]
    assert sorted(dropped["row_id"].to_pylist()) == sorted({*range(30)} - {*best})
    assert json.loads((tmp_path / "out" / "_summary.json").read_text())["kept"] == 15
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"_summary.json", "kept", "dropped"}
    again = filter_table(FilterConfig.checked(write_again(tmp_path)))
    assert again.finished_before
    assert again.kept == 15


def test_kept_rows_with_their_scores(tmp_path: Path) -> None:
    config = write_pair(tmp_path)
    config["output"]["scores"] = True
    assert filter_table(FilterConfig.checked(config)).kept == 15
    for name in ("year=2026/a", "year=2026/b", "year=2027/c"):
        before = pq.ParquetFile(tmp_path / "table" / f"{name}.parquet").schema_arrow
        after = pq.ParquetFile(tmp_path / "out" / "kept" / f"{name}.parquet").read()
        assert after.schema.names == [*before.names, "row_id", "score"]
        assert after.schema.metadata == before.metadata
        assert after["row_id"].to_pylist() == after["key"].to_pylist()
        assert after["score"].to_pylist() == [key % 10 for key in after["key"].to_pylist()]
    del config["output"]["scores"]
    with pytest.raises(ConfigError, match=r"output\.overwrite=true"):
        filter_table(FilterConfig.checked(config))


@pytest.mark.parametrize("name", ["Score", "row_id"])
def test_scores_that_cannot_be_added(name: str, tmp_path: Path) -> None:
    config = write_pair(tmp_path)
    pq.write_table(
        table_of(0, 10).append_column(name, pa.array(range(10))), tmp_path / "table" / "year=2027" / "d.parquet"
    )
    config["output"]["scores"] = True
    with pytest.raises(ConfigError, match=f"the table has a column '{name}', a name that the filter would add"):
        filter_table(FilterConfig.checked(config))


def write_again(folder: Path, **keep: Any) -> dict[str, Any]:
    """The config of `write_pair`, over what it has written."""
    return {
        "input": {"path": f"{folder}/table", "id": "key"},
        "scores": f"{folder}/scores",
        "keep": keep or {"top": 0.5},
        "output": {"path": f"{folder}/out", "report": False},
    }


def test_an_earlier_output_is_kept_unless_asked(tmp_path: Path) -> None:
    filter_table(FilterConfig.checked(write_pair(tmp_path)))
    other = write_again(tmp_path, min_score=9)
    with pytest.raises(ConfigError, match=r"already holds 6 \.parquet files; .* set output\.overwrite=true"):
        filter_table(FilterConfig.checked(other))
    assert len(kept_keys(tmp_path / "out")) == 15
    other["output"]["overwrite"] = True
    assert filter_table(FilterConfig.checked(other)).kept == 2
    assert kept_keys(tmp_path / "out") == [9, 19]
    # A condition that cannot be used leaves all as it was, and no unfinished job behind.
    wrong = write_again(tmp_path, where="scor > 1")
    wrong["output"]["overwrite"] = True
    with pytest.raises(ConfigError, match="where"):
        filter_table(FilterConfig.checked(wrong))
    assert kept_keys(tmp_path / "out") == [9, 19]
    assert filter_table(FilterConfig.checked(write_again(tmp_path, min_score=9))).finished_before


def test_rows_that_the_inputs_filter_leaves_out_are_neither(tmp_path: Path) -> None:
    values = write_pair(tmp_path)
    values["input"]["filter"] = "key < 12 or key == 29"
    scores = pq.read_table(tmp_path / "scores")
    keep = pc.or_(pc.less(scores["row_id"], 12), pc.equal(scores["row_id"], 29))
    pq.write_table(scores.filter(keep), tmp_path / "scores" / "part-0.parquet")
    summary = filter_table(FilterConfig.checked(values))
    assert (summary.rows_in, summary.kept, sum(summary.dropped.values())) == (13, 6, 7)
    assert kept_keys(tmp_path / "out") == [4, 5, 6, 7, 8, 9]


def test_csv_and_json_lines_become_parquet(tmp_path: Path) -> None:
    write_pair(tmp_path)
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "a.csv").write_text("key,text\n" + "".join(f"{i},t{i}\n" for i in range(30)))
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "a.jsonl").write_text("".join(f'{{"key": {i}, "text": "t{i}"}}\n' for i in range(30)))
    for name, file in (("csv", "a.csv.parquet"), ("lines", "a.jsonl.parquet")):
        values = write_again(tmp_path, min_score=9)
        values["input"]["path"], values["output"]["path"] = f"{tmp_path}/{name}", f"{tmp_path}/{name}-out"
        filter_table(FilterConfig.checked(values))
        kept = pq.read_table(tmp_path / f"{name}-out" / "kept" / file)
        assert kept.to_pylist() == [{"key": 9, "text": "t9"}, {"key": 19, "text": "t19"}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": None}, "config: scores, run: neither is given; name the results of an earlier job"),
        ({"run": {"task": "score", "model": "zoo://scenes"}}, "config: scores, run: both are given"),
        (
            {"scores": None, "run": {"task": "score", "model": "x", "modl": "x"}},
            "config: run.modl: unknown key; did you mean 'model'",
        ),
        (
            {"scores": None, "run": {"task": "score", "model": "", "output": {}}},
            "config: run.output: the filter's",
        ),
        ({"scores": "/nowhere"}, "scores: '/nowhere' does not exist"),
        ({"keep": {"tpo": 1}}, "config: keep.tpo: unknown key; did you mean 'top'"),
        ({"output": {"path": "/x/scores"}, "scores": "/x/scores/"}, "config: output.path: '/x/scores' holds scores"),
        ({"output": {"path": "/x"}, "input": {"path": "/x/kept"}}, "config: output.path: '/x' holds input.path"),
        ({"output": {"path": "/x/out"}, "input": {"path": "/x"}}, "config: output.path: '/x/out' is in the input's"),
    ],
)
def test_a_bad_config_is_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    values = {**write_pair(tmp_path), **change}
    with pytest.raises(ConfigError) as caught:
        filter_table(FilterConfig.checked({key: value for key, value in values.items() if value is not None}))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("ray_cluster")
def test_score_and_filter_on_s3(s3_server: str, scene_rows: Callable[[int], Rows]) -> None:
    assert s3_server
    s3 = s3fs.S3FileSystem()
    s3.mkdir("filtered")
    rows = scene_rows(24)
    rows[3]["image"] = b"x"
    for i in range(2):
        pq.write_table(pa.Table.from_pylist(rows[12 * i : 12 * i + 12]), f"filtered/table/{i}.parquet", filesystem=s3)
    values = {
        "input": {"path": "s3://filtered/table/", "text": "caption"},
        "run": {"task": "score", "model": "zoo://scenes", "precision": "float32", "negatives": ["a red star", "a cat"]},
        "keep": {"top": 0.25, "by": "source"},
        "output": {"path": "s3://filtered/out/", "report": False},
    }
    summary = filter_table(FilterConfig.checked(values))
    names = [path.removeprefix("filtered/out/") for path in s3.find("filtered/out")]
    own = [name for name in names if not name.startswith("scores/")]
    assert own == ["_summary.json", *(f"{kind}/{i}.parquet" for kind in ("dropped", "kept") for i in (0, 1))]
    assert "scores/_summary.json" in names
    scored = pq.read_table("filtered/out/scores", filesystem=s3).to_pylist()
    expected = []
    for source in ("s0", "s1", "s2"):
        part = [row for row in scored if row["source"] == source and row["error"] is None]
        expected += [r["id"] for r in sorted(part, key=lambda r: (-r["score"], r["row_id"]))[:2]]
    kept = [row for i in (0, 1) for row in pq.read_table(f"filtered/out/kept/{i}.parquet", filesystem=s3).to_pylist()]
    assert [row["id"] for row in kept] == sorted(expected)
    assert all(row == rows[row["id"] // 3] for row in kept)
    assert summary.dropped == {"not in the top 25% of its source": 17, "error: image_unsupported": 1}
    values["keep"] = {"min_score": -100}
    values["output"]["overwrite"] = True  # type: ignore[index]
    before = s3.find("filtered/out/scores")
    assert filter_table(FilterConfig.checked(values)).kept == 23
    values["keep"] = {"beats": {"texts": ["a red star"], "margin": 0.5}}
    leads = {row["id"]: row["score"] - row["negative_scores"][0] for row in scored if row["error"] is None}
    assert filter_table(FilterConfig.checked(values)).kept == sum(lead >= 0.5 for lead in leads.values()) > 0
    s3.invalidate_cache()
    assert s3.find("filtered/out/scores") == before, "scores of the same model and table are not made anew"
