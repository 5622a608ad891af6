"""The job of a filter's section `run`, which scores the table first."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.common.errors import ConfigError
from pipeline.config.job import JobConfig
from pipeline.results.reader import read_summary
from pipeline.scoring.run import job_identity, run
from pipeline.stages.checkpoints import check_models, fit_inputs
from pipeline.tables.table import InputTable, open_table


@dataclass(frozen=True)
class ScoringJob:
    """A job that is ready to run.

    Attributes:
        config: The job.
        table: Its table.
        identity: What makes it the same job.
    """

    config: JobConfig
    table: InputTable
    identity: dict[str, str]

    @classmethod
    def prepare(cls, config: JobConfig) -> ScoringJob:
        """Open the table and check the checkpoints.

        Raises:
            ConfigError: Something does not fit.
        """
        config = fit_inputs(config)
        table = open_table(config)
        return cls(config, table, job_identity(table, check_models(config)))

    def run(self, overwrite: bool) -> None:
        """Make the results, unless they are there.

        Args:
            overwrite: Whether to replace results of another model or table.
        """
        anew = overwrite and not self._is_made()
        output = self.config.output.model_copy(update={"overwrite": anew})
        run(self.config.model_copy(update={"output": output}))

    def _is_made(self) -> bool:
        """Whether the output holds the results of this very job."""
        try:
            made = read_summary(self.config.output.path, "output.path", self.config.storage).get("identity")
        except ConfigError:  # there are none
            return False
        return bool(made == self.identity)
