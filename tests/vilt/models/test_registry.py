"""The predictors of ViT and VisualBERT: the numbers of the published API, whatever else is in the call."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import vilt
from tests.parity.checkpoints import WORDS
from tests.parity.family import random_visual_bert, random_vit
from tests.parity.models import randomise
from tests.vilt.models.test_predictor import pairs
from vilt import VisualBertPredictor, ViTPredictor, open_predictor


def write_vit(folder: Path, name: str = "ViTForImageClassification", seed: int = 0, size: int = 96) -> torch.nn.Module:
    """A random model of the class `name`, for images of 96 pixels; the model in transformers."""
    shape = {"patch_size": 16, "encoder_stride": 16, "image_size": 96, "num_channels": 3, "num_labels": 7}
    config = random_vit(Random(seed), **shape)
    model = randomise(getattr(transformers, name)(config), seed)
    model.save_pretrained(folder)
    vilt.ViTImageProcessor(size={"height": size, "width": size}).save_pretrained(str(folder))
    return model


def write_visual_bert(folder: Path, name: str, seed: int = 0, **fixed: object) -> torch.nn.Module:
    """A random model of the class `name` with a tokenizer; the model in transformers."""
    shape = {"vocab_size": len(WORDS), "max_position_embeddings": 40, "visual_embedding_dim": 20, "pad_token_id": 0}
    model = randomise(getattr(transformers, name)(random_visual_bert(Random(seed), **{**shape, **fixed})), seed)
    model.save_pretrained(folder)
    vilt.ViltTokenizer.from_vocabulary(WORDS).save_pretrained(str(folder))
    return model


def features(count: int, width: int = 20, seed: int = 0) -> list[np.ndarray]:
    """Of 1 to 9 regions each."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(1 + i % 9, width)).astype(np.float32) for i in range(count)]


def padded(folder: Path, regions: list[np.ndarray], texts: list[str]) -> dict[str, torch.Tensor]:
    """One padded batch, as users of transformers make it."""
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    most = max(len(own) for own in regions)
    lengths = torch.tensor([len(own) for own in regions])
    rows = [np.pad(own, ((0, most - len(own)), (0, 0))) for own in regions]
    mask = (torch.arange(most) < lengths[:, None]).long()
    return {**inputs, "visual_embeds": torch.from_numpy(np.stack(rows)), "visual_attention_mask": mask}


def assert_best(got: list[list[tuple[str, float]]], scores: torch.Tensor, labels: dict[int, str], top_k: int) -> None:
    best = scores.topk(top_k)
    for row, values, places in zip(got, best.values.tolist(), best.indices.tolist(), strict=True):
        assert [label for label, _ in row] == [labels[place] for place in places]
        assert np.abs(np.array([score for _, score in row]) - values).max() < 1e-4


@torch.inference_mode()
def test_vit_classes_and_vectors_are_those_of_transformers(tmp_path: Path) -> None:
    theirs = write_vit(tmp_path)
    images, _ = pairs(9)
    inputs = transformers.ViTImageProcessor.from_pretrained(tmp_path)(images, return_tensors="pt")
    predictor = ViTPredictor.from_pretrained(str(tmp_path), precision="float32")
    assert_best(predictor.classify(images, 3), theirs(**inputs).logits.softmax(-1), theirs.config.id2label, 3)
    got = predictor.embed(images)
    assert got.dtype == np.float32
    assert np.abs(got - theirs.vit(**inputs).last_hidden_state[:, 0].numpy()).max() < 1e-4
    write_vit(tmp_path / "bare", "ViTModel", seed=1)
    bare = ViTPredictor.from_pretrained(str(tmp_path / "bare"), precision="float32")
    expected = transformers.ViTModel.from_pretrained(tmp_path / "bare")(**inputs).pooler_output
    assert np.abs(bare.embed(images) - expected.numpy()).max() < 1e-4
    with pytest.raises(ValueError, match="the model has no head to classify; it can embed"):
        bare.classify(images)


@torch.inference_mode()
def test_vit_at_another_size_resizes_its_positions(tmp_path: Path) -> None:
    theirs = write_vit(tmp_path, size=128)
    images, _ = pairs(2)
    inputs = transformers.ViTImageProcessor.from_pretrained(tmp_path)(images, return_tensors="pt")
    expected = theirs(**inputs, interpolate_pos_encoding=True).logits.softmax(-1)
    got = ViTPredictor.from_pretrained(str(tmp_path), precision="float32").classify(images, 2)
    assert_best(got, expected, theirs.config.id2label, 2)


