"""Measure a checkpoint, or results that are there already, on the published benchmarks."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.config.evaluate import EvaluateConfig
from pipeline.evaluation.nlvr2 import Nlvr2
from pipeline.evaluation.output import Measured, Output
from pipeline.evaluation.result_files import to_json, to_png
from pipeline.evaluation.retrieval import Retrieval
from pipeline.evaluation.vqa import Vqa
from pipeline.monitoring.events import emit
from pipeline.storage.failures import as_storage_failure

BENCHMARKS: dict[str, type[Retrieval | Vqa | Nlvr2]] = {"retrieval": Retrieval, "vqa": Vqa, "nlvr2": Nlvr2}


class Evaluated(NamedTuple):
    """The result of an evaluation.

    Attributes:
        measured: The results of each benchmark.
        files: The files that were written.
    """

    measured: list[Measured]
    files: list[str]


def evaluate(config: EvaluateConfig) -> Evaluated:
    """Measure every benchmark of the config and write OUT/evaluation.json and .png.

    All files and models are checked before anything runs.

    Raises:
        ConfigError: Before anything starts.
        StorageFailedError, TooManyErrorsError, RowsLostError: As a job does.
    """
    output = Output(config.output.path, config.storage)
    names = [name for name in BENCHMARKS if getattr(config, name) is not None]
    chosen = [BENCHMARKS[name](config, output) for name in names]
    emit("job_started", f"evaluate: {', '.join(names)}", tasks=["evaluate"], benchmarks=names)
    with as_storage_failure("finished parts are kept: run the same command again"):
        measured = [benchmark.measure() for benchmark in chosen]
        files = [output.write("evaluation.json", to_json(measured, config.bootstrap))]
        if any(one.metrics for one in measured):
            files.append(output.write("evaluation.png", to_png(measured)))
    emit("job_finished", f"evaluated: {', '.join(names)}", tasks=["evaluate"], benchmarks=names, files=len(files))
    return Evaluated(measured, [*files, *(file for one in measured for file in one.files)])
