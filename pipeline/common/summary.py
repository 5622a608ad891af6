"""The summary of a job: what it read, wrote and rejected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.common.tasks import Task
from vilt.common.counts import counted


@dataclass(frozen=True)
class Summary:
    """The outcome of a job, over all its runs.

    Attributes:
        tasks: The tasks of the job.
        output: The output folder.
        rows_in: Rows of the input.
        rows_out: Rows of the input that have results.
        pairs: Rows of the output; for a rank job the pairs that were scored.
        scored: Rows of the output that are not rejected.
        rejected: Error code -> rows of the output.
        texts_truncated: Rows of the output of whose text the model read the beginning alone; for a rank job, texts.
        seconds: Time of the run that finished the job, from the start of the flow to its end, model loading included.
        pairs_per_second: Rate of that run.
        model_seconds: Seconds in the model, summed over actors and runs.
        micro_batches: Number of micro-batches.
        tokens: Tokens that the model read.
        batch_fill: Tokens by those that the micro-batches could have held, 0 to 1.
        files: Files of the results, relative to the output folder.
        lineage: What made the results, as in the footer of every file.
        identity: What makes it the same job: key -> hash.
        resumed_rows: Rows of the input that earlier runs had done.
        input: The section `input` of the config.
        finished_before: Nothing was left to do.
        parts: What the time of that run went into -> seconds: prepare (table, checkpoints), start (Ray), rows.
        written: Hash of what the code writes, see `pipeline.results.results_version`.
        command: The command of the run that finished the job, without secrets; "" if a program has called the pipeline.
        config: The keys of the config that are set, without secrets.
        finished_at: When the job finished, seconds since 1970; 0 if it is not known.
        repeated_rows: Rows that were scored again in that run, since an actor or a node was lost.
        candidates: Of a rank job whose candidates were found by vectors: `n` images of each text, and how many of the
            `best` images of `texts` texts that were read with all images are candidates, `found`.
        committed: The version of the table that the results became, in words; "" if they are files alone.
    """

    tasks: list[Task]
    output: str
    rows_in: int
    rows_out: int
    pairs: int
    scored: int
    rejected: dict[str, int]
    seconds: float
    pairs_per_second: float
    model_seconds: float
    micro_batches: int
    tokens: int
    batch_fill: float
    files: list[str]
    lineage: dict[str, str]
    identity: dict[str, str]
    resumed_rows: int
    input: dict[str, Any] = field(default_factory=dict)
    finished_before: bool = False
    texts_truncated: int = 0
    parts: dict[str, float] = field(default_factory=dict)
    written: str = ""
    command: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    finished_at: float = 0.0
    repeated_rows: int = 0
    candidates: dict[str, int] = field(default_factory=dict)
    committed: str = ""


def candidates_line(found: Mapping[str, int]) -> str:
    """Return what a first stage has found, and its recall; found: `Summary.candidates`."""
    nearest = counted(found["n"], "nearest image of each text", "nearest images of each text")
    if not found["texts"]:
        return f"{nearest}; recall not measured: no text was read with all images (texts.candidates.recall_texts)"
    share = found["found"] / found["best"] if found["best"] else 0.0
    return (
        f"{nearest}; recall {share:.1%}: {found['found']:,} of the {counted(found['best'], 'best image')} of "
        f"{counted(found['texts'], 'text that was', 'texts that were')} read with all images"
    )
