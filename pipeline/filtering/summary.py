"""The summary of a filter: what it read, kept and dropped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.common.invocation import command
from pipeline.common.redaction import redacted
from pipeline.common.row_ids import shown_key
from pipeline.common.row_ranges import ROW_BITS
from pipeline.config.filter import FilterConfig
from pipeline.filtering.selection import Selection
from pipeline.results.distribution import Distribution, distribution, examples
from pipeline.results.reader import Results
from pipeline.tables.table import TableFiles


@dataclass(frozen=True)
class FilterSummary:
    """The outcome of a filter.

    Attributes:
        output: The config's `output.path`.
        rows_in: Rows of the table.
        kept: Rows that were kept.
        dropped: Reason -> rows that were dropped.
        keep: The section of the config.
        score: The column that was compared.
        lowest_kept: The lowest score that was kept.
        scores_from: The folder of the results.
        scores: A `pipeline.results.distribution.Distribution`.
        examples: Kind -> rows of the table, by file and row.
        input: The section of the config, with the columns that were scored.
        seconds: From the start of the work to its end, scoring included.
        files: The files that hold the kept rows, below the output: Parquet files, or tars.
        lineage: What made the scores.
        identity: What makes a filter the same one.
        tasks: ["filter"].
        finished_before: Whether nothing was left to do.
        command: The command, without secrets; "" if a program has called the pipeline.
        config: The keys of the config that are set, without secrets.
        finished_at: When the rows were selected and copied, seconds since 1970; 0 if it is not known.
        key_files: The lists of keys of the kept rows, below the output.
    """

    output: str
    rows_in: int
    kept: int
    dropped: dict[str, int]
    keep: dict[str, Any]
    score: str | None
    lowest_kept: float | None
    scores_from: str
    scores: dict[str, Any] | None
    examples: dict[str, list[dict[str, Any]]]
    input: dict[str, Any]
    seconds: float
    files: list[str]
    lineage: dict[str, str]
    identity: dict[str, str]
    tasks: list[str] = field(default_factory=lambda: ["filter"])
    finished_before: bool = False
    command: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    finished_at: float = 0.0
    key_files: list[str] = field(default_factory=list)


def summarise(
    config: FilterConfig,
    table: TableFiles,
    results: Results,
    selection: Selection,
    kept: Mapping[str, int],
) -> FilterSummary:
    """Return the summary of a filter whose files are copied, but for its seconds, identity and scored columns.

    Args:
        config: The filter.
        table: The table.
        results: The scores.
        selection: What was decided.
        kept: The files of kept rows, by their names below the output, and the rows of each.
    """
    lowest = selection.lowest_kept()
    scores = distribution(selection.database, "(SELECT *, reason IS NULL AS kept FROM verdict)")
    return FilterSummary(
        output=redacted(config.output.path),
        rows_in=table.rows,
        kept=sum(kept.values()),
        dropped=selection.counts(),
        keep=config.keep.model_dump(exclude_defaults=True),
        score=config.keep.score or results.score_column,
        lowest_kept=lowest,
        scores_from=redacted(results.uri),
        scores=asdict(scores) if scores else None,
        examples=_examples(table, selection, scores, lowest),
        input=config.input.stored(),
        seconds=0.0,
        files=list(kept),
        lineage=results.lineage,
        identity={},
        command=command(),
        config=config.stored(),
        finished_at=round(time.time(), 3),
    )


def _examples(
    table: TableFiles, selection: Selection, scores: Distribution | None, lowest: float | None
) -> dict[str, list[dict[str, Any]]]:
    """Return some rows of each kind; see `pipeline.results.distribution.examples`."""
    if scores is None:
        return {}
    middle = scores.median if lowest is None else lowest
    found = examples(selection.database, "verdict", "row_key, row_id, score, reason", middle)
    for rows in found.values():
        for row in rows:
            row_key = row.pop("row_key")
            row["row_id"] = shown_key(row["row_id"], selection.id_type)
            row |= {"file": table.files[row_key >> ROW_BITS].name, "row": row_key & (1 << ROW_BITS) - 1}
    return found
