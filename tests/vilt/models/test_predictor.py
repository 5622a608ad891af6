"""The `Predictor`: the same numbers as transformers, whatever else is in the call."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.parity.checkpoints import WORDS, transformers_logits, write_checkpoint
from vilt import ImageError, Predictor, ViltForImageAndTextRetrieval, ViltImageProcessor, ViltProcessor
from vilt.inference import bfloat16
from vilt.inference.packing import Packed
from vilt.inference.precision import resolve_precision

SIZES = [(640, 480), (480, 640), (500, 500), (640, 480), (900, 300), (333, 500), (1200, 700)]


def pairs(count: int, seed: int = 0) -> tuple[list[Image.Image], list[str]]:
    """Noise of mixed sizes, texts of mixed lengths."""
    rng = np.random.default_rng(seed)
    images = [
        Image.fromarray(rng.integers(0, 256, (*SIZES[i % len(SIZES)][::-1], 3), dtype=np.uint8)) for i in range(count)
    ]
    return images, [" ".join(rng.choice(WORDS[5:], rng.integers(1, 12))) for _ in range(count)]


@pytest.mark.parametrize("name", ["ViltForImageAndTextRetrieval", "ViltForQuestionAnswering"])
def test_the_logits_of_transformers(tmp_path: Path, name: str) -> None:
    theirs = write_checkpoint(tmp_path, name)
    images, texts = pairs(7)
    expected = transformers_logits(tmp_path, theirs, images, texts)
    predictor = Predictor.from_pretrained(str(tmp_path), precision="float32")
    if name == "ViltForImageAndTextRetrieval":
        got = predictor.score(images, texts)
        assert got.dtype == np.float32
        assert np.abs(got - expected[:, 0].numpy()).max() < 1e-4
    else:
        answers = predictor.answer(images, texts, top_k=2)
        best = expected.sigmoid().topk(2)
        for row, scores, places in zip(answers, best.values.tolist(), best.indices.tolist(), strict=True):
            assert [answer for answer, _ in row] == [theirs.config.id2label[place] for place in places]
            assert np.abs(np.array([score for _, score in row]) - scores).max() < 1e-4


def test_a_result_does_not_depend_on_batch_mates(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "ViltForImageAndTextRetrieval", seed=1)
    predictor = Predictor.from_pretrained(str(tmp_path), precision="float32")
    images, texts = pairs(20)
    together = predictor.score(images, texts)
    alone = [predictor.score(image, text)[0] for image, text in zip(images, texts, strict=True)]
    assert np.abs(together - alone).max() < 1e-5
    order = np.random.default_rng(0).permutation(20)
    shuffled = predictor.score([images[i] for i in order], [texts[i] for i in order])
    assert np.abs(shuffled - together[order]).max() < 1e-5


def test_one_image_with_many_texts_and_one_text_with_many_images(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "ViltForImageAndTextRetrieval", seed=2)
    predictor = Predictor.from_pretrained(str(tmp_path), precision="float32")
    images, texts = pairs(5)
    expected = [predictor.score(images[0], text)[0] for text in texts]
    assert np.abs(predictor.score(images[0], texts) - expected).max() < 1e-5
    assert np.abs(predictor.score([images[0]] * 5, texts) - expected).max() < 1e-5
    assert predictor.score(images, texts[0]).shape == (5,)
    assert predictor.score(images[0], texts[0]).shape == (1,)
    assert predictor.score([], []).shape == (0,)


def test_more_pairs_than_a_window(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "ViltForImageAndTextRetrieval", seed=3)
    predictor = Predictor.from_pretrained(str(tmp_path), precision="float32")
    image = Image.new("RGB", (384, 384))
    texts = ["a red star", "a blue circle ?"] * 150
    scores = predictor.score(image, texts)
    assert np.abs(scores[::2] - scores[0]).max() < 1e-5
    assert np.abs(scores[1::2] - scores[1]).max() < 1e-5


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_where_memory_runs_out_batches_are_halved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    write_checkpoint(tmp_path, "ViltForImageAndTextRetrieval", seed=3)
    predictor = Predictor.from_pretrained(str(tmp_path), precision="float32")
    images, texts = pairs(12)
    expected = predictor.score(images, texts)
    whole, sizes = predictor.model.pooled, []

    def small_memory(batch: Packed, embedded: torch.Tensor) -> torch.Tensor:
        sizes.append(len(batch.text_rows) + len(batch.image_rows))
        if sizes[-1] > 500:
            raise error
        return whole(batch, embedded)

    monkeypatch.setattr(predictor.model, "pooled", small_memory)
    assert np.abs(predictor.score(images, texts) - expected).max() < 1e-5
    assert max(sizes) > 1000
    count = len(sizes)
    predictor.score(images, texts)
    assert max(sizes[count:]) <= 500, "it remembers"
    monkeypatch.setattr(predictor.model, "pooled", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(type(error)):
        predictor.score(images[0], texts[0])


def test_bfloat16_agrees_on_the_shipped_model() -> None:
    images, texts = pairs(6)
    exact = Predictor.from_pretrained("zoo://scenes", precision="float32")
    short = Predictor.from_pretrained("zoo://scenes", precision="bfloat16")
    assert np.abs(exact.score(images, texts) - short.score(images, texts)).max() < 0.5


def test_bad_input_is_one_clear_error(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "ViltForImageAndTextRetrieval", seed=4)
    predictor = Predictor.from_pretrained(str(tmp_path))
    images, texts = pairs(3)
    with pytest.raises(ValueError, match="3 images and 2 texts"):
        predictor.score(images, texts[:2])
    with pytest.raises(ValueError, match="text 1 is None"):
        predictor.score(images[:2], ["a", None])  # type: ignore[list-item]
    with pytest.raises(ImageError, match="900x20 pixels"):
        predictor.score(Image.new("RGB", (900, 20)), "a red star")
    with pytest.raises(ValueError, match="no head to answer; it can embed, score"):
        predictor.answer(images, texts)
    with pytest.raises(ValueError, match="precision 'float16' is not one of auto, float32, bfloat16, int8, float8"):
        Predictor.from_pretrained(str(tmp_path), precision="float16")
    with pytest.raises(FileNotFoundError, match=r"no config.json in '/nowhere': no such folder"):
        Predictor.from_pretrained("/nowhere")


def test_auto_precision_asks_the_cpu() -> None:
    ask = getattr(torch.cpu, "get_capabilities", None)  # not in torch 2.9
    native = bool(ask().get("avx512_bf16") or ask().get("amx_bf16")) if ask else torch.cpu._is_avx512_bf16_supported()
    fast = native and bfloat16.pays()
    assert resolve_precision("auto", torch.device("cpu")) == ("bfloat16" if fast else "float32")


@pytest.mark.parametrize(
    "steps",
    [{"image_mean": (0.1, 0.5, 0.6), "image_std": (0.3, 0.7, 0.9)}, {"do_normalize": False}, {"rescale_factor": 0.01}],
)
def test_other_normalisations_are_folded_exactly(tmp_path: Path, steps: dict) -> None:
    write_checkpoint(tmp_path, "ViltForImageAndTextRetrieval", seed=5)
    ViltImageProcessor(**steps).save_pretrained(str(tmp_path))
    images, texts = pairs(4)
    model = ViltForImageAndTextRetrieval.from_pretrained(str(tmp_path))
    processor = ViltProcessor.from_pretrained(str(tmp_path))
    with torch.inference_mode():
        expected = model(**processor(images, texts, padding=True, return_tensors="pt")).logits[:, 0]
    got = Predictor.from_pretrained(str(tmp_path), precision="float32").score(images, texts)
    assert np.abs(got - expected.numpy()).max() < 1e-4
