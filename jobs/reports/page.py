"""The HTML page about the output of a finished job: one file that needs no network and runs no script."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

import jinja2

from jobs.console.text import visible
from jobs.reports import figures
from jobs.reports.overview import quantile_names
from pipeline.common.error_codes import REASONS
from pipeline.common.redaction import redacted_text
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.reporting.overview import Overview, lineage_lines, look_at
from pipeline.reporting.pictures import Access, pictures_of
from pipeline.results.file_footer import ResultFile
from pipeline.results.reader import open_results
from pipeline.storage.filesystem import make_folder, open_fsspec, write_whole

REPORT = "_report.html"
TITLES = {"best": "Best", "worst": "Worst", "random": "At random"}
MOST_GRIDS = 12


def report_after(uri: str, storage: StorageConfig, spec: InputConfig) -> None:
    """Write the report of a job that has just finished; a failure is printed and never fails the job.

    Args:
        uri: The output folder.
        storage: How to reach it.
        spec: The input of the job's own config, which says what may be opened.
    """
    _try_report(uri, storage, Access((spec.path, *spec.allow), spec.allow_private))


def report_of_output(uri: str) -> None:
    """Write the report of an output with nothing opened for pictures but the output itself; see `report_after`."""
    _try_report(uri, StorageConfig(), Access())


def _try_report(uri: str, storage: StorageConfig, access: Access) -> None:
    try:
        write_report(uri, storage, access)
    except Exception as error:
        print(
            visible(f"no report: {redacted_text(' '.join(str(error).split()))}; the results are complete"),
            file=sys.stderr,
        )


def write_report(uri: str, storage: StorageConfig, access: Access, out: str | None = None) -> str:
    """Write the report of an output.

    Args:
        uri: The output folder.
        storage: How to reach it, and the pictures.
        access: What else may be opened for pictures.
        out: The file to write; default: `_report.html` in the output folder.

    Returns:
        The URI of the file.

    Raises:
        ConfigError: If `uri` is no output of a finished job.
    """
    page = make_report(uri, storage, access)
    target = out or f"{uri.rstrip('/')}/{REPORT}"
    filesystem, path = open_fsspec(target, "--out", storage)
    make_folder(filesystem, path.rpartition("/")[0])
    write_whole(filesystem, path, page.encode("utf-8", "backslashreplace"))
    return target


def make_report(uri: str, storage: StorageConfig, access: Access) -> str:
    """Return the page as HTML; see `write_report`."""
    view = look_at(uri, storage)
    galleries, note = pictures_of(view, storage, access)
    near = "Nearest to the threshold" if view.threshold is not None else "Nearest to the median"
    parts = [] if view.is_filter else open_results(view.uri, "OUT", storage).written
    template = Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(template)
    return page.render(
        title=f"{', '.join(view.summary['tasks'])}: {uri}",
        source=_source(view, parts),
        facts=_facts(view),
        figures=_figures(view, ResultFile.total(parts), sorted(parts, key=lambda part: part.at)),
        rejected_title="Dropped rows" if view.is_filter else "Rejected rows",
        rejected=[(r, n, REASONS.get(r, ""), view.failures[r]) for r, n in view.rejected.items()],
        galleries=[(TITLES.get(kind, near), pictures) for kind, pictures in galleries.items()],
        note=note,
        input=json.dumps(view.summary.get("input", {}), indent=2, ensure_ascii=False),
        lineage=lineage_lines(view.summary),
    )


def _source(view: Overview, parts: Iterable[ResultFile]) -> str:
    """Return what was read and when, as far as the output says."""
    table = view.summary.get("input", {}).get("path", "")
    written = max((part.at for part in parts), default=0.0)
    when = f"{datetime.fromtimestamp(written, timezone.utc):%Y-%m-%d %H:%M} UTC" if written else ""
    return ", ".join([*([f"read from {table}"] if table else []), *([f"written until {when}"] if when else [])])


def _facts(view: Overview) -> list[tuple[str, str]]:
    """Return the names and values at the top."""
    summary = view.summary
    named = [("rows in", f"{summary['rows_in']:,}")]
    if view.is_filter:
        share = f" ({summary['kept'] / summary['rows_in']:.1%})" if summary["rows_in"] else ""
        named.append(("kept", f"{summary['kept']:,}{share}"))
        named.append(("dropped", f"{sum(view.rejected.values()):,}"))
        named += [(f"keep.{key}", str(value)) for key, value in summary["keep"].items()]
        if view.threshold is not None:
            named.append(("lowest kept", f"{view.threshold:.4g}"))
    else:
        named += [("pairs", f"{summary['pairs']:,}"), ("with a result", f"{summary['scored']:,}")]
        named.append(("rejected", f"{sum(view.rejected.values()):,}"))
        if truncated := summary.get("texts_truncated"):
            named.append(("truncated texts", f"{truncated:,}"))
        if "pairs_per_second" in summary:  # a table that grows by many runs has none
            named.append(("pairs per second", f"{summary['pairs_per_second']:,.1f}"))
        if summary.get("batch_fill"):  # a rank job has none
            named.append(("batches", f"{summary['micro_batches']:,}, {summary['batch_fill']:.0%} full"))
    return [*named, ("time", f"{summary['seconds']:,.1f} s")]


def _figures(view: Overview, total: ResultFile, parts: list[ResultFile]) -> list[tuple[str, str, str]]:
    """Return name, SVG and note of each figure."""
    out: list[tuple[str, str, str]] = []
    if view.scores and view.score:
        pairs = zip(quantile_names(), view.scores.quantiles, strict=True)
        quantiles = ", ".join(f"{name}: {value:.3g}" for name, value in pairs)
        out.append(("Scores", figures.histogram(view.scores, view.score, view.threshold), f"Quantiles: {quantiles}"))
    if view.answers:
        note = f"{view.distinct_answers:,} different answers"
        out.append(("Answers", figures.bars(view.answers, "Answers by frequency"), note))
    if total.grids:
        grids = total.grids.most_common(MOST_GRIDS)
        note = f"{len(total.grids)} grids of patches, as rows x columns, of {sum(total.grids.values()):,} images"
        out.append(("Grids", figures.bars(grids, "Images by grid"), f"{note}; {_batches(total)}"))
    if parts and parts[-1].at > parts[0].at > 0:
        out.append(("Rows over time", figures.progress(parts), f"A step for each of {len(parts):,} files"))
    return out


def _batches(total: ResultFile) -> str:
    """Return how full the micro-batches were, in words; a rank job does not say."""
    seconds = f"{total.model_seconds:,.1f} s in the model"
    if not total.capacity:
        return seconds
    tokens, fill = total.tokens / max(1, total.micro_batches), total.tokens / total.capacity
    return f"micro-batches of {tokens:,.0f} tokens on average, {fill:.0%} of the most, {seconds}"
