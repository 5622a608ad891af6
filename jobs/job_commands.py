"""The commands of `vilt` that run a job, and those that prepare one: their arguments and options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from jobs.console.command import Outcome
from jobs.options import AsJson, ConfigFile, LogEvery, LogFormat, Overrides, RetryErrors, finish, seconds_between
from pipeline.common.tasks import PUBLISHED, Task


def task_command(task: Task | None) -> Callable[..., None]:
    """Return the command of a task; None: of `vilt run`, whose file says it."""

    def command(
        config: ConfigFile,
        overrides: Overrides = None,
        retry_errors: RetryErrors = False,
        as_json: AsJson = False,
        log: LogFormat = "text",
        log_every: LogEvery = None,
    ) -> None:
        def job() -> Outcome:
            from jobs.commands.batch import run_file

            return run_file(task, config, overrides or [], retry_errors, seconds_between(log_every, log))

        finish(job, as_json, log)

    return command


def init(
    task: Annotated[str, typer.Argument(metavar="TASK", help=f"one of {', '.join(PUBLISHED)}")],
    table: Annotated[str, typer.Argument(metavar="TABLE", help="file, folder or glob, as in input.path")],
    overrides: Overrides = None,
    out: Annotated[str | None, typer.Option(help="the file to write; default: TASK.yaml")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the file of a job after a look at the table: its image, text and id columns are guessed."""

    def job() -> Outcome:
        from jobs.commands.init import write_config

        return write_config(task, table, overrides or [], out)

    finish(job, as_json)


def plan(
    config: ConfigFile,
    overrides: Overrides = None,
    task: Annotated[str | None, typer.Option(help="score, answer, ...; default: what the file says")] = None,
    sample: Annotated[int, typer.Option(min=1, help="rows to read and time; of rank and evaluate: pairs")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="of the sample")] = 0,
    actors: Annotated[int | None, typer.Option(min=1, help="of the cluster to plan for; default: this machine")] = None,
    gpus: Annotated[float | None, typer.Option(min=0, help="GPUs of each actor")] = None,
    cores_per_actor: Annotated[int | None, typer.Option(min=2, help="cores for each actor, its own included")] = None,
    price_per_hour: Annotated[
        float | None, typer.Option(min=0, help="of each actor with its GPUs and cores, in any currency")
    ] = None,
    as_json: AsJson = False,
    out: Annotated[str | None, typer.Option(help="PNG file for a picture of grids and lengths")] = None,
) -> None:
    """Estimate from a sample, before a job runs, what it will meet and how long it will take."""

    def job() -> Outcome:
        from jobs.commands.plan import Options, plan_file
        from pipeline.planning.plan import PlanRequest

        request = PlanRequest(sample, seed, actors, gpus, cores_per_actor)
        return plan_file(task, config, overrides or [], request, Options(price_per_hour, out))  # type: ignore[arg-type]

    finish(job, as_json)


def reindex(
    config: ConfigFile,
    overrides: Overrides = None,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="also read again rows with a transient error")
    ] = False,
    rollback: Annotated[
        str | None, typer.Option(metavar="VERSION", help="restore this version (see history), or `previous`")
    ] = None,
    as_json: AsJson = False,
    log: LogFormat = "text",
    log_every: LogEvery = None,
) -> None:
    """Bring a Delta table of results up to date with its input: read what is new or changed, drop what is gone."""

    def job() -> Outcome:
        from jobs.commands.reindex import reindex_file

        return reindex_file(config, overrides or [], retry_errors, rollback, seconds_between(log_every, log))

    finish(job, as_json, log)


def evaluate(config: ConfigFile, overrides: Overrides = None, as_json: AsJson = False, log: LogFormat = "text") -> None:
    """Measure a checkpoint, or results, on the published benchmarks: retrieval, VQA, NLVR2."""

    def job() -> Outcome:
        from jobs.commands.evaluate import evaluate_file

        return evaluate_file(config, overrides or [])

    finish(job, as_json, log)
