"""`vilt quality`: what the shipped model reaches on held-out scenes."""

from __future__ import annotations

from dataclasses import asdict

from jobs.console.command import Outcome
from jobs.console.tables import lines
from jobs.demo.quality import measure
from pipeline.common.errors import ConfigError
from vilt import Predictor


def measure_quality(model: str, scenes: int, precision: str) -> Outcome:
    """Measure a checkpoint that was trained on drawn scenes; the table is Markdown.

    Args:
        model: URI of the checkpoint.
        scenes: How many held-out scenes to draw.
        precision: See `vilt.inference.precision`.

    Raises:
        ConfigError: If the checkpoint cannot be read.
    """
    try:
        predictor = Predictor.from_pretrained(model, precision=precision)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from None
    quality = measure(predictor, scenes)
    return Outcome(lines(*quality.table().splitlines()), asdict(quality))
