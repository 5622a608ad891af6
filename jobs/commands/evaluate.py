"""`vilt evaluate`: a checkpoint, or results that are there already, on the published benchmarks."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.console.exits import ended
from jobs.console.log import Log
from jobs.reports.evaluation import to_json, to_png, to_text
from pipeline.common.errors import StorageFailedError, first_line
from pipeline.config.evaluate import EvaluateConfig
from pipeline.evaluation.files import Output
from pipeline.evaluation.nlvr2 import Nlvr2
from pipeline.evaluation.retrieval import Retrieval
from pipeline.evaluation.vqa import Vqa
from pipeline.monitoring.events import tell
from pipeline.storage.filesystem import STORAGE_ERRORS

BENCHMARKS: dict[str, type[Retrieval | Vqa | Nlvr2]] = {"retrieval": Retrieval, "vqa": Vqa, "nlvr2": Nlvr2}


def evaluate_file(path: str, overrides: Sequence[str], log: Log = "text") -> int:
    """Measure what a YAML file describes and print a table; the exit code."""
    return ended(lambda: evaluate(EvaluateConfig.load(path, overrides)), log)


def evaluate(config: EvaluateConfig) -> str:
    """Measure every benchmark of the config and write OUT/evaluation.json and .png; the table.

    All files and models are checked before anything runs. Raises ConfigError, and what a job raises.
    """
    output = Output(config.output.path, config.storage)
    chosen = [kind(config, output) for name, kind in BENCHMARKS.items() if getattr(config, name) is not None]
    names = [name for name in BENCHMARKS if getattr(config, name) is not None]
    tell("job_started", f"evaluate: {', '.join(names)}", tasks=["evaluate"], benchmarks=names)
    try:
        measured = [benchmark.measure() for benchmark in chosen]
        files = [output.write("evaluation.json", to_json(measured, config.bootstrap))]
        if any(one.metrics for one in measured):
            files.append(output.write("evaluation.png", to_png(measured)))
    except STORAGE_ERRORS as error:
        raise StorageFailedError(
            f"the storage failed: {first_line(error)}; what was written stays, and the same command goes on"
        ) from None
    tell("job_finished", f"evaluated: {', '.join(names)}", tasks=["evaluate"], benchmarks=names, files=len(files))
    return to_text(measured, [*files, *(file for one in measured for file in one.files)])
