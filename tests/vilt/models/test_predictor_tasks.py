"""The `Predictor`'s other tasks, each beside a loop over transformers' model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from tests.parity.checkpoints import write_checkpoint
from tests.vilt.models.test_predictor import pairs
from vilt import Predictor

TEXTS = [
    "a [MASK] star left of a [MASK] circle",
    "[MASK] [MASK] [MASK]",
    "a red star",
    "a [MASK] ?",
    "red [MASK] [MASK] of [MASK] blue",
]


def inputs_of(folder: Path, images: Sequence[Image.Image], text: str) -> dict[str, torch.Tensor]:
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    return transformers.ViltProcessor(transformers.ViltImageProcessor(), tokenizer)(
        list(images), text, return_tensors="pt"
    )


@torch.inference_mode()
def fill_by_loop(model: torch.nn.Module, inputs: dict[str, torch.Tensor], mask: int) -> tuple[list[int], list[float]]:
    """The documented example: fill the most certain mask, read again, until none is left."""
    ids = inputs["input_ids"].clone()
    places = (ids[0] == mask).nonzero()[:, 0].tolist()
    left, scores = list(places), {}
    while left:
        values, words = model(**{**inputs, "input_ids": ids}).logits[0].softmax(-1).max(-1)
        best = max(left, key=lambda place: values[place].item())
        ids[0, best], scores[best] = words[best], values[best].item()
        left.remove(best)
    return ids[0].tolist(), [scores[place] for place in places]


def test_fill_is_the_documented_example(tmp_path: Path) -> None:
    theirs = write_checkpoint(tmp_path, "ViltForMaskedLM", seed=11)
    images, _ = pairs(len(TEXTS))
    predictor = Predictor.from_pretrained(str(tmp_path), precision="float32")
    tokenizer = predictor.preprocessor.tokenizer
    filled = predictor.fill(images, TEXTS)
    for image, text, got in zip(images, TEXTS, filled, strict=True):
        ids, scores = fill_by_loop(theirs, inputs_of(tmp_path, [image], text), tokenizer.id("[MASK]"))
        assert got.text == tokenizer.decode(ids, skip_special_tokens=True)
        assert [score for _, score in got.words] == pytest.approx(scores, abs=1e-4)
        assert len(got.words) == text.count("[MASK]")
    assert filled[2] == ("a red star", [])


def test_tags_are_those_of_transformers(tmp_path: Path) -> None:
    theirs = write_checkpoint(tmp_path, "ViltForTokenClassification", seed=12)
    images, texts = pairs(6)
    predictor = Predictor.from_pretrained(str(tmp_path), precision="float32")
    for image, text, tags in zip(images, texts, predictor.tag(images, texts), strict=True):
        with torch.inference_mode():
            logits = theirs(**inputs_of(tmp_path, [image], text)).logits[0, 1:-1]
        score, label = logits.softmax(-1).max(-1)
        assert [tag.token for tag in tags] == text.split()
        assert [tag.label for tag in tags] == [theirs.config.id2label[i] for i in label.tolist()]
        assert [tag.score for tag in tags] == pytest.approx(score.tolist(), abs=1e-4)
    with pytest.raises(ValueError, match="no head to score; it can tag"):
        predictor.score(images, texts)


@pytest.mark.parametrize("count", [2, 3])
def test_reasoning_is_that_of_transformers(tmp_path: Path, count: int) -> None:
    extra = {"num_images": count, "modality_type_vocab_size": count + 1}
    theirs = write_checkpoint(tmp_path, "ViltForImagesAndTextClassification", seed=13, **extra)
    images, texts = pairs(4 * count)
    rows = [images[i : i + count] for i in range(0, len(images), count)]
    rows[1][0] = rows[0][1]  # one picture, first of one row and second of another
    predictor = Predictor.from_pretrained(str(tmp_path), precision="float32")
    for row, text, classes in zip(rows, texts, predictor.reason(rows, texts[:4]), strict=False):
        inputs = inputs_of(tmp_path, row, text)
        stacked = {"pixel_values": inputs["pixel_values"][None], "pixel_mask": inputs["pixel_mask"][None]}
        with torch.inference_mode():
            expected = theirs(input_ids=inputs["input_ids"], **stacked).logits[0].softmax(-1)
        got = dict(classes)
        assert list(got.values()) == sorted(got.values(), reverse=True)
        for i, value in enumerate(expected.tolist()):
            assert got[theirs.config.id2label[i]] == pytest.approx(value, abs=1e-4)
    with pytest.raises(ValueError, match=f"row 0 has 1 image; the model reads {count}"):
        predictor.reason([images[:1]], texts[:1])


def test_embeddings_are_the_pooled_vectors_of_transformers(tmp_path: Path) -> None:
    theirs = write_checkpoint(tmp_path, "ViltForImageAndTextRetrieval", seed=14)
    images, texts = pairs(5)
    got = Predictor.from_pretrained(str(tmp_path), precision="float32").embed(images, texts)
    assert got.dtype == np.float32
    for image, text, vector in zip(images, texts, got, strict=True):
        with torch.inference_mode():
            expected = theirs.vilt(**inputs_of(tmp_path, [image], text)).pooler_output[0]
        assert np.abs(vector - expected.numpy()).max() < 1e-4


def test_a_head_of_another_task_under_the_same_name_is_not_taken(tmp_path: Path) -> None:
    for name, tasks in (
        ("ViltForQuestionAnswering", {"embed", "answer"}),
        ("ViltForTokenClassification", {"tag"}),
        ("ViltForMaskedLM", {"embed", "fill"}),
    ):
        write_checkpoint(tmp_path / name, name, seed=15)
        assert set(Predictor.from_pretrained(str(tmp_path / name)).heads) == tasks
