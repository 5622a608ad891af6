"""`output.format: webdataset`: the tars of the input, with the result of each sample."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import s3fs
import webdataset

from jobs.commands.report import report_output
from jobs.commands.show import show_output
from jobs.reports.summary import summary_table
from pipeline import ConfigError, JobConfig, Summary, run
from pipeline.common.row_ranges import row_key
from pipeline.config.filter import FilterConfig
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.filtering.filter_table import filter_table
from pipeline.reporting.access import Access
from pipeline.results import tar_results
from pipeline.results.reader import open_results
from pipeline.tables.table import open_files
from tests.pipeline.killed import Killed, the_dead_are_dead
from tests.pipeline.scoring.flowless import Flow, without_ray

assert the_dead_are_dead  # a fixture of every test here
Rows = list[dict[str, Any]]
SAMPLES = {"00000.tar": 7, "00001.tar": 3, "more/00000.tar": 5}


def write_tars(folder: Path, pictures: bytes | list[bytes] = b"\xff\xd8x") -> Path:
    """Write shards with webdataset's own writer."""
    number = 0
    for name, count in SAMPLES.items():
        (folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        with webdataset.TarWriter(str(folder / "in" / name)) as writer:
            for _ in range(count):
                picture = pictures if isinstance(pictures, bytes) else pictures[number]
                sample = {"__key__": f"{number:09d}", "jpg": picture, "txt": f"text {number}"}
                writer.write({**sample, "json": {"n": number}, "npy": np.arange(number), "cls": number})
                number += 1
    return folder / "in"


def config(table: str, out: str, **output: Any) -> JobConfig:
    values = {
        "input": {"path": table, "text": "text", "id": "__key__"},
        "model": "zoo://scenes",
        "output": {"path": out, "report": False, "format": "webdataset", **output},
        "batch": {"window_rows": 8},
        "precision": "float32",
        "max_error_rate": 1,
    }
    return JobConfig.parse("score", values)


def members(data: bytes) -> dict[str, bytes]:
    """Name -> the bytes of the header and of the content of each member, in order."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {one.name: data[one.offset : one.offset_data + one.size] for one in tar}


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Flow:
    return without_ray(monkeypatch)


def check_tars(before: Path, after: Path, results: dict[int, dict[str, Any]], member: str = "score.json") -> None:
    """All members are as they are, in their order, and each sample has a member more at its end."""
    number = 0
    for name, count in SAMPLES.items():
        old, new = members((before / name).read_bytes()), members((after / name).read_bytes())
        assert {one: data for one, data in new.items() if not one.endswith(f".{member}")} == old
        keys = [one.partition(".")[0] for one in new]
        assert keys == sorted(keys)
        for last in range(5, len(new), 6):
            key = f"{number:09d}"
            assert list(new)[last] == f"{key}.{member}", "the last of its sample"
            assert json.loads(new[f"{key}.{member}"][512:].rstrip(b"\0")) == results[number]
            number += 1
        assert len(new) == 6 * count
    urls = [str(after / name) for name in SAMPLES]
    found = list(webdataset.WebDataset(urls, shardshuffle=False).decode())
    assert [sample["json"]["n"] for sample in found] == list(range(number))
    assert [sample[member] for sample in found] == list(results.values())


def result(score: float | None, error: str | None = None) -> dict[str, Any]:
    detail = None if error is None else f"it is {error}"
    return {
        "text_truncated": False if error is None else None,
        "score": score,
        "error": error,
        "error_detail": detail,
    }


RESULTS = [result(1000.0 * file + row) for file, count in enumerate(SAMPLES.values()) for row in range(count)]


def test_every_sample_has_its_members_and_its_result(tmp_path: Path, flow: Flow) -> None:
    table, out = write_tars(tmp_path), tmp_path / "out"
    flow.errors = {row_key(0, 2): "image_corrupt"}
    job = config(str(table), str(out))
    summary = run(job)
    assert (summary.rows_in, summary.rows_out, summary.rejected) == (15, 15, {"image_corrupt": 1})
    check_tars(table, out, dict(enumerate([*RESULTS[:2], result(None, "image_corrupt"), *RESULTS[3:]])))
    assert json.loads((out / "sizes.json").read_text()) == {"00000.tar": 7, "00001.tar": 3}
    assert json.loads((out / "more" / "sizes.json").read_text()) == {"00000.tar": 5}
    held = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    parquet = [f"_results/{name}.parquet" for name in SAMPLES]
    sizes = ["more/sizes.json", "sizes.json"]
    assert held == sorted([*SAMPLES, *sizes, *parquet, "_input.json", "_summary.json"])
    assert sorted(summary.files) == sorted([*SAMPLES, *sizes, *parquet])
    assert run(job).finished_before
    found = duckdb.sql(f"SELECT n, row_id FROM '{out}/_results/**/*.parquet' WHERE error IS NULL ORDER BY n").fetchall()
    assert found == [(n, f"{n:09d}") for n in range(15) if n != 2]


def test_what_reads_results_reads_them_from_beside_the_tars(
    tmp_path: Path, flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    del flow
    table, out = write_tars(tmp_path), str(tmp_path / "out")
    summary = run(config(str(table), out))
    from rich.console import Console

    Console(width=200).print(summary_table(summary))
    assert f"{out} (tar files: 3, Parquet files: 3)" in capsys.readouterr().out
    results = open_results(out, "OUT", StorageConfig())
    assert sum(rows.num_rows for rows in results.read(["row_id"], 100)) == 15
    again = open_files(InputConfig(path=out), StorageConfig())
    assert (again.format.name, again.rows) == ("webdataset", 15), "what is beside the tars is no part of the table"
    shown = show_output(out, 2)
    assert shown.values["rows_in"] == 15
    written = report_output(out, str(tmp_path / "report.html"), Access())
    assert written.values
    assert "score" in (tmp_path / "report.html").read_text()
    keep = {"scores": out, "keep": {"min_score": 1000}, "input": {"path": str(table), "id": "__key__"}}
    assert (
        filter_table(FilterConfig.checked({**keep, "output": {"path": f"{tmp_path}/kept", "report": False}})).kept == 8
    )
    # The tars with results can be filtered, too: their samples have the same keys.
    keep["input"] = {"path": out, "id": "__key__"}
    values = {**keep, "allow_changed": True, "output": {"path": f"{tmp_path}/scored", "report": False}}
    assert filter_table(FilterConfig.checked(values)).kept == 8
    kept = members((tmp_path / "scored" / "kept" / "more" / "00000.tar").read_bytes())
    assert json.loads(kept["000000010.score.json"][512:]) == result(2000.0)


def test_results_in_the_samples_json(tmp_path: Path, flow: Flow) -> None:
    del flow
    table, out = write_tars(tmp_path), tmp_path / "out"
    run(config(str(table), str(out), member="json"))
    number = 0
    for name, count in SAMPLES.items():
        old, new = members((table / name).read_bytes()), members((out / name).read_bytes())
        assert list(new) == list(old)
        assert {one: data for one, data in new.items() if not one.endswith(".json")} == {
            one: data for one, data in old.items() if not one.endswith(".json")
        }
        for key in [f"{number + i:09d}.json" for i in range(count)]:
            assert json.loads(new[key][512:].rstrip(b"\0")) == {"n": number, **RESULTS[number]}
            number += 1
    again = open_files(InputConfig(path=str(out)), StorageConfig())
    assert "score" in again.schema.names, "fields of .json are columns"
    with pytest.raises(ConfigError, match=r"output\.member: not set, but the results in '.*' were made with json; ch"):
        run(config(str(table), str(out)))
    with pytest.raises(ConfigError, match=r"output\.format: parquet, but the results in '.*' were made with webdatas"):
        run(config(str(table), str(out), format="parquet"))


def test_a_job_that_is_killed_scores_no_row_and_copies_no_tar_again(
    tmp_path: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, out = write_tars(tmp_path), tmp_path / "out"
    job = config(str(table), str(out))
    flow.killed_after = 2
    with pytest.raises(Killed):
        run(job)
    done = len(flow.read)
    assert 0 < done < 15
    flow.killed_after = 0
    copy, copied = tar_results.copy_file, list[int]()

    def killed(*args: Any) -> None:
        if len(copied) == 2:
            raise Killed
        copied.append(args[1])
        copy(*args)

    monkeypatch.setattr(tar_results, "COPIERS", 1)
    monkeypatch.setattr(tar_results, "copy_file", killed)
    with pytest.raises(Killed):
        run(job)
    assert sorted(flow.read) == sorted({row_key(f, r) for f, n in enumerate(SAMPLES.values()) for r in range(n)})
    assert not list(out.glob("*.tar")), "nothing is published"
    with pytest.raises(ConfigError, match=r"unfinished job of another set of columns or release"):
        run(config(str(table), str(out), member="json"))
    monkeypatch.setattr(tar_results, "copy_file", lambda *args: (copied.append(args[1]), copy(*args))[1])
    summary = run(job)
    assert (len(flow.read), copied, summary.resumed_rows) == (15, [0, 1, 2], 15)
    check_tars(table, out, dict(enumerate(RESULTS)))
    assert not (out / "_progress").exists()


def test_samples_that_are_tried_again_get_their_result(tmp_path: Path, flow: Flow) -> None:
    table, out = write_tars(tmp_path), tmp_path / "out"
    job = config(str(table), str(out))
    flow.errors = {row_key(1, 1): "fetch_timeout"}
    run(job)
    before = {name: (out / name).stat().st_ino for name in SAMPLES}
    flow.errors, flow.read = {}, []
    summary = run(job, retry_errors=True)
    assert (flow.read, summary.rejected) == ([row_key(1, 1)], {})
    check_tars(table, out, dict(enumerate(RESULTS)))
    after = {name: (out / name).stat().st_ino for name in SAMPLES}
    assert [name for name in SAMPLES if before[name] != after[name]] == ["00001.tar"], "the other tars stay"
    assert json.loads((out / "sizes.json").read_text()) == {"00000.tar": 7, "00001.tar": 3}
    assert sorted(summary.files) == sorted(json.loads((out / "_summary.json").read_text())["files"])
    assert set(SAMPLES) < set(summary.files)


def test_other_tars_are_not_overwritten(tmp_path: Path, flow: Flow) -> None:
    del flow
    table, out = write_tars(tmp_path), tmp_path / "out"
    (out / "more").mkdir(parents=True)
    (out / "more" / "00000.tar").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"already holds 1 \.tar file; choose another folder, or set output\.overw"):
        run(config(str(table), str(out)))
    assert (out / "more" / "00000.tar").read_bytes() == b"mine"
    run(config(str(table), str(out), overwrite=True))
    check_tars(table, out, dict(enumerate(RESULTS)))
    # Results of another kind replace them all.
    run(config(str(table), str(out), overwrite=True, format="parquet"))
    assert not list(out.rglob("*.tar"))
    assert not list(out.rglob("sizes.json"))


def test_a_tar_that_is_changed_meanwhile_is_named(tmp_path: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    del flow
    table, out = write_tars(tmp_path), tmp_path / "out"
    publish = tar_results.write_tars

    def changed(*args: Any) -> list[str]:
        (table / "00001.tar").write_bytes((table / "00001.tar").read_bytes())
        return publish(*args)

    monkeypatch.setattr("pipeline.scoring.tar_output.write_tars", changed)
    with pytest.raises(ConfigError, match=r"00001\.tar was changed since it was listed, so its rows are not those tha"):
        run(config(str(table), str(out)))
    assert not (out / "_summary.json").exists()


def test_what_cannot_be_is_refused_before_any_work(tmp_path: Path, flow: Flow) -> None:
    table, out = str(write_tars(tmp_path)), str(tmp_path / "out")
    run(config(table, out))
    with pytest.raises(ConfigError, match=r"output\.member: the samples have a member 'score\.json' already: name an"):
        run(config(out, str(tmp_path / "again")))
    run(config(out, str(tmp_path / "again"), member="second.json"))
    run(config(table, str(tmp_path / "merged"), member="json"))
    clash = config(str(tmp_path / "merged"), str(tmp_path / "more"), member="json")
    clash = clash.model_copy(update={"input": clash.input.model_copy(update={"columns": ["n"]})})
    with pytest.raises(ConfigError, match=r"output\.member: 'json', but the samples' \.json has a field 'text_trunca"):
        run(clash)
    flow.read = []
    (tmp_path / "a.jsonl").write_text('{"__key__": "1", "image": "a.jpg", "text": "t"}\n')
    with pytest.raises(ConfigError, match=r"output\.format: 'webdataset', but the input is jsonl: results are added"):
        run(config(str(tmp_path / "a.jsonl"), out))
    assert not flow.read


@pytest.mark.usefixtures("ray_cluster")
def test_a_job_on_s3(s3_server: str, tmp_path: Path, scene_rows: Callable[[int], Rows]) -> None:
    assert s3_server
    s3, pictures = s3fs.S3FileSystem(), [row["image"] for row in scene_rows(15)]
    pictures[4] = b"no picture"
    table = write_tars(tmp_path, pictures)
    s3.mkdir("scored")
    s3.put(f"{table}/", "scored/in/", recursive=True)
    job = config("s3://scored/in/", "s3://scored/out/")
    summary: Summary = run(job)
    assert summary.rejected == {"image_unsupported": 1}
    s3.invalidate_cache()
    s3.get("scored/out/", f"{tmp_path}/out/", recursive=True)
    found = duckdb.sql(
        f"SELECT text_truncated, score, error, error_detail FROM '{tmp_path}/out/_results/**/*.parquet' ORDER BY row_id"
    ).fetchall()
    assert [row[1] is None for row in found] == [number == 4 for number in range(15)]
    names = ("text_truncated", "score", "error", "error_detail")
    check_tars(table, tmp_path / "out", {i: dict(zip(names, row, strict=True)) for i, row in enumerate(found)})
    s3.rm("scored/out/_summary.json")
    with pytest.raises(ConfigError, match=r"already holds 8 \.json, \.parquet, \.tar files"):
        run(job)
