"""One job over the checkpoints that people have: of Trainer, peft, Lightning, in shards and from the hub, alike."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import peft
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers
import yaml
from accelerate.state import AcceleratorState
from PIL import Image

import vilt
from tests.originals import KINDS, original_state, random_model, save
from tests.parity.checkpoints import WORDS, transformers_logits, write_checkpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHAPE: dict[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 30,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "num_labels": 5,
}
TEXTS = ["a [MASK] star", "red", "left of a blue [MASK] ?"]
pytestmark = pytest.mark.filterwarnings("ignore")


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = ((96, 128), (128, 96), (96, 96))
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


def write_lightning(folder: Path) -> tuple[str, torch.nn.Module]:
    shape = {"vocab_size": len(WORDS), "image_size": 384, "patch_size": 32}
    model, told = random_model("retrieval", seed=1, **shape)
    save(folder / "last.ckpt", original_state(model, KINDS["retrieval"]), {**told, **shape})
    return str(folder / "last.ckpt"), model.eval()


def write_trained(folder: Path) -> tuple[str, torch.nn.Module]:
    write_checkpoint(folder / "pretrained", "ViltForQuestionAnswering", seed=2, **SHAPE)
    model = vilt.ViltForQuestionAnswering.from_pretrained(folder / "pretrained")
    processor = vilt.ViltProcessor.from_pretrained(str(folder / "pretrained"))
    inputs = processor(pictures()[0], "a red star", return_tensors="pt")
    row = {**{name: value[0] for name, value in inputs.items()}, "labels": torch.ones(5)}
    AcceleratorState._reset_state(True)
    arguments = transformers.TrainingArguments(
        str(folder / "runs"), max_steps=1, save_steps=1, report_to=[], use_cpu=True, disable_tqdm=True
    )
    transformers.Trainer(model, arguments, train_dataset=[row], processing_class=processor).train()
    output = folder / "runs" / "checkpoint-1"
    assert (output / "trainer_state.json").exists()
    return str(output), transformers.ViltForQuestionAnswering.from_pretrained(output)


def write_sharded(folder: Path) -> tuple[str, torch.nn.Module]:
    model = write_checkpoint(folder / "whole", "ViltForMaskedLM", seed=3, **SHAPE)
    vilt.ViltProcessor.from_pretrained(str(folder / "whole")).save_pretrained(str(folder / "shards"))
    model.save_pretrained(folder / "shards", max_shard_size="50KB")
    assert (folder / "shards" / "model.safetensors.index.json").exists()
    return str(folder / "shards"), model


def write_cached(folder: Path) -> tuple[str, torch.nn.Module]:
    repository = folder / "home" / "hub" / "models--someone--tagger"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    model = write_checkpoint(repository / "snapshots" / COMMIT, "ViltForTokenClassification", seed=4, **SHAPE)
    return "someone/tagger", model


def write_adapter(folder: Path) -> tuple[str, torch.nn.Module]:
    write_checkpoint(folder / "base", "ViltForQuestionAnswering", seed=5, **SHAPE)
    torch.manual_seed(0)
    base = transformers.ViltForQuestionAnswering.from_pretrained(folder / "base")
    adapted = peft.get_peft_model(base, peft.LoraConfig(target_modules=["query", "value"], use_rslora=True))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn(parameter.shape) * 0.1)
    adapted.save_pretrained(folder / "adapter")
    return str(folder / "adapter"), adapted.merge_and_unload().eval()


class Job(NamedTuple):
    """A job with a checkpoint for each task: its folder, what was made (URI and model by task), its rows in order."""

    folder: Path
    made: dict[str, tuple[str, torch.nn.Module]]
    rows: list[dict[str, Any]]


def write_table(folder: Path) -> None:
    encoded = []
    for image in pictures():
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    folder.mkdir()
    pq.write_table(pa.table({"n": [0, 1, 2], "image": encoded, "text": TEXTS}), folder / "a.parquet")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The job as `vilt run` makes it, without a network. Tests only read it."""
    folder = tmp_path_factory.mktemp("job")
    made = {
        "score": write_lightning(folder),
        "answer": write_trained(folder),
        "fill": write_sharded(folder),
        "tag": write_cached(folder),
        "embed": write_adapter(folder),
    }
    write_table(folder / "table")
    values = {
        "tasks": list(made),
        "input": {"path": str(folder / "table")},
        "model": {task: where for task, (where, _) in made.items()},
        "tokenizer": str(folder / "base"),
        "output": {"path": str(folder / "out"), "report": False},
        "precision": "float32",
        "top_k": 1,
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(values))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "vilt"), "run", "job.yaml"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"},
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = sorted(pq.read_table(folder / "out").to_pylist(), key=lambda row: row["n"])
    assert [row["n"] for row in rows] == [0, 1, 2]
    return Job(folder, made, rows)


def test_results_are_those_of_our_predictors(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(job.folder / "home" / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    images, words = pictures(), str(job.folder / "base")
    ours: dict[str, Any] = {
        task: vilt.open_predictor(where, precision="float32", tokenizer=words) for task, (where, _) in job.made.items()
    }
    for row, score, answer, text, tags, vector in zip(
        job.rows,
        ours["score"].score(images, TEXTS),
        ours["answer"].answer(images, TEXTS, 1),
        ours["fill"].fill(images, TEXTS),
        ours["tag"].tag(images, TEXTS),
        ours["embed"].embed(images, TEXTS),
        strict=True,
    ):
        assert row["score"] == pytest.approx(float(score), abs=1e-5)
        assert (row["answer"], row["answer_score"]) == (answer[0][0], pytest.approx(answer[0][1], abs=1e-5))
        assert row["filled_text"] == text.text
        assert [(tag["token"], tag["label"]) for tag in row["tags"]] == [(tag.token, tag.label) for tag in tags]
        assert np.abs(np.array(row["embedding"]) - vector).max() < 1e-5


def test_results_are_those_of_transformers(job: Job) -> None:
    def theirs(task: str) -> torch.Tensor:
        return transformers_logits(job.folder / "base", job.made[task][1].eval(), pictures(), TEXTS)

    assert [row["score"] for row in job.rows] == pytest.approx(theirs("score")[:, 0].tolist(), abs=1e-4)
    best, which = theirs("answer").sigmoid().max(-1)
    assert [row["answer_score"] for row in job.rows] == pytest.approx(best.tolist(), abs=1e-4)
    assert [row["answer"] for row in job.rows] == [f"LABEL_{i}" for i in which.tolist()]
    for row, expected in zip(job.rows, theirs("tag").argmax(-1).tolist(), strict=True):
        first = [tag["label"] for tag in row["tags"]]
        assert first
        assert first == [f"LABEL_{i}" for i in expected[1 : 1 + len(first)]]  # between [CLS] and [SEP]


def test_vectors_are_those_of_the_merged_adapter(job: Job) -> None:
    processor = vilt.ViltProcessor.from_pretrained(str(job.folder / "base"))
    inputs = processor(pictures(), TEXTS, padding=True, return_tensors="pt")
    adapted: Any = job.made["embed"][1]
    with torch.no_grad():
        pooled = adapted.vilt(**inputs).pooler_output.numpy()
    assert np.abs(np.array([row["embedding"] for row in job.rows]) - pooled).max() < 1e-4
