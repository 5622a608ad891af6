"""Prepare a job: open, hash and check its table, checkpoints and texts, each once, before anything starts."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pipeline.config.job import JobConfig
from pipeline.scoring.sharding import with_shard
from pipeline.stages.checkpoints import Models, check_models, fit_inputs
from pipeline.tables.rank_texts import RankTexts
from pipeline.tables.rank_texts_reader import read_texts
from pipeline.tables.table import InputTable, open_table


@dataclass(frozen=True)
class PreparedJob:
    """A job whose inputs are open and fit together.

    Attributes:
        config: The job, with the columns that its family of models reads.
        table: The input.
        models: The checkpoints.
        texts: The texts of a rank job.
        seconds: How long preparing took.
    """

    config: JobConfig
    table: InputTable
    models: Models
    texts: RankTexts | None = None
    seconds: float = 0.0

    @property
    def identity(self) -> dict[str, str]:
        """Return what makes a job the same one, so that it resumes where it was stopped: key -> hash."""
        identity = {
            "model": self.models.lineage["vilt.weights_sha256"],
            "config": self.models.lineage["vilt.config_sha256"],
            "input": self.table.fingerprint,
        }
        if self.table.part is not None:
            identity["shard"] = str(self.table.part.shard)
        return {**identity, "texts": self.texts.fingerprint} if self.texts else identity


def prepare(config: JobConfig) -> PreparedJob:
    """Open, hash and check everything that a job reads.

    Raises:
        ConfigError: Anything is missing, cannot be read, or does not fit the rest; one line that says what.
    """
    started = time.monotonic()
    if config.adds_to_input:
        from pipeline.scoring.lance_output import pinned_to_job  # which imports this module

        config = pinned_to_job(config)
    config = fit_inputs(with_shard(config))
    table = open_table(config)
    models = check_models(config)
    texts = read_texts(config, table) if config.texts else None
    return PreparedJob(config, table, models, texts, time.monotonic() - started)
