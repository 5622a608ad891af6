"""The commands of `vilt` about what a job has written: their arguments and options."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.console.command import Outcome
from jobs.options import AsJson, ConfigFile, LogFormat, Out, Overrides, finish


def filter_(config: ConfigFile, overrides: Overrides = None, as_json: AsJson = False, log: LogFormat = "text") -> None:
    """Keep the rows of a table whose scores or answers meet the conditions in the file."""

    def job() -> Outcome:
        from jobs.commands.filter import filter_file

        return filter_file(config, overrides or [])

    finish(job, as_json, log)


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


def history(
    out: Annotated[str, typer.Argument(metavar="OUT", help="output folder of `vilt reindex`")],
    as_json: Annotated[bool, typer.Option("--json", help="print one line of JSON for each version")] = False,
) -> None:
    """Print what each run did to a table of results, the latest first."""

    def job() -> Outcome:
        from jobs.commands.history import read_history

        return read_history(out)

    finish(job, as_json)
