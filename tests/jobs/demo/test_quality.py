"""The shipped model on held-out scenes meets its bars."""

from jobs.demo.quality import measure
from vilt import Predictor
from vilt.common.folder import ZOO

BAR, SCENES = 0.95, 150  # `vilt quality` draws 1,000


def test_the_shipped_model_meets_its_bars() -> None:
    quality = measure(Predictor.from_pretrained("zoo://scenes"), SCENES)
    print(f"\n{quality.table()}")
    assert quality.answers["all"][0] >= BAR
    assert quality.first["all"][0] >= BAR


def test_the_weights_are_small() -> None:
    assert (ZOO / "scenes" / "model.safetensors").stat().st_size <= 10_000_000
