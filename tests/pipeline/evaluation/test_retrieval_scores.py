"""Scores of every image with every text: an image has the time that `limits` gives it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline.common.error_codes import Failure
from pipeline.config.limits import LimitsConfig
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.output import Output
from pipeline.evaluation.retrieval_scores import ScoreFiles, score_images, score_rows
from vilt import Predictor


def tiff(side: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)).save(out, "TIFF")
    return out.getvalue()


def test_limits_of_an_image() -> None:
    predictor = Predictor.from_pretrained("zoo://scenes")
    images = [tiff(1500), tiff(64), Failure("image_missing", "gone")]
    slow, *_ = score_images(predictor, ["a"], images[:1], LimitsConfig(decode_seconds=0.001))
    assert isinstance(slow, Failure)
    assert slow.reason == "image_slow"
    bomb, small, missing = score_images(predictor, ["a", "b"], images, LimitsConfig(image_pixels=100_000))
    assert isinstance(bomb, Failure)
    assert (bomb.reason, missing) == ("image_bomb", images[2])
    assert not isinstance(small, Failure)
    assert small.shape == (2,)


def test_scores_are_found_again_in_a_folder_whose_name_could_be_a_pattern(tmp_path: Path) -> None:
    output = Output(str(tmp_path / "run[1]"), StorageConfig())
    ScoreFiles(output, {"model": "m"}, overwrite=False).write(3, [score_rows(7, pa.array([1, 2]), np.ones(2))])
    again = ScoreFiles(output, {"model": "m"}, overwrite=False)
    assert again.has(3)
    assert not again.has(1)
