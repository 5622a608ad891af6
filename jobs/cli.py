"""The command `vilt`."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    help="Batch inference with ViLT over image-text tables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # their tracebacks print local values, credentials among them
)

ConfigFile = Annotated[str, typer.Argument(help="YAML file, see configs/")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="as in output.path=scores/")]


@app.command()
def score(config: ConfigFile, overrides: Overrides = None) -> None:
    """Score how well each text of a table fits its image."""
    from jobs.batch import run_file

    raise typer.Exit(run_file("score", config, overrides or []))


@app.command()
def answer(config: ConfigFile, overrides: Overrides = None) -> None:
    """Answer the question of each row about its image."""
    from jobs.batch import run_file

    raise typer.Exit(run_file("answer", config, overrides or []))


@app.command()
def demo(
    folder: Annotated[str, typer.Option(help="where to put the table and the results")] = "demo",
    rows: Annotated[int, typer.Option(min=20, help="scenes to draw")] = 300,
) -> None:
    """Draw a table of scenes, score and answer it with the shipped model, and show some rows."""
    from jobs.demo import run_demo

    run_demo(folder, rows)


@app.command()
def quality(
    model: Annotated[str, typer.Argument(help="a checkpoint trained on drawn scenes")] = "zoo://scenes",
    scenes: Annotated[int, typer.Option(min=1, help="held-out scenes to draw")] = 1000,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16")] = "auto",
) -> None:
    """Measure the shipped model on held-out scenes."""
    from jobs.quality import measure
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
    from jobs.train import train as run_training

    run_training(out, steps, seed, first_step)


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
