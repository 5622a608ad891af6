"""One job over the checkpoints that people have: of Trainer, peft, Lightning, in shards and from the hub, alike."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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


@pytest.mark.filterwarnings("ignore")
def test_a_job_with_every_kind_of_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {
        "score": write_lightning(tmp_path),
        "answer": write_trained(tmp_path),
        "fill": write_sharded(tmp_path),
        "tag": write_cached(tmp_path),
        "embed": write_adapter(tmp_path),
    }
    images, encoded = pictures(), []
    for image in images:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    (tmp_path / "table").mkdir()
    pq.write_table(pa.table({"n": [0, 1, 2], "image": encoded, "text": TEXTS}), tmp_path / "table" / "a.parquet")
    values = {
        "tasks": list(made),
        "input": {"path": str(tmp_path / "table")},
        "model": {task: where for task, (where, _) in made.items()},
        "tokenizer": str(tmp_path / "base"),
        "output": {"path": str(tmp_path / "out")},
        "precision": "float32",
        "top_k": 1,
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(values))
    offline = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "vilt"), "run", "job.yaml"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **offline},
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = sorted(pq.read_table(tmp_path / "out").to_pylist(), key=lambda row: row["n"])
    assert len(rows) == 3

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    words = str(tmp_path / "base")
    ours: dict[str, Any] = {
        task: vilt.open_predictor(where, precision="float32", tokenizer=words) for task, (where, _) in made.items()
    }
    filled, tagged = ours["fill"].fill(images, TEXTS), ours["tag"].tag(images, TEXTS)
    for row, score, answer, text, tags, vector in zip(
        rows,
        ours["score"].score(images, TEXTS),
        ours["answer"].answer(images, TEXTS, 1),
        filled,
        tagged,
        ours["embed"].embed(images, TEXTS),
        strict=True,
    ):
        assert row["score"] == pytest.approx(float(score), abs=1e-5)
        assert (row["answer"], row["answer_score"]) == (answer[0][0], pytest.approx(answer[0][1], abs=1e-5))
        assert row["filled_text"] == text.text
        assert [(tag["token"], tag["label"]) for tag in row["tags"]] == [(tag.token, tag.label) for tag in tags]
        assert np.abs(np.array(row["embedding"]) - vector).max() < 1e-5

    def theirs(task: str) -> torch.Tensor:
        return transformers_logits(tmp_path / "base", made[task][1].eval(), images, TEXTS)

    assert [row["score"] for row in rows] == pytest.approx(theirs("score")[:, 0].tolist(), abs=1e-4)
    best, which = theirs("answer").sigmoid().max(-1)
    assert [row["answer_score"] for row in rows] == pytest.approx(best.tolist(), abs=1e-4)
    assert [row["answer"] for row in rows] == [f"LABEL_{i}" for i in which.tolist()]
    labels = theirs("tag").argmax(-1).tolist()
    for row, expected in zip(rows, labels, strict=True):
        first = [tag["label"] for tag in row["tags"]]
        assert first == [f"LABEL_{i}" for i in expected[1 : 1 + len(first)]]  # between [CLS] and [SEP]
    adapted = made["embed"][1]
    inputs = vilt.ViltProcessor.from_pretrained(words)(images, TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        pooled = adapted.vilt(**inputs).pooler_output.numpy()
    assert np.abs(np.array([row["embedding"] for row in rows]) - pooled).max() < 1e-4
