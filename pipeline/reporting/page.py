"""The HTML page about the output of a finished job: one file that needs no network and runs no script."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from pipeline.common.error_codes import REASONS
from pipeline.common.summary import candidates_line
from pipeline.config.filter import FilterConfig
from pipeline.config.job import JobConfig
from pipeline.config.storage import StorageConfig
from pipeline.monitoring.events import emit
from pipeline.reporting import figures
from pipeline.reporting.access import Access
from pipeline.reporting.figures import Drawn
from pipeline.reporting.groups import GROUP_QUANTILES, Groups
from pipeline.reporting.overview import Overview, lineage_lines, look_at
from pipeline.reporting.pictures import Picture, pictures_of
from pipeline.reporting.ranked import Ranked, look_at_ranked
from pipeline.reporting.rendering import config_text, made_lines, render, write_page
from pipeline.reporting.truncation import TruncatedText, truncated_texts
from pipeline.results.distribution import quantile_names
from pipeline.results.file_footer import ResultFile
from pipeline.results.reader import open_results, written_in
from pipeline.storage.filesystem import open_fsspec, storage_errors
from vilt.common.counts import counted

REPORT = "_report.html"
TITLES = {"best": "Best", "worst": "Worst", "random": "At random"}
RANKED_TITLES = {
    "best": "Images, each with its best texts: the best",
    "near": "Images nearest to the median",
    "worst": "Images, the worst",
    "random": "Images at random",
}
MOST_GRIDS = 12


def report_after(config: JobConfig | FilterConfig, missing_only: bool = False) -> None:
    """Write the report of a job that has finished; a failure is emitted as a warning and never fails the job.

    Args:
        config: The job's own config, which says what may be opened: its input and its checkpoints.
        missing_only: Whether a report that is there stays, since the results are those of an earlier run.
    """
    if missing_only and _exists(f"{config.output.path.rstrip('/')}/{REPORT}", config.storage):
        return
    spec = config.input
    models: list[str] = [*config.models, *filter(None, [config.tokenizer])] if isinstance(config, JobConfig) else []
    _try_report(config.output.path, config.storage, Access((spec.path, *spec.allow), spec.allow_private, models))


def _exists(uri: str, storage: StorageConfig) -> bool:
    """Return whether there is a file; if the storage does not say, too."""
    try:
        filesystem, path = open_fsspec(uri, "output.path", storage)
        return bool(filesystem.exists(path))
    except storage_errors():
        return True


def report_of_output(uri: str) -> None:
    """Write the report of an output with nothing opened for pictures but the output itself; see `report_after`."""
    _try_report(uri, StorageConfig(), Access())


def _try_report(uri: str, storage: StorageConfig, access: Access) -> None:
    try:
        write_report(uri, storage, access)
    except Exception as error:
        text = f"no report: {' '.join(str(error).split())}; the results are complete"
        emit("warning", text, logging.WARNING)


def write_report(
    uri: str, storage: StorageConfig, access: Access, out: str | None = None, by: str | None = None
) -> tuple[str, Overview]:
    """Write the report of an output.

    Args:
        uri: The output folder.
        storage: How to reach it, and the pictures.
        access: What else may be opened for pictures.
        out: The file to write; default: `_report.html` in the output folder.
        by: A column of the results, to show the scores of each of its values.

    Returns:
        The URI of the file, and what there was to see.

    Raises:
        ConfigError: If `uri` is no output of a finished job, or has no such column.
    """
    page, view = make_report(uri, storage, access, by)
    target = out or f"{uri.rstrip('/')}/{REPORT}"
    write_page(page, target, storage)
    return target, view


def make_report(uri: str, storage: StorageConfig, access: Access, by: str | None = None) -> tuple[str, Overview]:
    """Return the page as HTML, and what there was to see; see `write_report`."""
    view = look_at(uri, storage, by)
    ranked = look_at_ranked(view, storage)
    truncated, why = truncated_texts(view, ranked, storage, access)
    pictures, note = pictures_of(view, storage, access)
    parts = _parts(view, storage)
    summary = view.summary
    page = render(
        "report.html.j2",
        title=f"{', '.join(summary['tasks'])}: {uri}",
        made=made_lines(summary, parts),
        config=config_text(summary),
        facts=_facts(view),
        figures=_figures(view, ResultFile.total(parts), sorted(step for part in parts for step in part.timeline)),
        groups=view.groups and _group_values(view.groups),
        rejected_title="Dropped rows" if view.is_filter else "Rejected rows",
        rejected=[(r, n, REASONS.get(r, ""), view.failures[r]) for r, n in view.rejected.items()],
        truncated=truncated,
        truncated_note=_truncated_note(summary.get("texts_truncated") or 0, truncated, why),
        ranked=[(text, pictures[text.kind]) for text in ranked.texts if text.kind in pictures],
        galleries=_galleries(view, ranked, pictures),
        id_name=(summary.get("input", {}).get("id") or "row_id"),
        note=note,
        lineage=lineage_lines(summary),
    )
    return page, replace(view, left_out=note)


def _parts(view: Overview, storage: StorageConfig) -> list[ResultFile]:
    """Return what the files of results hold, by the footers that were read; of very many files they are read here."""
    if view.is_filter:
        return []
    if view.table is not None and view.table.footers:
        return written_in(view.table.footers, view.uri)
    return open_results(view.uri, "OUT", storage).written


def _galleries(view: Overview, ranked: Ranked, pictures: dict[str, list[Picture]]) -> list[tuple[str, list[Picture]]]:
    """Return the title and the pictures of each kind of example, without those of the texts of a rank job."""
    near = "Nearest to the threshold" if view.threshold is not None else "Nearest to the median"
    titles = RANKED_TITLES if view.is_rank else TITLES
    of_texts = {text.kind for text in ranked.texts}
    return [
        (titles.get(kind, near), [_with_texts(*pair, ranked) for pair in zip(view.examples[kind], shown, strict=True)])
        for kind, shown in pictures.items()
        if kind not in of_texts
    ]


def _with_texts(row: dict[str, Any], picture: Picture, ranked: Ranked) -> Picture:
    """Return the picture of a row, with its best texts if it is an image of a rank job."""
    return replace(picture, texts=tuple(ranked.best_texts.get(row.get("row_key", -1), ())))


def _truncated_note(count: int, shown: list[TruncatedText], why: str) -> str:
    """Return how many texts lost their end, and why they or their ends are not shown; "" if none did."""
    if not count:
        return ""
    note = (
        f"{counted(count, 'text has', 'texts have')} more tokens than the model reads; what goes beyond was not read."
    )
    return f"{note} {why}".strip() if why else f"{note} Shown: {len(shown):,}, the same in every report."


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
        if summary.get("candidates"):
            named.append(("candidates", candidates_line(summary["candidates"])))
        if truncated := summary.get("texts_truncated"):
            named.append(("texts cut", f"{truncated:,}"))
        if repeated := summary.get("repeated_rows"):
            named.append(("scored again", f"{counted(repeated, 'row')}, of actors or nodes that were lost"))
        if "pairs_per_second" in summary:  # a table that grows by many runs has none
            named.append(("pairs per second", f"{summary['pairs_per_second']:,.1f}"))
        if summary.get("batch_fill"):  # a rank job has none
            named.append(("batches", f"{summary['micro_batches']:,}, {summary['batch_fill']:.0%} full"))
    return [*named, ("time", f"{summary['seconds']:,.1f} s")]


def _figures(view: Overview, total: ResultFile, steps: list[tuple[float, int]]) -> list[Drawn]:
    """Return the figures of a report."""
    out: list[Drawn] = []
    if view.scores and view.score:
        pairs = zip(quantile_names(), view.scores.quantiles, strict=True)
        quantiles = ", ".join(f"{name}: {value:.3g}" for name, value in pairs)
        drawn = figures.histogram(view.scores, view.score, view.threshold)
        legend = figures.legend_of(view.scores, view.threshold)
        out.append(Drawn("Scores", drawn, f"Quantiles: {quantiles}", legend))
    if view.answers:
        note = counted(view.distinct_answers, "answer", "different answers")
        out.append(Drawn("Answers", figures.bars(view.answers, "Answers by frequency"), note))
    if total.grids:
        grids = total.grids.most_common(MOST_GRIDS)
        note = (
            f"{counted(len(total.grids), 'grid')} of patches, as rows x columns, of "
            f"{counted(total.grids.total(), 'image')}"
        )
        out.append(Drawn("Grids", figures.bars(grids, "Images by grid"), f"{note}; {_batches(total)}"))
    if steps and steps[-1][0] > steps[0][0] > 0:
        out.append(
            Drawn("Rows over time", figures.progress(steps), f"A step for each of {counted(len(steps), 'file')}")
        )
    return out


def _group_values(groups: Groups) -> dict[str, Any]:
    """Return the groups as the page shows them."""
    cards = []
    for group in groups.groups:
        name = "(null)" if group.name is None else group.name
        rows = counted(group.rows, "row")
        rejected = f", {group.rejected:,} rejected ({group.rejected / group.rows:.1%})" if group.rejected else ""
        cards.append(
            {
                "name": name if len(name) <= 100 else f"{name[:100]}…",
                "counts": f"{rows}{rejected}",
                "svg": figures.small_histogram(group.bins, f"Scores of {rows}") if group.quantiles else "",
                "quantiles": [
                    (f"{share:.0%}", f"{value:.3g}")
                    for share, value in zip(GROUP_QUANTILES, group.quantiles, strict=False)
                ],
            }
        )
    notes = []
    if groups.low is not None and groups.high is not None:
        span = f"from {groups.low:.3g} to {groups.high:.3g}"
        notes.append(
            f"All histograms go {span}, each as high as its fullest bar; below it are quantiles of the scores."
        )
    if groups.other_groups:
        notes.append(
            f"{counted(groups.other_groups, 'smaller group')} with "
            f"{counted(groups.other_rows, 'row is', 'rows are')} not shown."
        )
    title = f"Scores by {groups.column}" if notes and groups.low is not None else f"Rows by {groups.column}"
    return {"title": title, "cards": cards, "note": " ".join(notes)}


def _batches(total: ResultFile) -> str:
    """Return how full the micro-batches were, in words; a rank job does not say."""
    seconds = f"{total.model_seconds:,.1f} s in the model"
    if not total.capacity:
        return seconds
    tokens, fill = total.tokens / max(1, total.micro_batches), total.tokens / total.capacity
    return f"micro-batches of {tokens:,.0f} tokens on average, {fill:.0%} of the most, {seconds}"
