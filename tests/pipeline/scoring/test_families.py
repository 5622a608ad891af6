"""Jobs of ViT and VisualBERT on a real Ray: the same results as their predictors'."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from pipeline import ConfigError, JobConfig, Summary, run
from pipeline.common.tasks import TASKS
from pipeline.results.output_folder import OutputFolder
from tests.parity.checkpoints import write_checkpoint
from tests.pipeline.scoring.in_process import run_in_process
from tests.pipeline.stages.test_task_columns import as_png
from tests.vilt.models.test_predictor import pairs
from tests.vilt.models.test_registry import features, write_visual_bert, write_vit
from vilt import VisualBertPredictor, ViTPredictor

pytestmark = pytest.mark.usefixtures("ray_cluster")
Rows = list[dict[str, Any]]
REGIONS = pa.list_(pa.list_(pa.float32()))


def job(task: str | list[str], table: str, out: Path, model: Path, **keys: Any) -> JobConfig:
    values = {
        "tasks": [task] if isinstance(task, str) else task,
        "input": {"path": table, **keys.pop("inputs", {})},
        "model": str(model),
        "output": {"path": str(out), "report": False, "rows_per_file": 6},
        "precision": "float32",
        "batch": {"window_rows": 6, "tokens": 1000},
        "max_error_rate": 1,
    }
    return JobConfig.parse(None, {**values, **keys})


def results(config: JobConfig) -> tuple[Summary, Rows]:
    """Run; the output in the order of the column `n`."""
    summary = run(config)
    return summary, sorted(pq.read_table(config.output.path).to_pylist(), key=lambda row: row["n"])


def write(folder: Path, rows: Rows, **kinds: pa.DataType) -> str:
    folder.mkdir()
    table = pa.table({name: pa.array([row[name] for row in rows], kinds.get(name)) for name in rows[0]})
    pq.write_table(table, folder / "a.parquet", row_group_size=6)
    return str(folder)


def image_rows(count: int) -> Rows:
    return [{"n": i, "image": image} for i, image in enumerate(as_png(pairs(count)[0]))]


def question_rows(count: int) -> Rows:
    texts = pairs(count)[1]
    regions = features(count)
    return [{"n": i, "question": texts[i], "boxes": regions[i].tolist()} for i in range(count)]


def test_classify_and_embed_in_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_in_process(monkeypatch)
    write_vit(tmp_path / "model")
    rows = image_rows(20)
    rows[3]["image"], rows[4]["image"], rows[5]["image"] = b"<html>", None, rows[0]["image"]
    config = job(["classify", "embed"], write(tmp_path / "table", rows), tmp_path / "out", tmp_path / "model", top_k=3)
    summary, out = results(config)
    columns = ["n", "row_id", "label", "label_score", "labels", "embedding", "error", "error_detail"]
    assert list(out[0]) == columns
    assert summary.rejected == {"image_unsupported": 1, "image_null": 1}
    predictor = ViTPredictor.from_pretrained(str(tmp_path / "model"), precision="float32")
    for row, got in zip(rows, out, strict=True):
        if row["n"] in (3, 4):
            assert (got["label"], got["labels"], got["embedding"]) == (None, None, None)
            continue
        [best] = predictor.classify(row["image"], 3)
        assert [one["label"] for one in got["labels"]] == [label for label, _ in best]
        assert [one["score"] for one in got["labels"]] == pytest.approx([score for _, score in best], abs=1e-5)
        assert (got["label"], got["label_score"]) == (got["labels"][0]["label"], got["labels"][0]["score"])
        assert np.abs(np.array(got["embedding"]) - predictor.embed(row["image"])[0]).max() < 1e-4
    assert pq.read_metadata(tmp_path / "out" / summary.files[0]).metadata[b"vilt.task"] == b"classify,embed"


def test_a_job_that_is_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_vit(tmp_path / "model", "ViTModel")
    rows = image_rows(18)
    config = job("embed", write(tmp_path / "table", rows), tmp_path / "out", tmp_path / "model", actors={"count": 1})
    with monkeypatch.context() as patch:  # all is written, and then the power goes
        patch.setattr(OutputFolder, "publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(config)
    parts = sorted((tmp_path / "out" / "_progress").glob("part-*.parquet"))
    assert len(parts) > 1
    parts[0].unlink()
    summary, out = results(config)
    assert 0 < summary.resumed_rows < 18
    assert [row["n"] for row in out] == list(range(18))
    expected = ViTPredictor.from_pretrained(str(tmp_path / "model"), precision="float32").embed(
        [row["image"] for row in rows]
    )
    assert np.abs(np.array([row["embedding"] for row in out]) - expected).max() < 1e-4
    assert run(config).finished_before


def test_visual_bert_answers_from_regions_with_a_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_in_process(monkeypatch)
    write_visual_bert(tmp_path / "model", "VisualBertForQuestionAnswering")
    rows = question_rows(20)
    for row in rows:
        row["real"] = [1] * len(row["boxes"])
    rows[1]["real"] = [1, 0]
    rows[2]["boxes"][1][7] = float("nan")
    rows[3]["boxes"][0] = rows[3]["boxes"][0][:-1]
    rows[4]["boxes"] = None
    rows[5]["real"] = [1, 1]
    rows[6]["real"] = [0] * 7
    rows[7]["question"] = None
    rows[9]["boxes"], rows[9]["real"] = rows[8]["boxes"], rows[8]["real"]
    table = write(tmp_path / "table", rows, boxes=REGIONS)
    inputs = {"text": "question", "features": "boxes", "features_mask": "real"}
    summary, out = results(job("answer", table, tmp_path / "out", tmp_path / "model", inputs=inputs, top_k=2))
    assert list(out[0]) == [
        "n",
        "question",
        "row_id",
        "text_truncated",
        *TASKS["answer"].columns,
        "error",
        "error_detail",
    ]
    assert {row["n"]: (row["error"], row["error_detail"]) for row in out if row["error"]} == {
        2: ("regions_not_finite", "region 1 of those read holds a null or no number"),
        3: ("regions_shape", "region 0 has 19 features; the model reads 20"),
        4: ("regions_null", "the features are null"),
        5: ("regions_shape", "the mask is 2 numbers, or nulls; there are 6 regions"),
        6: ("regions_empty", "the mask leaves no region"),
        7: ("text_null", "the text is null"),
    }
    assert summary.scored == 14
    predictor = VisualBertPredictor.from_pretrained(str(tmp_path / "model"), precision="float32")
    for row, got in zip(rows, out, strict=True):
        if not got["error"]:
            own = np.array([box for box, real in zip(row["boxes"], row["real"], strict=True) if real], np.float32)
            [best] = predictor.answer([own], [row["question"]], 2)
            assert [one["answer"] for one in got["answers"]] == [answer for answer, _ in best]
            assert [one["score"] for one in got["answers"]] == pytest.approx([s for _, s in best], abs=1e-5)


def test_visual_bert_reasons_on_s3(tmp_path: Path, s3_server: str) -> None:
    assert s3_server
    theirs = write_visual_bert(tmp_path / "model", "VisualBertForVisualReasoning")
    for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        (tmp_path / "words").mkdir(exist_ok=True)
        (tmp_path / "model" / name).rename(tmp_path / "words" / name)
    rows = question_rows(14)
    s3 = s3fs.S3FileSystem()
    s3.mkdir("regions")
    s3.put(str(tmp_path / "model"), "regions/model", recursive=True)
    s3.put(str(tmp_path / "words"), "regions/words", recursive=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    s3.pipe_file("regions/table/a.jsonl", lines.encode())
    inputs = {"path": "s3://regions/table/", "text": "question", "features": "boxes"}
    values = {
        "tasks": ["reason"],
        "input": inputs,
        "model": "s3://regions/model",
        "output": {"path": "s3://regions/out/", "report": False, "keep_image": True},
        "precision": "float32",
    }
    with pytest.raises(ConfigError, match=r"model: no vocab.txt in 's3://regions/model'; name a tokenizer, as hf://"):
        run(JobConfig.parse(None, values))
    run(JobConfig.parse(None, {**values, "tokenizer": "s3://regions/words"}))
    out = sorted(pq.read_table("regions/out", filesystem=s3).to_pylist(), key=lambda row: row["n"])
    assert list(out[0]) == [
        "n",
        "question",
        "boxes",
        "row_id",
        "text_truncated",
        "label",
        "label_score",
        "error",
        "error_detail",
    ]
    s3.get("regions/words/vocab.txt", str(tmp_path / "model" / "vocab.txt"))
    predictor = VisualBertPredictor.from_pretrained(str(tmp_path / "model"), precision="float32")
    expected = predictor.reason([np.array(row["boxes"]) for row in rows], [row["question"] for row in rows])
    assert [row["label"] for row in out] == [best[0][0] for best in expected]
    assert [row["label_score"] for row in out] == pytest.approx([best[0][1] for best in expected], abs=1e-5)
    assert {row["label"] for row in out} <= set(theirs.config.id2label.values())


def test_what_does_not_go_together_is_one_line(tmp_path: Path) -> None:
    vilt, vit, bert, bare = (tmp_path / name for name in ("vilt", "vit", "bert", "bare"))
    write_checkpoint(vilt, "ViltForImageAndTextRetrieval")
    write_vit(vit)
    write_vit(bare, "ViTModel")
    write_visual_bert(bert, "VisualBertForQuestionAnswering")
    rows = [{"n": 0, "image": b"x", "text": "a", "boxes": [[0.0]], "real": [1]}]
    table = write(tmp_path / "table", rows, boxes=REGIONS)
    boxes = {"features": "boxes"}
    for task, model, inputs, message in (
        ("classify", vilt, {}, f"model: '{vilt}' is ViLT, which cannot classify; name a checkpoint of ViT"),
        ("score", vit, {}, f"model: '{vit}' is ViT, which cannot score; name a checkpoint of ViLT"),
        ("classify", bare, {}, f"model: '{bare}' has no head to classify; it can embed"),
        ("reason", bert, boxes, f"model: '{bert}' has no head to reason; it can embed, answer"),
        (
            "answer",
            bert,
            {},
            f"input.features: missing; '{bert}' is VisualBERT, which reads the features of",
        ),
        ("embed", vit, {"text": "text"}, f"input.text: 'text', but '{vit}' is ViT, which reads images alone: leave"),
        ("answer", bert, {**boxes, "image": "image"}, f"input.image: 'image', but '{bert}' is VisualBERT, which reads"),
        ("score", vilt, boxes, f"input.features: '{vilt}' is ViLT, which reads images; leave the key out"),
        (
            "score",
            vilt,
            {"text": None},
            f"input.text: null, but '{vilt}' is ViLT, which reads texts: name their",
        ),
        ("classify", vit, {"image": None}, f"input.image: null, but '{vit}' is ViT, which reads images"),
        ("answer", bert, {"features": "box"}, "input.features: the table has no column 'box'"),
        ("answer", bert, {**boxes, "features_mask": "n"}, "input.features_mask: column 'n' is int64; a mask is a list"),
    ):
        with pytest.raises(ConfigError) as caught:
            run(job(task, table, tmp_path / "out", model, inputs=inputs))
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    both = job(["score", "classify"], table, tmp_path / "out", vilt).model_copy(
        update={"model": {"score": str(vilt), "classify": str(vit)}}
    )
    with pytest.raises(ConfigError, match=r"is ViLT and .* is ViT; give them jobs of their own"):
        run(both)
    with pytest.raises(ConfigError, match=r"input\.features_mask: given without input\.features"):
        job("answer", table, tmp_path / "out", bert, inputs={"features_mask": "real"})
    assert not (tmp_path / "out").exists()
