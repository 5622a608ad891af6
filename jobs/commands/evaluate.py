"""`vilt evaluate`: a checkpoint, or results that are there already, on the published benchmarks."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.console.command import Outcome
from jobs.reports.evaluation import evaluation_table, evaluation_values
from pipeline.config.evaluate import EvaluateConfig
from pipeline.evaluation.evaluate import evaluate


def evaluate_file(path: str, overrides: Sequence[str] = ()) -> Outcome:
    """Measure what a YAML file describes; see `pipeline.evaluation.evaluate`."""
    return evaluate_config(EvaluateConfig.load(path, overrides))


def evaluate_config(config: EvaluateConfig) -> Outcome:
    """Measure what a config describes, and lay it out."""
    done = evaluate(config)
    return Outcome(evaluation_table(*done), evaluation_values(done.measured, config.bootstrap, done.files))
