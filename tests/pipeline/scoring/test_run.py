"""Whole jobs, most of them on a real Ray: every row leaves once, with what the `Predictor` says or with its reason."""

import io
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray.data
import torch
from PIL import Image

from pipeline import ConfigError, JobConfig, Summary, build_processor, run
from pipeline.config.filter import FilterConfig
from pipeline.filtering.filter_table import filter_table
from tests.conftest import png
from tests.pipeline.scoring.in_process import run_in_process
from vilt import Predictor

pytestmark = pytest.mark.usefixtures("ray_cluster")
Rows = list[dict[str, Any]]
ERRORS = ["error", "error_detail"]
SMALL = {"batch__window_rows": 16, "batch__tokens": 512, "output__rows_per_file": 16}
# Of scores of up to 24. torch 2.9 multiplies batches of other sizes in another order.
MOST_DIFFERENCE = 2e-5 if torch.__version__.startswith("2.9.") else 1e-5
PREDICTOR = Predictor.from_pretrained("zoo://scenes", precision="float32")


def job(task: str, table: str, out: str, **keys: Any) -> JobConfig:
    values: dict[str, Any] = {
        "input": {"path": table, "text": "caption" if task == "score" else "question"},
        "model": "zoo://scenes",
        "output": {"path": out, "report": False},
        "precision": "float32",
        "max_error_rate": 1,  # tables of few rows, some of them broken
    }
    for key, value in keys.items():
        section, _, name = key.partition("__")
        if name:
            values.setdefault(section, {})[name] = value
        else:
            values[section] = value
    return JobConfig.parse(task, values)  # type: ignore[arg-type]


def results(config: JobConfig) -> tuple[Summary, Rows]:
    """Run, and read the output in the order of the user's ids."""
    summary = run(config)
    rows = pq.read_table(config.output.path).to_pylist()
    return summary, sorted(rows, key=lambda row: (row.get("id", 0), row.get("text_index") or 0))


class Scored(NamedTuple):
    """Sixty rows in three files, scored into several. Tests only read them."""

    rows: Rows
    table: str
    config: JobConfig
    summary: Summary
    out: Rows


@pytest.fixture(scope="module")
def scored(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory, scene_rows: Callable[[int], Rows]) -> Scored:
    del ray_cluster
    folder, rows = tmp_path_factory.mktemp("scored"), scene_rows(60)
    (folder / "table").mkdir()
    for i in range(3):
        pq.write_table(pa.Table.from_pylist(rows[20 * i : 20 * i + 20]), folder / "table" / f"{i:03d}.parquet")
    config = job("score", str(folder / "table"), str(folder / "out"), **SMALL)
    return Scored(rows, str(folder / "table"), config, *results(config))


def test_score(scored: Scored) -> None:
    rows, out, summary = scored.rows, scored.out, scored.summary
    expected = PREDICTOR.score([r["image"] for r in rows], [r["caption"] for r in rows])
    assert np.abs(np.array([r["score"] for r in out]) - expected).max() < MOST_DIFFERENCE
    assert list(out[0]) == ["id", "caption", "question", "source", "row_id", "text_truncated", "score", *ERRORS]
    for given, got in zip(rows, out, strict=True):
        assert all(got[name] == given[name] for name in ("id", "caption", "question", "source"))
        assert got["error"] is None
    assert len({r["row_id"] for r in out}) == 60
    assert (summary.rows_in, summary.pairs, summary.scored, summary.rejected) == (60, 60, 60, {})
    assert summary.micro_batches >= 4
    assert 0.3 < summary.batch_fill <= 1
    assert json.loads((Path(scored.config.output.path) / "_summary.json").read_text())["scored"] == 60


