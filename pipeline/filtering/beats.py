"""`keep.beats`: a row's own text must score higher than other texts of the same image, by a margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.common.columns import NEGATIVE_SCORES
from pipeline.common.errors import ConfigError
from pipeline.config.filter import BeatsConfig
from pipeline.config.negatives import NEGATIVES
from pipeline.filtering.sql import SqlNames, literal
from pipeline.results.reader import Results
from vilt.common.json_text import read_json

OWN_SCORE = "score"  # the column of the task `score`
NO_NEGATIVE_SCORE = "no score of the texts to beat"


@dataclass(frozen=True)
class NegativeScores:
    """The scores of the texts to beat, in results that hold them.

    Attributes:
        beats: The section of the config.
        positions: Where the texts stand in the lists of `negative_scores`, from 1.
        length: How many scores each list has.
    """

    beats: BeatsConfig
    positions: Sequence[int]
    length: int

    def sql(self, names: SqlNames) -> tuple[str, str, str]:
        """Return three SQL expressions over the results.

        They are the lead of the own score over the highest of the others, that highest, and which text has it,
        from 1. All are null if the result has no such scores.
        """
        column = names.column(NEGATIVE_SCORES)
        others = f"list_select({column}, [{', '.join(map(str, self.positions))}])"
        highest = f"CASE WHEN len({column}) = {self.length} THEN list_max({others}) END"
        lead = f"{names.column(OWN_SCORE)}::DOUBLE - ({highest})::DOUBLE"
        return lead, highest, f"list_position({others}, {highest})"

    def reasons(self) -> list[str]:
        """Return branches of CASE over these expressions, named lead, negative and strongest."""
        by = f" by {self.beats.margin:g}" if self.beats.margin else ""
        texts = " ".join(
            f"WHEN {number} THEN {literal(f'does not beat {text!r}{by}')}"
            for number, text in enumerate(self.beats.texts, 1)
        )
        return [
            f"WHEN lead IS NULL THEN '{NO_NEGATIVE_SCORE}'",
            f"WHEN lead < {self.beats.margin!r}::DOUBLE THEN CASE strongest {texts} END",
        ]


def find_negatives(beats: BeatsConfig, results: Results) -> NegativeScores:
    """Find the scores of the texts to beat in results.

    Raises:
        ConfigError: The results do not hold them.
    """
    found = _negatives_in(results)
    for text in beats.texts:
        if text not in found:
            held = f"those of {', '.join(map(repr, found))} alone" if found else "none of such texts"
            raise ConfigError(
                f"keep.beats: {results.uri!r} has no scores of {text!r}, but {held}: score the table again with "
                "negatives: [...] in the file of the job, or give the job as `run` in place of `scores`"
            )
    return NegativeScores(beats, [found.index(text) + 1 for text in beats.texts], len(found))


def _negatives_in(results: Results) -> list[str]:
    """Return the texts whose scores stand in `negative_scores`, in their order; none if results hold no such scores."""
    stored = {metadata.get(NEGATIVES) for metadata in results.metadata}
    if len(stored) > 1:
        raise ConfigError(f"keep.beats: the files in {results.uri!r} hold scores of different negatives: of two jobs?")
    text = next(iter(stored), None)
    if text is None or not {NEGATIVE_SCORES, OWN_SCORE} <= {*results.schema.names}:
        return []
    try:
        found = read_json(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ConfigError(f"keep.beats: {NEGATIVES} in the files of {results.uri!r} is damaged")
    return found