@torch.inference_mode()
@pytest.mark.parametrize("name", ["VisualBertForQuestionAnswering", "VisualBertForVisualReasoning"])
def test_visual_bert_classes_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    theirs = write_visual_bert(tmp_path, name)
    regions, (_, texts) = features(12), pairs(12)
    expected = theirs(**padded(tmp_path, regions, texts)).logits.softmax(-1)
    predictor = VisualBertPredictor.from_pretrained(str(tmp_path), precision="float32")
    if name == "VisualBertForQuestionAnswering":
        assert_best(predictor.answer(regions, texts, 2), expected, theirs.config.id2label, 2)
        with pytest.raises(ValueError, match="the model has no head to reason; it can embed, answer"):
            predictor.reason(regions, texts)
    else:
        assert_best(predictor.reason(regions, texts), expected, theirs.config.id2label, theirs.config.num_labels)


@torch.inference_mode()
def test_regions_that_bypass_the_transformer(tmp_path: Path) -> None:
    theirs = write_visual_bert(tmp_path, "VisualBertForQuestionAnswering", seed=2, bypass_transformer=True)
    regions, (_, texts) = features(6), pairs(6)
    model = vilt.VisualBertForQuestionAnswering.from_pretrained(str(tmp_path))
    expected = model(**padded(tmp_path, regions, texts)).logits.softmax(-1)
    predictor = VisualBertPredictor.from_pretrained(str(tmp_path), precision="float32")
    assert_best(predictor.answer(regions, texts, 2), expected, theirs.config.id2label, 2)


def test_a_result_does_not_depend_on_batch_mates(tmp_path: Path) -> None:
    write_vit(tmp_path / "vit", seed=3)
    write_visual_bert(tmp_path / "visual_bert", "VisualBertForQuestionAnswering", seed=4)
    (images, texts), regions = pairs(20), features(20)
    vit, visual_bert = (open_predictor(str(tmp_path / kind), precision="float32") for kind in ("vit", "visual_bert"))
    assert isinstance(vit, ViTPredictor)
    assert isinstance(visual_bert, VisualBertPredictor)
    together = vit.embed(images)
    alone = np.concatenate([vit.embed(image) for image in images])
    assert np.abs(together - alone).max() < 1e-5
    order = np.random.default_rng(0).permutation(20)
    assert np.abs(vit.embed([images[i] for i in order]) - together[order]).max() < 1e-5

    def logits(places: np.ndarray) -> np.ndarray:
        own = visual_bert.preprocessor.pairs([regions[i] for i in places], [texts[i] for i in places])
        return visual_bert.of_pairs("answer", own)

    together = logits(np.arange(20))
    alone = np.concatenate([logits(np.array([i])) for i in range(20)])
    assert np.abs(together - alone).max() < 1e-5
    assert np.abs(logits(order) - together[order]).max() < 1e-5


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_precision(tmp_path: Path, precision: str) -> None:
    write_vit(tmp_path / "vit", seed=5)
    write_visual_bert(tmp_path / "visual_bert", "VisualBertForVisualReasoning", seed=5)
    vit, visual_bert = (open_predictor(str(tmp_path / kind), precision=precision) for kind in ("vit", "visual_bert"))
    assert np.isfinite(vit.embed(Image.new("RGB", (50, 90)))).all()  # type: ignore[attr-defined]
    [row] = visual_bert.reason(features(1), ["a red star"])  # type: ignore[attr-defined]
    assert sum(score for _, score in row) == pytest.approx(1, abs=1e-3)


def test_bad_input_is_one_clear_error(tmp_path: Path) -> None:
    write_visual_bert(tmp_path, "VisualBertForVisualReasoning")
    predictor = VisualBertPredictor.from_pretrained(str(tmp_path))
    with pytest.raises(ValueError, match="features of 2 rows and 1 text do not pair up"):
        predictor.reason(features(2), ["a"])
    with pytest.raises(ValueError, match=r"features 0 are \(1, 3\); the model reads \(regions, 20\)"):
        predictor.reason(features(1, width=3), ["a"])
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="is a checkpoint of model_type 'bert', not one of vilt, vit, visual_bert"):
        open_predictor(str(tmp_path))
