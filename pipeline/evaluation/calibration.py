"""How good the rows above each score are, from a sample that a person has labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.common.columns import ROW_ID, TEXT_INDEX
from pipeline.common.errors import ConfigError, first_line
from pipeline.common.row_ids import ids_from_texts, keys_of, shown_id
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.scored_rows import ScoredRows, scored_rows
from pipeline.tables.reading import read_columns
from pipeline.tables.schemas import require_column
from pipeline.tables.table import open_files
from vilt.common.counts import counted

GOOD = "good"  # the column of labels
YES, NO = {"1", "true", "yes", "y", "good"}, {"0", "false", "no", "n", "bad"}
Z = 1.959964  # of the normal distribution, for an interval of 95 %
KEPT_SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)
FEWEST = 20  # labelled rows that a threshold is proposed from
DIGITS = 4  # of a threshold after the point


@dataclass(frozen=True)
class Share:
    """A share of labelled rows, with the interval of 95 % in which that of all rows lies.

    Attributes:
        value: The share, 0 to 1.
        low: The lower end of Wilson's interval.
        high: The upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Cut:
    """A threshold with the share of rows that it keeps, and how many of these are good.

    Attributes:
        min_score: The threshold: rows with this score or more are kept.
        kept: The share of all rows that is kept.
        labelled: How many of the labelled rows are kept.
        precision: The share of good rows among those that are kept; None if none is labelled.
        recall: The share of the good rows that is kept; None if none is good.
    """

    min_score: float
    kept: float
    labelled: int
    precision: Share | None
    recall: Share | None


@dataclass(frozen=True)
class Calibration:
    """The result of a labelled sample: how well scores tell good rows from others.

    Attributes:
        rows: How many rows have a score.
        labelled: How many of them have a label.
        good: How many of these are good.
        unlabelled: Rows of the sample without a label.
        auc: How often a good row has a higher score than one that is not; equal scores count half. None if all have
            the same label.
        cuts: Thresholds, the lowest first.
        proposed: The lowest threshold whose precision is what was asked for; None if none is.
    """

    rows: int
    labelled: int
    good: int
    unlabelled: int
    auc: float | None
    cuts: list[Cut]
    proposed: Cut | None


def calibrate(uri: str, labels: str, storage: StorageConfig, precision: float = 0.9) -> Calibration:
    """Measure what each threshold keeps.

    Args:
        uri: The output folder of a job that has scores.
        labels: A table with the columns `row_id`, `good`, and `text_index` if rows have several texts. The labelled
            rows must be drawn at random, see `pipeline.evaluation.label_sample`.
        storage: How to reach both.
        precision: The share of good rows that is asked for, 0 to 1.

    Raises:
        ConfigError: The output or the labels cannot be read, or do not fit together.
    """
    with scored_rows(uri, storage) as scored:
        given, unlabelled = _read_labels(labels, scored, storage)
        scores, good = _join(given, scored, labels)
        thresholds = _thresholds(scored)
        cuts = [_cut(threshold, scores, good, scored) for threshold in thresholds]
        proposed = _propose(scores, good, precision)
        return Calibration(
            scored.rows,
            len(scores),
            int(good.sum()),
            unlabelled,
            _auc(scores, good),
            cuts,
            None if proposed is None else _cut(proposed, scores, good, scored),
        )


def wilson(count: int, total: int) -> Share | None:
    """Return a share with Wilson's score interval of 95 % (Wilson 1927, JASA 22, p. 209); None of nothing."""
    if not total:
        return None
    share, weight = count / total, Z * Z / total
    middle, half = share + weight / 2, Z * sqrt(share * (1 - share) / total + weight / (4 * total))
    return Share(share, max(0.0, (middle - half) / (1 + weight)), min(1.0, (middle + half) / (1 + weight)))


def _read_labels(uri: str, scored: ScoredRows, storage: StorageConfig) -> tuple[pa.Table, int]:
    """Return row_id (as keys), text_index and good of the rows with a label, and how many have none."""
    table = open_files(InputConfig(path=uri), storage)
    names = [ROW_ID, *([TEXT_INDEX] if scored.several_texts else []), GOOD]
    for name in names:
        require_column(table.schema, "LABELS", name)
    rows = [row for window in read_columns(table, names, 2**16) for row in _plain(window, names)]
    labelled = [row for row in rows if row[-1] is not None]
    try:
        ids = ids_from_texts([row[0] for row in labelled], scored.id_type)
        indices = pa.array([int(row[1] or "") if scored.several_texts else 0 for row in labelled], pa.int32())
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise ConfigError(
            f"LABELS: {' or '.join(names[:-1])} of {uri!r} is not of the results' type, {scored.id_type}: "
            f"{first_line(error)}; take the rows from `vilt calibrate OUT --sample`"
        ) from None
    good = pa.array([_label(row[-1], uri) for row in labelled], pa.bool_())
    return pa.table({ROW_ID: keys_of(ids), TEXT_INDEX: indices, GOOD: good}), len(rows) - len(labelled)


