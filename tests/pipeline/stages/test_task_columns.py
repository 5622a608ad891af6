"""Jobs of every task: the same results as the `Predictor`'s; one of them on a real Ray."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import ConfigError, JobConfig, Summary, run
from tests.parity.checkpoints import write_checkpoint
from tests.pipeline.scoring.in_process import run_in_process
from tests.vilt.models.test_predictor import pairs
from vilt import Predictor

Rows = list[dict[str, Any]]


def results(values: dict[str, Any], table: str, out: Path, model: Any, **inputs: Any) -> tuple[Summary, Rows]:
    """Run; the output in the order of the column `n`."""
    given = {
        "input": {"path": table, "text": "text", **inputs},
        "model": model,
        "output": {"path": str(out), "report": False},
        "precision": "float32",
        "batch": {"window_rows": 7, "tokens": 1000},
        "max_error_rate": 1,
    }
    summary = run(JobConfig.parse(None, {**given, **values}))
    return summary, sorted(pq.read_table(out).to_pylist(), key=lambda row: row["n"])


def as_png(images: list[Image.Image]) -> list[bytes]:
    out = []
    for image in images:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        out.append(buffer.getvalue())
    return out


@pytest.fixture
def table(tmp_path: Path) -> tuple[str, Rows]:
    """Ten rows with an image each, and a text."""
    images, texts = pairs(10)
    columns = zip(as_png(images), texts, strict=True)
    rows = [{"n": i, "image": image, "text": text} for i, (image, text) in enumerate(columns)]
    (tmp_path / "table").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "table" / "a.parquet")
    return str(tmp_path / "table"), rows


def test_fill_tag_and_embed(tmp_path: Path, table: tuple[str, Rows], monkeypatch: pytest.MonkeyPatch) -> None:
    run_in_process(monkeypatch)
    folder, rows = table
    names = {"fill": "MaskedLM", "tag": "TokenClassification", "embed": "ImageAndTextRetrieval"}
    model = {task: str(tmp_path / task) for task in names}
    for seed, (task, name) in enumerate(names.items()):
        theirs = write_checkpoint(tmp_path / task, f"ViltFor{name}", seed=21 + seed)
    for i, row in enumerate(rows):
        row["masked"] = None if i == 4 else " ".join(["[MASK]"] * (i % 3) + ["a", "red", "[MASK]", "?"][: i + 1])
    rows[3]["image"] = b""
    pq.write_table(pa.Table.from_pylist(rows), f"{folder}/a.parquet")
    text = {"fill": "masked", "tag": "text", "embed": "text"}
    summary, out = results({"tasks": [*names]}, folder, tmp_path / "out", model, text=text)
    columns = ["filled_text", "fills", "tags", "embedding", "error", "error_detail"]
    assert list(out[0]) == ["n", "text", "masked", "row_id", "text_truncated", *columns]
    kind = pq.read_schema(tmp_path / "out" / summary.files[0]).field("embedding").type
    assert kind == pa.list_(pa.float32())
    assert {len(got["embedding"]) for got in out if got["embedding"]} == {theirs.config.hidden_size}
    filler, tagger, embedder = (Predictor.from_pretrained(uri, precision="float32") for uri in model.values())
    for row, got in zip(rows, out, strict=True):
        if row["n"] == 3:
            assert all(got[name] is None for name in columns[:4])
            assert got["error"] == "image_unsupported"
            continue
        if row["masked"] is None:
            assert (got["filled_text"], got["fills"], got["error"]) == (None, None, "text_null")
        else:
            [expected] = filler.fill(row["image"], row["masked"])
            assert got["filled_text"] == expected.text
            assert [fill["token"] for fill in got["fills"]] == [token for token, _ in expected.words]
            assert [fill["score"] for fill in got["fills"]] == pytest.approx([s for _, s in expected.words], abs=1e-5)
        [tags] = tagger.tag(row["image"], row["text"])
        assert [(tag["token"], tag["label"]) for tag in got["tags"]] == [(tag.token, tag.label) for tag in tags]
        assert [tag["score"] for tag in got["tags"]] == pytest.approx([tag.score for tag in tags], abs=1e-5)
        assert np.abs(np.array(got["embedding"]) - embedder.embed(row["image"], row["text"])[0]).max() < 1e-5
    assert summary.rejected == {"text_null": 1, "image_unsupported": 1}


@pytest.mark.parametrize("layout", ["columns", "lists"])
def test_reason(tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run_in_process(monkeypatch)
    write_checkpoint(
        tmp_path / "model", "ViltForImagesAndTextClassification", seed=24, num_images=2, modality_type_vocab_size=3
    )
    images, texts = pairs(16)
    encoded = as_png(images)
    rows = [{"n": i, "left": encoded[2 * i], "right": encoded[2 * i + 1], "text": texts[i]} for i in range(8)]
    rows[1]["left"] = rows[0]["right"]
    rows[2]["right"] = b"<html>"
    rows[3]["left"] = None
    columns: Any = ["left", "right"]
    if layout == "lists":
        columns = "pair"
        rows = [{"n": r["n"], "text": r["text"], "pair": [r["left"], r["right"]]} for r in rows]
        rows[4]["pair"] = rows[4]["pair"][:1]
    (tmp_path / "table").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "table" / "a.parquet")
    _, out = results(
        {"task": "reason"}, str(tmp_path / "table"), tmp_path / "out", str(tmp_path / "model"), image=columns
    )
    failed = {2: ("image_unsupported", "image 2: 6 bytes"), 3: ("image_null", "image 1: the image is null")}
    if layout == "lists":
        failed[4] = ("image_count", "the row has 1 image; the model reads 2")
    predictor = Predictor.from_pretrained(str(tmp_path / "model"), precision="float32")
    for i, (row, got) in enumerate(zip(rows, out, strict=True)):
        if i in failed:
            assert (got["error"], got["label"], got["label_score"]) == (failed[i][0], None, None)
            assert got["error_detail"].startswith(failed[i][1])
            continue
        both = row["pair"] if layout == "lists" else (row["left"], row["right"])
        [[(label, score), *_]] = predictor.reason([both], [row["text"]])
        assert (got["label"], got["error"]) == (label, None)
        assert got["label_score"] == pytest.approx(score, abs=1e-5)


@pytest.mark.usefixtures("ray_cluster")
def test_several_tasks_with_a_model_and_a_text_each(tmp_path: Path, table: tuple[str, Rows]) -> None:
    folder, rows = table
    for row in rows:
        row["question"] = row["text"][::-1] or "?"
    rows[2]["question"] = None
    rows[5]["text"] = " "
    rows[6]["text"] = rows[6]["question"] = None
    pq.write_table(pa.Table.from_pylist(rows), f"{folder}/a.parquet")
    names = {"score": "ViltForImageAndTextRetrieval", "answer": "ViltForQuestionAnswering"}
    model = {task: str(tmp_path / task) for task in names}
    for task, name in names.items():
        write_checkpoint(tmp_path / task, name, seed=25)
    text = {"score": "text", "answer": "question"}
    summary, out = results({"tasks": ["score", "answer"]}, folder, tmp_path / "out", model, text=text)
    scorer, answerer = (Predictor.from_pretrained(uri, precision="float32") for uri in model.values())
    for i, (row, got) in enumerate(zip(rows, out, strict=True)):
        if i in (5, 6):
            assert got["score"] is None
        else:
            assert got["score"] == pytest.approx(scorer.score(row["image"], row["text"])[0], abs=1e-5)
        if i in (2, 6):
            assert got["answer"] is None
        else:
            assert got["answer"] == answerer.answer(row["image"], row["question"])[0][0][0]
    assert {i: row["error_detail"] for i, row in enumerate(out) if row["error"]} == {
        2: "question: the text is null",
        5: "text: the text is ' '",
        6: "text: the text is null",
    }
    assert summary.rejected == {"text_null": 2, "text_empty": 1}
    assert set(summary.lineage["vilt.model"]) > set("score")


def test_what_does_not_go_together_is_one_line(tmp_path: Path, table: tuple[str, Rows]) -> None:
    folder, _ = table
    write_checkpoint(tmp_path / "score", "ViltForImageAndTextRetrieval", seed=26)
    write_checkpoint(
        tmp_path / "reason", "ViltForImagesAndTextClassification", num_images=2, modality_type_vocab_size=3
    )
    score, reason = str(tmp_path / "score"), str(tmp_path / "reason")
    for values, model, inputs, message in (
        ({"task": "fill"}, score, {}, f"model: {score!r} has no head to fill; it can embed, score"),
        ({"task": "reason"}, reason, {"image": ["image"] * 3}, f"input.image: 3 columns; {reason!r} reads 2 images"),
        (
            {"tasks": ["score", "answer"]},
            {"score": score, "answer": "zoo://scenes"},
            {},
            "preprocess differently; give them jobs of their own",
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            results(values, folder, tmp_path / "out", model, **inputs)
        assert message in str(caught.value)
