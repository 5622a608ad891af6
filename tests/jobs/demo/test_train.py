"""The training of the shipped model: two steps of it, and what they write."""

from pathlib import Path

import pytest
from PIL import Image

from jobs.demo.train import train
from vilt import Predictor


def test_two_steps_write_a_checkpoint_that_a_third_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "model")
    train(out, 2, seed=3, batch_size=8, pool_size=256)
    assert " parameters, 256 scenes" in capsys.readouterr().out
    image = Image.new("RGB", (128, 160), "gray")
    predictor = Predictor.from_pretrained(out)
    before = predictor.score(image, "a large red star")[0]
    assert len(predictor.answer(image, "is there a star?", top_k=3)[0]) == 3
    train(out, 3, seed=3, first_step=2, batch_size=8, pool_size=256)
    assert Predictor.from_pretrained(out).score(image, "a large red star")[0] != before