def _plain(window: pa.Table, names: Sequence[str]) -> list[list[str | None]]:
    """Return the values of each row as texts; None for a null and for an empty text."""
    columns = [[shown_id(v) if v.is_valid else None for v in window[name]] for name in names]
    return [[(value or "").strip() or None for value in row] for row in zip(*columns, strict=True)]


def _label(text: str | None, uri: str) -> bool:
    value = (text or "").lower().removesuffix(".0")
    if value not in YES | NO:
        raise ConfigError(f"LABELS: column 'good' of {uri!r} holds {text!r}; write 1 or 0, yes or no, true or false")
    return value in YES


def _join(labels: pa.Table, scored: ScoredRows, uri: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return the score and the label of each labelled row. Raises ConfigError if they do not fit together."""
    scored.database.register("labels", labels)
    keys = "row_id, text_index"
    twice = scored.database.execute(f"SELECT row_id FROM labels GROUP BY {keys} HAVING count(*) > 1 LIMIT 1").fetchall()
    if twice:
        raise ConfigError(f"LABELS: {uri!r} has several labels for row_id {twice[0][0]!r}; leave one")
    found = scored.database.execute(
        f"SELECT score, good FROM labels JOIN scored USING ({keys}) ORDER BY score"
    ).fetchnumpy()
    scored.database.unregister("labels")
    if len(found["score"]) < labels.num_rows:
        raise ConfigError(
            f"LABELS: {labels.num_rows - len(found['score']):,} of the {counted(labels.num_rows, 'labelled row')} have "
            f"no score in {scored.uri!r}: are they of another table?"
        )
    if len(found["score"]) > labels.num_rows:
        raise ConfigError(
            f"LABELS: several rows of {scored.uri!r} have the same row_id; score the table with distinct ids"
        )
    if not labels.num_rows:
        raise ConfigError(f"LABELS: no row of {uri!r} has a label in column 'good'; write 1 or 0 there")
    return np.asarray(found["score"], np.float64), np.asarray(found["good"], np.bool_)


def _thresholds(scored: ScoredRows) -> list[float]:
    """Return the scores above which the shares `KEPT_SHARES` of all rows lie, each once."""
    quantiles = ", ".join(f"{1 - share:.2f}" for share in KEPT_SHARES)
    found: Any = scored.database.execute(f"SELECT quantile_disc(score, [{quantiles}]) FROM scored").fetchall()[0][0]
    return sorted({_rounded_down(float(score)) for score in found or []})


def _cut(threshold: float, scores: npt.NDArray[np.float64], good: npt.NDArray[np.bool_], scored: ScoredRows) -> Cut:
    query = "SELECT count(*) FILTER (score >= ?) / count(*) FROM scored"
    share = float(scored.database.execute(query, [threshold]).fetchall()[0][0])
    kept = scores >= threshold
    right = int((kept & good).sum())
    return Cut(threshold, share, int(kept.sum()), wilson(right, int(kept.sum())), wilson(right, int(good.sum())))


def _propose(scores: npt.NDArray[np.float64], good: npt.NDArray[np.bool_], precision: float) -> float | None:
    """Return the lowest threshold with this precision among the labelled rows, of which it keeps at least `FEWEST`."""
    for threshold in sorted({_rounded_down(float(score)) for score in scores}):
        kept = scores >= threshold
        if kept.sum() < FEWEST:
            return None
        if good[kept].mean() >= precision:
            return threshold
    return None


def _auc(scores: npt.NDArray[np.float64], good: npt.NDArray[np.bool_]) -> float | None:
    """Return how often a good row has the higher score; the Mann-Whitney statistic as a share of all pairs."""
    high, low = np.sort(scores[good]), np.sort(scores[~good])
    if not len(high) or not len(low):
        return None
    below = np.searchsorted(low, high, "left").sum() + np.searchsorted(low, high, "right").sum()
    return float(below / 2 / len(high) / len(low))


def _rounded_down(score: float) -> float:
    """Return a score in few digits, not above it, so that the threshold keeps the row that it was taken from."""
    return floor(score * 10**DIGITS) / 10**DIGITS
