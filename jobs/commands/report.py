"""`vilt report`: one HTML file about the output of a finished job, that needs no network."""

from __future__ import annotations

import sys
from pathlib import Path

import jinja2

from jobs.console.exits import ended
from jobs.reports import figures
from pipeline.common.error_codes import REASONS
from pipeline.config.job import StorageConfig
from pipeline.reporting.overview import Overview, lineage_lines, look_at
from pipeline.reporting.pictures import pictures_of
from pipeline.results.distribution import QUANTILES
from pipeline.results.file_footer import Written
from pipeline.results.reader import open_results
from pipeline.storage.filesystem import make_folder, open_fsspec, write_whole

REPORT = "_report.html"
TITLES = {"best": "Best", "worst": "Worst", "random": "At random"}
MOST_GRIDS = 12


def report_file(uri: str, out: str | None) -> int:
    """Write the report of an output folder, there or into the file `out`; the exit code."""
    return ended(lambda: write_report(uri, StorageConfig(), out))


def report_after(uri: str, storage: StorageConfig) -> None:
    """Write the report of a job that has ended well. What is wrong with it is told, and never fails the job."""
    try:
        write_report(uri, storage)
    except Exception as error:
        print(f"no report: {' '.join(str(error).split())}", file=sys.stderr)


def write_report(uri: str, storage: StorageConfig, out: str | None = None) -> str:
    """Write the report; where it is. Raises ConfigError where `uri` is no output of a finished job."""
    page = make_report(uri, storage)
    target = out or f"{uri.rstrip('/')}/{REPORT}"
    filesystem, path = open_fsspec(target, "--out", storage)
    make_folder(filesystem, path.rpartition("/")[0])
    write_whole(filesystem, path, page.encode())
    return target


def make_report(uri: str, storage: StorageConfig) -> str:
    """The page, as HTML."""
    view = look_at(uri, storage)
    galleries, note = pictures_of(view, storage)
    near = "Nearest to the cut" if view.threshold is not None else "Nearest to the median"
    parts = [] if view.is_filter else open_results(uri, "OUT", storage).written
    template = Path(__file__).parents[1].joinpath("reports", "report.html.j2").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(template)
    return page.render(
        title=f"{', '.join(view.summary['tasks'])}: {uri}",
        facts=_facts(view),
        figures=_figures(view, Written.total(parts), sorted(parts, key=lambda part: part.at)),
        rejected_title="Dropped rows" if view.is_filter else "Rejected rows",
        rejected=[(r, n, REASONS.get(r, ""), view.failures[r]) for r, n in view.rejected.items()],
        galleries=[(TITLES.get(kind, near), pictures) for kind, pictures in galleries.items()],
        note=note,
        lineage=lineage_lines(view.summary),
    )


def _facts(view: Overview) -> list[tuple[str, str]]:
    """The figures that stand at the top."""
    summary = view.summary
    facts = [("rows in", f"{summary['rows_in']:,}")]
    if view.is_filter:
        share = f" ({summary['kept'] / summary['rows_in']:.1%})" if summary["rows_in"] else ""
        facts.append(("kept", f"{summary['kept']:,}{share}"))
        facts.append(("dropped", f"{sum(view.rejected.values()):,}"))
        facts += [(f"keep.{key}", str(value)) for key, value in summary["keep"].items()]
        if view.threshold is not None:
            facts.append(("lowest kept", f"{view.threshold:.4g}"))
    else:
        facts += [("pairs", f"{summary['pairs']:,}"), ("with a result", f"{summary['scored']:,}")]
        facts.append(("rejected", f"{sum(view.rejected.values()):,}"))
        if "batch_fill" in summary:  # a table that grows by many runs has none
            facts.append(("pairs a second", f"{summary['pairs_per_second']:,.1f}"))
            facts.append(("batches", f"{summary['micro_batches']:,}, {summary['batch_fill']:.0%} full"))
    return [*facts, ("time", f"{summary['seconds']:,.1f} s")]


def _figures(view: Overview, total: Written, parts: list[Written]) -> list[tuple[str, str, str]]:
    """Name, SVG and note of each figure."""
    out: list[tuple[str, str, str]] = []
    if view.scores and view.score:
        names = ("least", *(f"{share:.0%}" for share in QUANTILES[1:-1]), "most")
        quantiles = ", ".join(f"{n}: {v:.3g}" for n, v in zip(names, view.scores.quantiles, strict=True))
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


def _batches(total: Written) -> str:
    """How full the batches were."""
    tokens = total.tokens / max(1, total.micro_batches)
    fill = total.tokens / max(1, total.capacity)
    return (
        f"batches of {tokens:,.0f} tokens on average, {fill:.0%} of the most, {total.model_seconds:,.1f} s in the model"
    )
