"""The command `vilt`: its commands, their arguments and options."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from jobs.console.command import Outcome
from jobs.console.exit_codes import EXIT_CODES
from jobs.console.process import run_process
from jobs.console.text import visible
from jobs.model_commands import convert, demo, quality, train
from jobs.options import AsJson, ConfigFile, LogEvery, LogFormat, Out, Overrides, RetryErrors, finish, seconds_between
from pipeline.common.invocation import set_command
from pipeline.common.tasks import PUBLISHED, TASKS, Task

app = typer.Typer(
    help="Batch inference with ViLT, ViT and VisualBERT over tables of images and texts.",
    epilog="Exit codes: " + "; ".join(f"{one.code} {one.status}" for one in EXIT_CODES) + ".",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,  # their tracebacks print local values, credentials among them
)

TASK_HELP: dict[str, str] = {name: task.help for name, task in TASKS.items()}
TASK_HELP["run"] = "Do what `task:` or `tasks:` in the file says; several tasks decode each image once."


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(visible(f"vilt {version('vilt-pipeline')}"))
        raise typer.Exit


@app.callback()
def vilt(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version and exit")
    ] = False,
) -> None:
    """Declare the options of `vilt` itself; the help is that of `app`."""


def _task_command(task: Task | None) -> Callable[..., None]:
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


for _name in TASKS:
    app.command(_name, help=TASK_HELP[_name])(_task_command(_name))
app.command("run", help=TASK_HELP["run"])(_task_command(None))


@app.command()
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


@app.command("filter")
def filter_(config: ConfigFile, overrides: Overrides = None, as_json: AsJson = False, log: LogFormat = "text") -> None:
    """Keep the rows of a table whose scores or answers meet the conditions in the file."""

    def job() -> Outcome:
        from jobs.commands.filter import filter_file

        return filter_file(config, overrides or [])

    finish(job, as_json, log)


@app.command()
def merge(
    out: Annotated[str, typer.Argument(metavar="OUT", help="output.path of the runs with input.shard")],
    as_json: AsJson = False,
    log: LogFormat = "text",
) -> None:
    """Make the outputs of all shards of a job one result: check that no row is missing or doubled, copy nothing."""

    def job() -> Outcome:
        from jobs.commands.merge import merge_output

        return merge_output(out)

    finish(job, as_json, log)


@app.command()
def show(
    out: Out,
    rows: Annotated[int, typer.Option(min=0, help="how many of its rows to print")] = 8,
    as_json: AsJson = False,
) -> None:
    """Print what a job has written: counts, reasons, scores, answers, some rows, and what made them."""

    def job() -> Outcome:
        from jobs.commands.show import show_output

        return show_output(out, rows)

    finish(job, as_json)


@app.command()
def report(
    out: Out,
    other: Annotated[
        str | None,
        typer.Argument(metavar="OTHER", help="output folder of a second job, to compare with OUT row by row"),
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="column of the results: show the scores of each of its values")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="with OTHER: score whose crossing is counted; default: the median of each run"),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--out", help="where to write it; default: OUT/_report.html, with OTHER OTHER/_compared.html"),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="URI", help="file or folder that may be opened for pictures, beside OUT; can be repeated"),
    ] = None,
    allow_private: Annotated[
        bool,
        typer.Option("--allow-private", help="let http(s):// places in --allow be at addresses that are not public"),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write one HTML file about what a job has written: scores, answers, reasons, pictures. It needs no network.

    With OTHER it compares two jobs, of two models or two days, row by row.
    """

    def job() -> Outcome:
        from jobs.commands.report import access_of, compare_outputs, report_output

        access = access_of(allow or [], allow_private)
        if other is None:
            return report_output(out, file, access, by, threshold)
        return compare_outputs(out, other, file, access, by, threshold)

    finish(job, as_json)


@app.command()
def calibrate(
    out: Out,
    labels: Annotated[
        str | None, typer.Argument(metavar="[LABELS]", help="table with the columns row_id and good, drawn by --sample")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="draw so many rows to label, and do no more [200 is a good number]")
    ] = None,
    file: Annotated[str, typer.Option("--out", help="where --sample writes them")] = "labels.csv",
    seed: Annotated[int, typer.Option(min=0, help="of the sample")] = 0,
    precision: Annotated[float, typer.Option(min=0, max=1, help="share of good rows to find a threshold for")] = 0.9,
    as_json: AsJson = False,
) -> None:
    """Choose a threshold: how many rows each score keeps, and how many of these are good, from a labelled sample."""

    def job() -> Outcome:
        from jobs.commands.calibrate import calibrate_output, draw_rows

        return calibrate_output(out, labels, precision) if sample is None else draw_rows(out, sample, seed, file)

    finish(job, as_json)


for _command in (demo, quality, train, convert):
    app.command()(_command)


@app.command()
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


@app.command()
def history(
    out: Annotated[str, typer.Argument(metavar="OUT", help="output folder of `vilt reindex`")],
    as_json: Annotated[bool, typer.Option("--json", help="print one line of JSON for each version")] = False,
) -> None:
    """Print what each run did to a table of results, the latest first."""

    def job() -> Outcome:
        from jobs.commands.history import read_history

        return read_history(out)

    finish(job, as_json)


@app.command()
def evaluate(config: ConfigFile, overrides: Overrides = None, as_json: AsJson = False, log: LogFormat = "text") -> None:
    """Measure a checkpoint, or results, on the published benchmarks: retrieval, VQA, NLVR2."""

    def job() -> Outcome:
        from jobs.commands.evaluate import evaluate_file

        return evaluate_file(config, overrides or [])

    finish(job, as_json, log)


@app.command()
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


def main() -> None:
    """Run `vilt` with the words of the command line, and end the process."""
    set_command(["vilt", *sys.argv[1:]])
    run_process(lambda: app(standalone_mode=False), as_json="--json" in sys.argv[1:])


if __name__ == "__main__":
    main()
