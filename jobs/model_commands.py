"""The commands of `vilt` about models: try and measure the shipped one, train it anew, convert others."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.console.command import Outcome
from jobs.options import AsJson, finish


def demo(
    folder: Annotated[str, typer.Option(help="where to put the table and the results")] = "demo",
    rows: Annotated[int, typer.Option(min=20, help="scenes to draw")] = 300,
    s3: Annotated[bool, typer.Option("--s3", help="use an S3 server that is started for the demo")] = False,
) -> None:
    """Draw a table of scenes, score and answer it with the shipped model, and show some rows."""

    def job() -> Outcome:
        from jobs.commands.demo import run_demo, run_demo_on_s3

        return run_demo_on_s3(rows) if s3 else run_demo(folder, rows)

    finish(job)


def quality(
    model: Annotated[str, typer.Argument(help="a checkpoint trained on drawn scenes")] = "zoo://scenes",
    scenes: Annotated[int, typer.Option(min=1, help="held-out scenes to draw")] = 1000,
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16, int8 or float8")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure the shipped model on held-out scenes."""

    def job() -> Outcome:
        from jobs.commands.quality import measure_quality

        return measure_quality(model, scenes, precision)

    finish(job, as_json)


def train(
    out: Annotated[str, typer.Option(help="folder for the checkpoint")],
    steps: Annotated[int, typer.Option(min=1, help="steps of the whole training")] = 14_000,
    seed: Annotated[int, typer.Option(help="of the weights and the scenes")] = 0,
    first_step: Annotated[
        int, typer.Option(min=0, help="continue with the weights that a training of so many steps left at OUT")
    ] = 0,
) -> None:
    """Train the shipped model anew on drawn scenes."""

    def job() -> Outcome:
        from jobs.commands.train import train_model

        return train_model(out, steps, seed, first_step)

    finish(job)


def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="a .ckpt file or a published folder")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="a new folder")],
    tokenizer: Annotated[str | None, typer.Option(help="folder to take vocab.txt or tokenizer.json from")] = None,
    labels: Annotated[str | None, typer.Option(help="names of the classes: a text of lines, or JSON")] = None,
    as_json: AsJson = False,
) -> None:
    """Convert a checkpoint of the original project, or an older published folder, into a folder with safetensors."""

    def job() -> Outcome:
        from jobs.commands.convert import convert_file

        return convert_file(source, out, tokenizer, labels)

    finish(job, as_json)