def test_several_columns_of_texts(
    tmp_path: Path,
    scene_rows: Callable[[int], Rows],
    write_table: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_in_process(monkeypatch)
    rows = scene_rows(12)
    rows[5]["question"] = None
    table, out = write_table(rows), f"{tmp_path}/out"
    config = job("score", table, out, input__text=["caption", "question"], input__id="id")
    summary, out_rows = results(config)
    assert (summary.rows_in, summary.rows_out, summary.pairs, summary.rejected) == (12, 12, 24, {"text_null": 1})
    assert [(row["id"], row["text_index"]) for row in out_rows] == [(row["id"], i) for row in rows for i in range(2)]
    pairs = [(row["image"], row[name]) for row in rows for name in ("caption", "question")]
    expected = PREDICTOR.score([image for image, _ in pairs], [text or "x" for _, text in pairs])
    for found, (_, text), score in zip(out_rows, pairs, expected, strict=True):
        assert found["score"] == (None if text is None else pytest.approx(score, abs=1e-5))
    keep = {"top": 0.5, "texts": "worst"}
    values = {
        "input": {"path": table, "id": "id"},
        "scores": out,
        "keep": keep,
        "output": {"path": f"{tmp_path}/kept", "report": False},
    }
    filter_table(FilterConfig.checked(values))
    worst = {row["id"]: min(s for s in (r["score"] for r in out_rows if r["id"] == row["id"]) if s) for row in rows}
    kept = pq.read_table(tmp_path / "kept" / "kept")["id"].to_pylist()
    assert sorted(kept) == sorted(sorted(worst, key=lambda key: (-worst[key], key))[:6])
    with pytest.raises(ConfigError, match=r"output\.join: input\.text names several columns, and each text is a row"):
        run(job("score", table, out, input__text=["caption", "question"], output__join=True))


def test_answer(tmp_path: Path, scene_rows: Callable[[int], Rows], write_table: Callable[..., str]) -> None:
    rows = scene_rows(30)
    config = job("answer", write_table(rows), str(tmp_path / "out"), top_k=3, input__id="id", output__keep_image=True)
    _, out = results(config)
    expected = PREDICTOR.answer([r["image"] for r in rows], [r["question"] for r in rows], top_k=3)
    for given, got, answers in zip(rows, out, expected, strict=True):
        assert got["row_id"] == given["id"]
        assert got["image"] == given["image"]
        assert got["answer"] == answers[0][0]
        assert got["answer_score"] == pytest.approx(answers[0][1], abs=1e-5)
        assert [a["answer"] for a in got["answers"]] == [answer for answer, _ in answers]
        assert [a["score"] for a in got["answers"]] == pytest.approx([score for _, score in answers], abs=1e-5)


def broken_rows(good: bytes) -> list[tuple[dict[str, Any], str]]:
    """What can be wrong with a row, and the reason that it must get."""
    huge = io.BytesIO()
    Image.new("L", (3000, 2000)).save(huge, "PNG")
    return [
        ({"image": None}, "image_null"),
        ({"image": b""}, "image_unsupported"),
        ({"image": b"<html>"}, "image_unsupported"),
        ({"image": good[: len(good) // 2]}, "image_truncated"),
        ({"image": huge.getvalue()}, "image_bomb"),
        ({"image": good + b"\0" * 1_000_000}, "image_too_large"),
        ({"image": png(900, 30)}, "image_aspect"),
        ({"caption": None}, "text_null"),
        ({"caption": ""}, "text_empty"),
        ({"caption": " \n"}, "text_empty"),
        ({"caption": None, "image": None}, "text_null"),
        ({"caption": b"\xff\xfe"}, "text_invalid"),
    ]


def test_broken_rows_are_written_with_their_reason(
    tmp_path: Path, scene_rows: Callable[[int], Rows], write_table: Callable[..., str]
) -> None:
    rows = scene_rows(40)
    broken = broken_rows(rows[39]["image"])
    for row, (change, _) in zip(rows, broken, strict=False):
        row.update(change)
    captions = pa.array([row["caption"] for row in rows], pa.binary())  # a string may hold what is no UTF-8
    table = write_table([{**row, "caption": ""} for row in rows])
    pq.write_table(pq.read_table(table).set_column(2, "caption", captions.view(pa.string())), f"{table}/000.parquet")
    limits = {"limits__image_pixels": 1_000_000, "limits__image_bytes": 1_000_000}
    summary, out = results(job("score", table, str(tmp_path / "out"), **limits, input__columns=["id"]))
    assert [r["error"] for r in out[: len(broken)]] == [reason for _, reason in broken]
    assert all(r["error_detail"] and r["score"] is None for r in out[: len(broken)])
    good = rows[len(broken) :]
    expected = PREDICTOR.score([r["image"] for r in good], [r["caption"] for r in good])
    assert np.abs(np.array([r["score"] for r in out[len(broken) :]]) - expected).max() < 1e-5
    assert summary.rejected == Counter(reason for _, reason in broken)
    assert summary.scored == 40 - len(broken)


def test_an_empty_table(tmp_path: Path, write_table: Callable[..., str], scene_rows: Callable[[int], Rows]) -> None:
    table = write_table(scene_rows(1))
    empty = pq.read_table(table).slice(0, 0)
    pq.write_table(empty, f"{table}/000.parquet")
    summary = run(job("score", table, str(tmp_path / "out")))
    assert (summary.rows_in, summary.pairs, summary.files) == (0, 0, [])


def test_lists_of_texts_become_one_row_a_pair(
    tmp_path: Path,
    scene_rows: Callable[[int], Rows],
    write_table: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_in_process(monkeypatch)
    rows = scene_rows(6)
    texts = [["a red star", None, "a small blue circle"], ["a"], [], None, ["x", " "], ["a large red square"] * 2]
    for row, value in zip(rows, texts, strict=True):
        row["caption"] = value
    summary, out = results(job("score", write_table(rows), str(tmp_path / "out")))
    got = [(r["id"] // 3, r["text_index"], r["caption"], r["error"]) for r in out]
    assert got == [
        (0, 0, "a red star", None),
        (0, 1, None, "text_null"),
        (0, 2, "a small blue circle", None),
        (1, 0, "a", None),
        (2, None, None, "text_empty"),
        (3, None, None, "text_null"),
        (4, 0, "x", None),
        (4, 1, " ", "text_empty"),
        (5, 0, "a large red square", None),
        (5, 1, "a large red square", None),
    ]
    assert (summary.rows_in, summary.rows_out, summary.pairs) == (6, 6, 10)
    assert out[0]["score"] == pytest.approx(PREDICTOR.score(rows[0]["image"], "a red star")[0], abs=1e-5)
    assert out[0]["row_id"] == out[2]["row_id"] != out[3]["row_id"]


def test_images_by_uri(
    tmp_path: Path,
    scene_rows: Callable[[int], Rows],
    write_table: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_in_process(monkeypatch)
    rows = scene_rows(8)
    table = write_table(rows)
    (Path(table) / "pictures").mkdir()
    pictures = [row["image"] for row in rows]
    for i, row in enumerate(rows):
        (Path(table) / "pictures" / f"{i}.img").write_bytes(row["image"])
        row["image"] = f"pictures/{i}.img"
    rows[1]["image"] = "pictures/none.img"
    rows[2]["image"] = "/etc/passwd"
    rows[3]["image"] = None
    rows[4]["image"] = "pictures/0.img"
    write_table(rows)
    _, out = results(job("score", table, str(tmp_path / "out"), output__keep_image=True))
    assert [r["error"] for r in out] == [None, "image_missing", "uri_not_allowed", "image_null", *[None] * 4]
    expected = PREDICTOR.score(pictures[0], [rows[0]["caption"], rows[4]["caption"]])
    assert [out[0]["score"], out[4]["score"]] == pytest.approx(expected.tolist(), abs=1e-5)
    assert out[0]["image"] == "pictures/0.img"


def test_images_as_structs(
    tmp_path: Path,
    scene_rows: Callable[[int], Rows],
    write_table: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_in_process(monkeypatch)
    rows = scene_rows(4)
    expected = PREDICTOR.score([r["image"] for r in rows], [r["caption"] for r in rows])
    table = write_table(rows)
    (Path(table) / "1.img").write_bytes(rows[1]["image"])
    for i, row in enumerate(rows):
        row["image"] = {"bytes": row["image"], "path": "x"} if i != 1 else {"bytes": None, "path": "1.img"}
    rows[2]["image"] = {"bytes": None, "path": None}
    rows[3]["image"] = None
    write_table(rows)
    _, out = results(job("score", table, str(tmp_path / "out")))
    assert [r["error"] for r in out] == [None, None, "image_null", "image_null"]
    assert [r["score"] for r in out[:2]] == pytest.approx(expected[:2].tolist(), abs=1e-5)


def test_lineage_in_every_footer(scored: Scored) -> None:
    assert len(scored.summary.files) > 1
    for name in scored.summary.files:
        footer = pq.read_metadata(Path(scored.config.output.path) / name).metadata
        assert footer[b"vilt.weights_sha256"].decode() == PREDICTOR.weights_sha256
        assert footer[b"vilt.config_sha256"].decode() == scored.config.sha256
        assert footer[b"vilt.model"] == b"zoo://scenes"
        assert footer[b"vilt.precision"].startswith(b"float32 on ")
        assert {"torch", "ray", "python", "vilt-pipeline"} <= set(json.loads(footer[b"vilt.versions"]))


def test_an_earlier_output_is_kept_unless_asked(tmp_path: Path, scored: Scored) -> None:
    table, out, first = scored.table, str(tmp_path / "out"), scored.summary
    shutil.copytree(scored.config.output.path, out)
    message = rf"already holds {len(first.files)} \.parquet files; .* set output\.overwrite=true"
    with pytest.raises(ConfigError, match=message):
        run(job("score", table, out, limits__image_bytes=10**6))
    assert pq.read_table(out).num_rows == 60
    small = {**SMALL, "batch__window_rows": 7, "input__columns": ["id"]}
    second, again = results(job("score", table, out, **small, output__overwrite=True))
    assert not {*first.files} & {*second.files}
    assert {r["id"]: r["row_id"] for r in again} == {r["id"]: r["row_id"] for r in scored.out}, "stable over runs"
    assert list(again[0]) == ["id", "row_id", "text_truncated", "score", *ERRORS]
    message = r"output\.keep_image: true, but the results in .* were made with false; .*anew"
    with pytest.raises(ConfigError, match=message):
        run(job("score", table, out, **small | {"output__rows_per_file": None}, output__keep_image=True))
    assert run(job("score", table, out, **small)).finished_before
    assert sorted(p.name for p in Path(out).iterdir()) == sorted(["_input.json", "_summary.json", *second.files])


def test_a_model_that_cannot_do_the_task(tmp_path: Path, write_table: Callable[..., str]) -> None:
    table = write_table([{"image": b"x", "caption": "a", "question": "a"}])
    with pytest.raises(ConfigError, match=r"model: no config\.json in '/nowhere': no such folder"):
        run(job("score", table, str(tmp_path / "out"), model="/nowhere"))
    with pytest.raises(ConfigError, match="actors: 9 actors of 1 core leave none for reading and decoding"):
        run(job("score", table, str(tmp_path / "out"), actors__count=9, actors__cpus=1))
    assert not list((tmp_path / "out").rglob("*"))


def test_as_a_step_of_a_graph(scene_rows: Callable[[int], Rows], write_table: Callable[..., str]) -> None:
    rows = scene_rows(12)
    table = write_table(rows)
    process = build_processor(job("score", table, "unused", input__id="id"))
    out = process(ray.data.read_parquet(table)).filter(lambda row: row["score"] is not None).take_all()
    expected = PREDICTOR.score([r["image"] for r in rows], [r["caption"] for r in rows])
    got = {row["row_id"]: row["score"] for row in out}
    assert [got[row["id"]] for row in rows] == pytest.approx(expected.tolist(), abs=1e-5)
    assert "__stats" not in out[0]
    with pytest.raises(ConfigError, match=r"input\.id: missing"):
        build_processor(job("score", table, "unused"))(ray.data.read_parquet(table))
