"""The command `vilt`: its commands, their arguments and options."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from jobs.console.exit_codes import EXIT_CODES
from jobs.console.process import run_process
from jobs.console.text import visible
from jobs.job_commands import evaluate, init, plan, reindex, task_command
from jobs.model_commands import convert, demo, quality, train
from jobs.result_commands import calibrate, filter_, history, merge, report, show
from pipeline.common.invocation import set_command
from pipeline.common.tasks import TASKS

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


for _name in TASKS:
    app.command(_name, help=TASK_HELP[_name])(task_command(_name))
app.command("run", help=TASK_HELP["run"])(task_command(None))

# In the order of `vilt --help`.
COMMANDS = (
    init, filter_, merge, show, report, calibrate,
    demo, quality, train, convert,
    reindex, history, evaluate, plan,
)  # fmt: skip
for _command in COMMANDS:
    app.command(_command.__name__.rstrip("_"))(_command)


def main() -> None:
    """Run `vilt` with the words of the command line, and end the process."""
    set_command(["vilt", *sys.argv[1:]])
    run_process(lambda: app(standalone_mode=False), as_json="--json" in sys.argv[1:])


if __name__ == "__main__":
    main()
