"""`vilt evaluate` on benchmark files of drawn scenes: the metrics of the `Predictor`'s own results."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
import yaml
from typer.testing import CliRunner

from jobs.cli import app
from jobs.commands.evaluate import evaluate_config, evaluate_file
from jobs.console.command import run_command
from jobs.console.tables import to_text
from pipeline import ConfigError
from pipeline.common.errors import TooManyErrorsError
from pipeline.config.evaluate import EvaluateConfig
from tests.parity.checkpoints import write_checkpoint
from tests.pipeline.evaluation import drawn
from vilt import Predictor

PREDICTOR = Predictor.from_pretrained("zoo://scenes", precision="float32")


def measured(out: Path, **sections: Any) -> tuple[dict[str, Any], str]:
    """Evaluate: the benchmarks of evaluation.json, and the table."""
    runs = any("model" in section for section in sections.values() if isinstance(section, dict))
    model = {"precision": "float32", "max_error_rate": 1} if runs else {}
    values = {"output": {"path": str(out)}, **model, "bootstrap": {"resamples": 200}, **sections}
    outcome = evaluate_config(EvaluateConfig.checked(values))
    text = to_text(outcome.text)
    found = json.loads((out / "evaluation.json").read_text())["benchmarks"]
    assert isinstance(outcome.values, dict)
    assert outcome.values["benchmarks"] == found
    if any(benchmark["metrics"] for benchmark in found.values()):
        assert (out / "evaluation.png").read_bytes().startswith(b"\x89PNG")
    return found, text


def values_of(benchmark: dict[str, Any]) -> dict[str, float]:
    return {name: metric["value"] for name, metric in benchmark["metrics"].items()}


def recalls(path: str, images: str, broken: int) -> dict[str, float]:
    """By the definition, over the whole matrix."""
    every = json.loads(Path(path).read_text())["images"]
    chosen = sorted((image for image in every if image["split"] == "test"), key=lambda image: image["imgid"])
    texts = [(sentence["raw"], i) for i, image in enumerate(chosen) for sentence in image["sentences"]]
    matrix = np.full((len(chosen), len(texts)), -np.inf)
    for i, image in enumerate(chosen):
        if i != broken:
            data = (Path(images) / image["filepath"] / image["filename"]).read_bytes()
            matrix[i] = PREDICTOR.score(data, [text for text, _ in texts])
    true = np.array([[i == own for _, own in texts] for i in range(len(chosen))])
    out = {}
    for name, scores, right in (("image to text", matrix, true), ("text to image", matrix.T, true.T)):
        best = np.where(right, scores, -np.inf).max(1, keepdims=True)
        rank = np.where(np.isneginf(best[:, 0]), 10**6, 1 + ((scores >= best) & ~right).sum(1))
        out |= {f"{name} recall@{k}": float((rank <= k).mean()) for k in (1, 5, 10)}
    return out


@pytest.mark.usefixtures("ray_cluster")
def test_retrieval_on_s3(tmp_path: Path, s3_server: str, caplog: pytest.LogCaptureFixture) -> None:
    """Too many images are missing: nothing is measured; the same command then scores only what was missing."""
    assert s3_server
    s3 = s3fs.S3FileSystem()
    s3.mkdir("retrieval")
    path, images = drawn.karpathy(tmp_path, 12)
    folder = tmp_path / "images" / "val2014"
    (folder / "3.jpg").write_bytes(b"<html>")
    s3.put(str(tmp_path), "retrieval/data", recursive=True)
    s3.rm_file("retrieval/data/images/val2014/5.jpg")
    data = "s3://retrieval/data"
    section = {"model": "zoo://scenes", "annotations": f"{data}/dataset.json", "images": f"{data}/images/"}

    def evaluated(**sections: Any) -> tuple[dict[str, Any], str]:
        shared = {"precision": "float32", "max_error_rate": 0.1, "bootstrap": {"resamples": 200}}
        outcome = evaluate_config(
            EvaluateConfig.checked({"output": {"path": "s3://retrieval/out"}, **shared, **sections})
        )
        text, found = to_text(outcome.text), json.loads(s3.cat_file("retrieval/out/evaluation.json"))["benchmarks"]
        assert isinstance(outcome.values, dict)
        assert outcome.values["benchmarks"] == found
        assert "written     s3://retrieval/out/evaluation.json" in text
        return found, text

    with pytest.raises(TooManyErrorsError, match=r"2 of 12 images were rejected, more than 10.0%; 1 with image_"):
        evaluated(retrieval=section)
    assert not s3.exists("retrieval/out/evaluation.json")

    s3.put_file(str(folder / "5.jpg"), "retrieval/data/images/val2014/5.jpg")
    caplog.set_level("INFO", "pipeline")
    found, text = evaluated(retrieval=section)
    [done] = [record for record in caplog.records if getattr(record, "event", "") == "job_finished"][:1]
    assert done.fields["resumed_rows"] == 11, "only what was missing is scored again"  # type: ignore[attr-defined]
    assert values_of(found["retrieval"]) == recalls(path, images, broken=2), "to the bit"
    assert 0.5 < found["retrieval"]["metrics"]["image to text recall@1"]["value"] < 1
    assert found["retrieval"]["rejected"] == {"image_unsupported": 1}
    assert found["retrieval"]["lineage"]["vilt.model"] == "zoo://scenes"
    assert "image_unsupported: no known image format" in text
    assert evaluated(retrieval=section) == (found, text), "nothing runs again"

    with pytest.raises(ConfigError, match=r"already holds .* files; choose another folder, or set output"):
        evaluated(retrieval={**section, "split": "train"})

    written = str(tmp_path / "written")
    s3.get("retrieval/out/retrieval/scores", written, recursive=True)
    results = {"annotations": path, "results": written}
    given, _ = measured(tmp_path / "given", retrieval=results)
    assert given["retrieval"]["metrics"] == found["retrieval"]["metrics"]
    assert given["retrieval"]["rejected"] == {"image_unsupported": 1}

    results["results"] = str(tmp_path / "scores.parquet")
    rows = pq.read_table(written, columns=["imgid", "best_texts"]).to_pylist()
    every = {key for row in rows for key in ([one["text_id"] for one in row["best_texts"] or []])}
    assert all(row["best_texts"] is None or len(row["best_texts"]) == len(every) for row in rows)
    scores = pa.table(
        {
            "sentid": [key for _ in rows for key in sorted(every)],
            "score": [
                score
                for row in rows
                for score in ([one["score"] for one in row["best_texts"] or []] or [None] * len(every))
            ],
            "imgid": [row["imgid"] for row in rows for _ in every],
        }
    )
    pq.write_table(scores, tmp_path / "scores.parquet")
    given, _ = measured(tmp_path / "given", retrieval=results)
    assert given["retrieval"]["metrics"] == found["retrieval"]["metrics"]
    for table, message in (
        (
            scores.slice(1),
            r"holds [\d,]+ pairs; expected [\d,]+, each of the 12 images with each of the \d+ texts once",
        ),
        (
            scores.drop_columns(["score"]),
            "expected the columns imgid, sentid, score, found sentid, imgid, without 'score'",
        ),
        (scores.set_column(2, "imgid", pa.array([5] * len(scores))), "has imgid 5, which is not in the split"),
    ):
        pq.write_table(table, tmp_path / "scores.parquet")
        with pytest.raises(ConfigError, match=message):
            measured(tmp_path / "given", retrieval=results)


@pytest.mark.usefixtures("ray_cluster")
def test_vqa(tmp_path: Path) -> None:
    questions, annotations, images = drawn.vqa(tmp_path, 15)
    (tmp_path / "val2014" / "COCO_val2014_000000000004.jpg").unlink()
    section = {"model": "zoo://scenes", "questions": questions, "annotations": annotations, "images": images}
    found, text = measured(tmp_path / "out", vqa={**section, "submission": True})
    right: dict[str, list[bool]] = {}
    submission = {
        row["question_id"]: row["answer"] for row in json.loads((tmp_path / "out/vqa/submission.json").read_text())
    }
    for asked, told in zip(
        json.loads(Path(questions).read_text())["questions"],
        json.loads(Path(annotations).read_text())["annotations"],
        strict=True,
    ):
        file = Path(images) / f"COCO_val2014_{asked['image_id']:012d}.jpg"
        answer = PREDICTOR.answer(file.read_bytes(), asked["question"])[0][0][0] if file.exists() else ""
        assert submission[asked["question_id"]] == answer
        right.setdefault(told["answer_type"], []).append(answer == told["multiple_choice_answer"])
    expected = {f"accuracy, {kind}": np.mean(values) for kind, values in right.items()}
    expected["accuracy"] = np.mean([value for values in right.values() for value in values])
    assert values_of(found["vqa"]) == pytest.approx(expected)
    assert found["vqa"]["rejected"] == {"image_missing": 2}
    assert found["vqa"]["lineage"]["vilt.model"] == "zoo://scenes"
    assert "vqa        accuracy" in text

    del section["annotations"]
    bare, _ = measured(tmp_path / "out", vqa=section)  # the answers are there: nothing runs again
    assert bare["vqa"]["metrics"] == {}
    given = {"questions": questions, "annotations": annotations, "results": str(tmp_path / "out/vqa/submission.json")}
    again, _ = measured(tmp_path / "given", vqa=given)
    assert values_of(again["vqa"]) == pytest.approx(expected)
    table, _ = measured(tmp_path / "given", vqa={**given, "results": str(tmp_path / "out/vqa/answers")})
    assert table["vqa"]["metrics"] == found["vqa"]["metrics"]
    assert table["vqa"]["rejected"] == {"image_missing": 2}
    few = drawn.write_json(tmp_path / "few.json", [{"question_id": 10, "answer": "yes"}])
    found, text = measured(tmp_path / "given", vqa={**given, "results": few})
    assert found["vqa"]["missing"] == 29
    assert "29  missing in the results" in text
    strange = drawn.write_json(tmp_path / "few.json", [{"question_id": 5, "answer": "yes"}])
    with pytest.raises(ConfigError, match="has an answer to question_id 5, which the benchmark does not have"):
        measured(tmp_path / "given", vqa={**given, "results": strange})


@pytest.mark.usefixtures("ray_cluster")
def test_nlvr2(tmp_path: Path) -> None:
    path, images = drawn.nlvr2(tmp_path, 2)
    labels = {"id2label": {0: "False", 1: "True"}, "label2id": {"False": 0, "True": 1}}
    name = "ViltForImagesAndTextClassification"
    write_checkpoint(tmp_path / "model", name, seed=24, num_images=2, modality_type_vocab_size=3, **labels)
    (tmp_path / "dev" / "dev-1-1-img1.png").write_bytes(b"")
    section = {"model": str(tmp_path / "model"), "annotations": path, "images": images}
    found, _ = measured(tmp_path / "out", nlvr2=section)
    predictor = Predictor.from_pretrained(str(tmp_path / "model"), precision="float32")
    right, lines = {}, [json.loads(line) for line in Path(path).read_text().splitlines()]
    for line in lines:
        stem = line["identifier"].rpartition("-")[0]
        pair = [(Path(images) / f"{stem}-img{side}.png").read_bytes() for side in (0, 1)]
        answer = predictor.reason([pair], [line["sentence"]])[0][0][0] if pair[1] else None
        right[line["identifier"]] = answer == line["label"]
    sentences = [all(right[f"dev-{n}-{pair}-{s}"] for pair in (0, 1)) for n in (0, 1) for s in (0, 1)]
    expected = {"accuracy": np.mean(list(right.values())), "consistency": np.mean(sentences)}
    assert values_of(found["nlvr2"]) == pytest.approx(expected)
    assert found["nlvr2"]["rejected"] == {"image_unsupported": 2}

    (tmp_path / "perfect.csv").write_text("".join(f"{line['identifier']},{line['label'].lower()}\n" for line in lines))
    perfect, _ = measured(tmp_path / "given", nlvr2={"annotations": path, "results": str(tmp_path / "perfect.csv")})
    assert values_of(perfect["nlvr2"]) == {"accuracy": 1, "consistency": 1}
    (tmp_path / "wrong.csv").write_text("dev-0-0-0,maybe\n")
    with pytest.raises(
        ConfigError, match="expected lines of identifier,True or identifier,False, found dev-0-0-0,maybe"
    ):
        measured(tmp_path / "given", nlvr2={"annotations": path, "results": str(tmp_path / "wrong.csv")})
    write_checkpoint(tmp_path / "other", name, num_images=2, modality_type_vocab_size=3)
    with pytest.raises(ConfigError, match=r"has the classes LABEL_0, LABEL_1, .*; expected True and False"):
        measured(tmp_path / "given", nlvr2={**section, "model": str(tmp_path / "other")})


@pytest.mark.usefixtures("ray_cluster")
def test_vqa_on_s3(tmp_path: Path, s3_server: str) -> None:
    assert s3_server
    s3 = s3fs.S3FileSystem()
    s3.mkdir("benchmarks")
    drawn.vqa(tmp_path / "vqa", 6)
    s3.put(str(tmp_path / "vqa"), "benchmarks/vqa", recursive=True)

    def vqa(base: str) -> dict[str, Any]:
        asked = {"questions": f"{base}/vqa/questions.json", "annotations": f"{base}/vqa/annotations.json"}
        return {"model": "zoo://scenes", "images": f"{base}/vqa/val2014", **asked}

    values = {
        "output": {"path": "s3://benchmarks/out"},
        "precision": "float32",
        "max_error_rate": 1,
        "bootstrap": {"resamples": 200},
        "vqa": vqa("s3://benchmarks"),
    }
    text = to_text(evaluate_config(EvaluateConfig.checked(values)).text)
    assert "written     s3://benchmarks/out/evaluation.json" in text
    remote = json.loads(s3.cat_file("benchmarks/out/evaluation.json"))["benchmarks"]
    local, _ = measured(tmp_path / "out", vqa=vqa(str(tmp_path)))
    assert values_of(remote["vqa"]) == values_of(local["vqa"])
    again = evaluate_config(EvaluateConfig.checked(values))
    assert to_text(again.text) == text


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("vqa=", "job.yaml: no benchmark: give a section retrieval, vqa, nlvr2, or several"),
        ("vqa.model=", "job.yaml: vqa.model: give either the model to measure or vqa.results"),
        ("vqa.images=", "job.yaml: vqa.images: missing; it is the folder of the images"),
        ("vqa.image_name=x{id}.jpg", "job.yaml: vqa.image_name: 'x{id}.jpg' is no pattern"),
        ("vqa.question=x", "job.yaml: vqa.question: unknown key; did you mean 'questions'?"),
        ("vqa.questions=/nowhere", "vqa.questions: '/nowhere' does not exist"),
        ("retrieval.annotations=x", "job.yaml: retrieval.model: give either the model to measure or retrieval.results"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    override: str,
    message: str,
) -> None:
    asked = {"model": "zoo://scenes", "questions": "q.json", "images": "images"}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump({"output": {"path": "out"}, "vqa": asked}))
    monkeypatch.chdir(tmp_path)
    assert run_command(lambda: evaluate_file("job.yaml", [override])) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(message)
    assert told.err.count("\n") == 1


def test_the_command() -> None:
    done = CliRunner().invoke(app, ["evaluate", "none.yaml"])
    assert (done.exit_code, done.output) == (2, "none.yaml: no such file\n")
