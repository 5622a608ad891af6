"""The command `vilt`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from jobs.console.log import Log
from jobs.console.process import run_process
from pipeline.common.tasks import TASKS

app = typer.Typer(
    help="Batch inference with ViLT, ViT and VisualBERT over tables of images and texts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # their tracebacks print local values, credentials among them
)

ConfigFile = Annotated[str, typer.Argument(help="YAML file, see configs/")]
RetryErrors = Annotated[bool, typer.Option("--retry-errors", help="only rows again whose error may pass")]
AsJson = Annotated[bool, typer.Option("--json", help="print one line of JSON")]
LogFormat = Annotated[Log, typer.Option("--log", help="events on stderr: text for a person, or JSON lines")]
LogEvery = Annotated[float, typer.Option("--log-every", min=0.1, help="seconds between two lines of progress")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="as in output.path=scores/")]


HELP: dict[str, str] = {name: task.help for name, task in TASKS.items()}
HELP["run"] = "Do what `task:` or `tasks:` in the file says; several tasks decode each image once."


def _batch_command(task: str) -> Callable[..., None]:
    def command(
        config: ConfigFile,
        overrides: Overrides = None,
        retry_errors: RetryErrors = False,
        log: LogFormat = "text",
        log_every: LogEvery = 60.0,
    ) -> None:
        from jobs.commands.batch import run_file

        name = None if task == "run" else task
        raise typer.Exit(run_file(name, config, overrides or [], retry_errors, log, log_every))  # type: ignore[arg-type]

    return command


for _task, _help in HELP.items():
    app.command(_task, help=_help)(_batch_command(_task))


@app.command("filter")
def filter_(config: ConfigFile, overrides: Overrides = None, log: LogFormat = "text") -> None:
    """Keep the rows of a table whose scores or answers meet the conditions in the file."""
    from jobs.commands.filter import filter_file

    raise typer.Exit(filter_file(config, overrides or [], log))


@app.command()
def show(
    out: Annotated[str, typer.Argument(metavar="OUT", help="output folder of a job that has finished")],
    rows: Annotated[int, typer.Option(min=0, help="how many of its rows to print")] = 8,
) -> None:
    """Print what a job has written: counts, reasons, scores, answers, some rows, and what made them."""
    from jobs.commands.show import show as show_folder

    raise typer.Exit(show_folder(out, rows))


@app.command()
def report(
    out: Annotated[str, typer.Argument(metavar="OUT", help="output folder of a job that has finished")],
    file: Annotated[str | None, typer.Option("--out", help="where to write it; default: OUT/_report.html")] = None,
) -> None:
    """Write one HTML file about what a job has written: scores, answers, reasons, pictures. It needs no network."""
    from jobs.commands.report import report_file

    raise typer.Exit(report_file(out, file))


@app.command()
def demo(
    folder: Annotated[str, typer.Option(help="where to put the table and the results")] = "demo",
    rows: Annotated[int, typer.Option(min=20, help="scenes to draw")] = 300,
    s3: Annotated[bool, typer.Option("--s3", help="on an S3 server that is started for it")] = False,
) -> None:
    """Draw a table of scenes, score and answer it with the shipped model, and show some rows."""
    from jobs.commands.demo import run_demo, run_demo_on_s3

    if not s3:
        run_demo(folder, rows)
        return
    try:
        run_demo_on_s3(rows)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None


@app.command()
def quality(
    model: Annotated[str, typer.Argument(help="a checkpoint trained on drawn scenes")] = "zoo://scenes",
    scenes: Annotated[int, typer.Option(min=1, help="held-out scenes to draw")] = 1000,
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16, int8 or float8")] = "auto",
) -> None:
    """Measure the shipped model on held-out scenes."""
    from jobs.demo.quality import measure
    from vilt import Predictor

    print(measure(Predictor.from_pretrained(model, precision=precision), scenes).table())


@app.command()
def train(
    out: Annotated[str, typer.Option(help="folder for the checkpoint")],
    steps: Annotated[int, typer.Option(min=1)] = 14_000,
    seed: int = 0,
    first_step: Annotated[int, typer.Option(min=0, help="continue with the weights that a training left at OUT")] = 0,
) -> None:
    """Train the shipped model anew on drawn scenes."""
    from jobs.demo.train import train as run_training

    run_training(out, steps, seed, first_step)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="a .ckpt file or a published folder")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="a new folder")],
    tokenizer: Annotated[str | None, typer.Option(help="folder with vocab.txt or tokenizer.json to take")] = None,
    labels: Annotated[str | None, typer.Option(help="the classes: a text of lines, or JSON")] = None,
) -> None:
    """Make a published folder of a checkpoint of the original project, or safetensors of an older folder."""
    from jobs.commands.convert import convert_file

    raise typer.Exit(convert_file(source, out, tokenizer, labels))


@app.command()
def reindex(
    config: ConfigFile,
    overrides: Overrides = None,
    retry_errors: RetryErrors = False,
    rollback: Annotated[
        str | None, typer.Option(metavar="VERSION", help="restore this version (see history), or `previous`")
    ] = None,
    as_json: AsJson = False,
    log: LogFormat = "text",
    log_every: LogEvery = 60.0,
) -> None:
    """Bring a Delta table of results up to date with its input: read what is new or changed, drop what is gone."""
    from jobs.commands.reindex import reindex_file

    raise typer.Exit(reindex_file(config, overrides or [], retry_errors, rollback, as_json, log, log_every))


@app.command()
def history(
    out: Annotated[str, typer.Argument(metavar="OUT", help="output folder of `vilt reindex`")], as_json: AsJson = False
) -> None:
    """Print what each run did to a table of results, the latest first."""
    from jobs.commands.reindex import history as print_history

    raise typer.Exit(print_history(out, as_json))


@app.command()
def evaluate(config: ConfigFile, overrides: Overrides = None, log: LogFormat = "text") -> None:
    """Measure a checkpoint, or results, on the published benchmarks: retrieval, VQA, NLVR2."""
    from jobs.commands.evaluate import evaluate_file

    raise typer.Exit(evaluate_file(config, overrides or [], log))


@app.command()
def plan(
    config: ConfigFile,
    overrides: Overrides = None,
    task: Annotated[str | None, typer.Option(help="score, answer, ...; default: what the file says")] = None,
    sample: Annotated[int, typer.Option(min=1, help="rows to read and time")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="of the sample")] = 0,
    actors: Annotated[int | None, typer.Option(min=1, help="of the cluster to plan for; default: this machine")] = None,
    gpus: Annotated[float | None, typer.Option(min=0, help="GPUs of an actor")] = None,
    cores_per_actor: Annotated[int | None, typer.Option(min=2, help="cores for each actor, its own included")] = None,
    price_per_hour: Annotated[float | None, typer.Option(min=0, help="of an actor with its GPUs and cores")] = None,
    as_json: AsJson = False,
    out: Annotated[str | None, typer.Option(help="PNG file for a picture of grids and lengths")] = None,
) -> None:
    """Tell, from a sample, what a job will meet and how long it will take, before it runs."""
    from jobs.commands.plan import Options, PlanRequest, plan_file

    request = PlanRequest(sample, seed, actors, gpus, cores_per_actor)
    options = Options(price_per_hour, as_json, out)
    raise typer.Exit(plan_file(task, config, overrides or [], request, options))  # type: ignore[arg-type]


def main() -> None:
    """Entry point."""
    run_process(app)


if __name__ == "__main__":
    main()
