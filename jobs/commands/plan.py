"""`vilt plan`: what a job will meet, and how long it will take, from a sample of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.console.command import Outcome
from jobs.reports.plan import plan_table, plan_values, to_png
from pipeline import ConfigError, JobConfig
from pipeline.common.tasks import Task
from pipeline.config.base import read_values
from pipeline.config.evaluate import BENCHMARKS, EvaluateConfig
from pipeline.evaluation.output import Output
from pipeline.evaluation.retrieval import Retrieval
from pipeline.planning.plan import PlanRequest, make_plan, plan_job
from pipeline.scoring.prepare import PreparedJob
from pipeline.storage.failures import as_config_error, as_storage_failure
from pipeline.storage.filesystem import open_fsspec, write_whole

# Keys of the job's file that no plan depends on.
OF_WRITING = {f"output.{key}" for key in ("overwrite", "report", "retention_days", "retry_errors", "file_bytes")}


@dataclass(frozen=True)
class Options:
    """Options of the report of a plan.

    Attributes:
        price: Price of an actor with its GPUs and cores, for an hour.
        out: PNG file for a picture of grids and lengths.
    """

    price: float | None = None
    out: str | None = None


def _retrieval(config: EvaluateConfig, path: str) -> PreparedJob:
    """Return the job of the benchmark that takes hours; the others read each question once.

    Raises:
        ConfigError: The file has no section `retrieval` with a model, or it is wrong.
    """
    if config.retrieval is None or config.retrieval.model is None:
        raise ConfigError(
            f"{path}: retrieval.model: missing; of a file of `vilt evaluate` the section retrieval is planned, whose "
            "model reads every text with every image"
        )
    return Retrieval(config, Output(config.output.path, config.storage)).prepare()


def plan_file(
    task: Task | None, path: str, overrides: Sequence[str], request: PlanRequest, options: Options
) -> Outcome:
    """Plan the job that a YAML file describes; of a file of `vilt evaluate` the section `retrieval`.

    Args:
        task: What the job does; None if the file says it.
        path: Path of the file.
        overrides: `key=value`, over the keys of the file.
        request: The sample, and the machines to plan for.
        options: How to report the plan.

    Raises:
        ConfigError: If something in the config is wrong.
        StorageFailedError: If the storage fails.
    """
    for override in overrides:
        if (key := override.partition("=")[0]) in OF_WRITING:
            raise ConfigError(f"{key}: given on the command line, but a plan writes nothing: leave it out")
    values = read_values(path, overrides)
    benchmark = task is None and any(name in values for name in BENCHMARKS)
    config = EvaluateConfig.checked(values, path) if benchmark else JobConfig.parse(task, values, path)
    with as_storage_failure():
        if isinstance(config, EvaluateConfig):
            plan = plan_job(_retrieval(config, path), request)
        else:
            plan = make_plan(config, request)
    if options.out is not None:
        filesystem, target = open_fsspec(options.out, "--out", config.storage)
        with as_config_error(options.out, "--out"):  # whose folder is not made, as one may be misspelt
            write_whole(filesystem, target, to_png(plan.trial))
    text = plan_table(plan, request.seed, options.price)
    return Outcome(text, plan_values(plan, request.seed, options.price))
