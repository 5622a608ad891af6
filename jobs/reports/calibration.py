"""What a labelled sample says about scores: a table for a person, values for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import RenderableType

from jobs.console.tables import columns, facts, lines, stacked
from pipeline.evaluation.calibration import FEWEST, Calibration, Cut, Share, wilson
from vilt.common.counts import counted

HEADER = ("keep.min_score", "kept", "good of these", "of the good ones", "labelled")


def calibration_table(found: Calibration, precision: float) -> RenderableType:
    """Lay out a line for each threshold, and the one that reaches a precision."""
    good = wilson(found.good, found.labelled)
    head = [("rows", f"{found.rows:,} with a score"), ("labelled", f"{found.labelled:,}, {_share(good)} good")]
    if found.unlabelled:
        head.append(("left out", f"{counted(found.unlabelled, 'row')} of the sample without a label"))
    if found.auc is not None:
        head.append(("ranking", f"a good row scores higher than another in {found.auc:.1%} of pairs (AUC)"))
    cuts = [_row(cut) for cut in found.cuts]
    return stacked(
        [facts(head), columns(HEADER, cuts, numbers={0, 1, 4}), lines(*_proposal(found, precision))], gap=True
    )


def calibration_values(found: Calibration, precision: float) -> dict[str, Any]:
    """Return the same as JSON values."""
    return {**asdict(found), "precision": precision}


def _row(cut: Cut) -> list[str]:
    return [_threshold(cut), f"{cut.kept:.1%}", _share(cut.precision), _share(cut.recall), f"{cut.labelled:,}"]


def _threshold(cut: Cut) -> str:
    """Return a threshold with all its digits: of fewer it might be above the score that it was taken from."""
    return f"{cut.min_score:.15g}"


def _share(share: Share | None) -> str:
    return "?" if share is None else f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


def _proposal(found: Calibration, precision: float) -> list[str]:
    cut = found.proposed
    if cut is None:
        return [
            f"no threshold that keeps {FEWEST} labelled rows or more has {precision:.0%} good ones: label more rows, "
            "or ask for less with --precision"
        ]
    return [
        f"for {precision:.0%} good rows:  keep: {{min_score: {_threshold(cut)}}}",
        f"keeps {cut.kept:.1%} of all rows, of which {_share(cut.precision)} are good: "
        f"{_share(cut.recall)} of the good rows",
        "in brackets: where the share of all rows lies, in 95 of 100 such samples",
    ]
