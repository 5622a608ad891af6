"""What several commands of `vilt` have in common: their arguments and options, and how each is run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from jobs.console.command import Outcome, run_command
from jobs.console.log import Log

ConfigFile = Annotated[str, typer.Argument(metavar="CONFIG", help="YAML file, see configs/")]
Out = Annotated[str, typer.Argument(metavar="OUT", help="output folder of a job that has finished")]
RetryErrors = Annotated[bool, typer.Option("--retry-errors", help="read again only rows with a transient error")]
AsJson = Annotated[bool, typer.Option("--json", help="print one line of JSON, also if the command fails")]
LogFormat = Annotated[
    Log,
    typer.Option("--log", help="on stderr: text, in a terminal one live line; verbose, with Ray's own lines; or json"),
]
LogEvery = Annotated[
    float | None, typer.Option("--log-every", min=0.1, help="seconds between two reports of progress [default: 60]")
]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="as in output.path=scores/")]

EVERY, EVERY_LIVE = 60.0, 1.0  # seconds between two reports of progress: as lines, and as a live line


def finish(job: Callable[[], Outcome], as_json: bool = False, log: Log = "text") -> None:
    """Run a command; its exit code is that of the process.

    Args:
        job: Imports what the command needs and does it: an import that fails is an error like any other.
        as_json: Print JSON.
        log: How events go to stderr.
    """
    raise typer.Exit(run_command(job, log, as_json))


def seconds_between(given: float | None, log: Log) -> float:
    """Return how many seconds are between two reports of progress.

    Args:
        given: What `--log-every` says.
        log: How events go to stderr.
    """
    return given or (EVERY_LIVE if log == "text" and sys.stderr.isatty() else EVERY)
