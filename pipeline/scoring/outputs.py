"""Where the results of a job go: what `output.format` names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.results.results_version import member_name
from pipeline.scoring.parquet_output import ParquetOutput
from vilt.common.counts import counted

if TYPE_CHECKING:
    from pipeline.scoring.prepare import PreparedJob


def output_of(job: PreparedJob, retry_errors: bool = False) -> ParquetOutput:
    """Return the output of a job, but for Delta tables and rank.

    Args:
        job: The job.
        retry_errors: Repeat the rows of finished results whose error may pass.

    Raises:
        ConfigError: The output cannot hold the results.
    """
    if job.config.output.format == "webdataset":
        from pipeline.scoring.tar_output import TarOutput

        return TarOutput(job, retry_errors)
    if job.config.output.format == "lance":
        from pipeline.scoring.lance_output import LanceOutput

        return LanceOutput(job, retry_errors)
    return ParquetOutput(job, retry_errors)


def output_text(job: PreparedJob) -> str:
    """Return in words what a job writes, if it is not Parquet files alone; else "".

    Raises:
        ConfigError: The output cannot hold the results.
    """
    config = job.config
    if config.output.format == "webdataset":
        output_of(job)
        member = member_name(config)
        what = "in each sample's .json" if member == "json" else f"a member {member} for each sample"
        return f"{counted(len(job.table.files), 'tar')}, those of the input with {what}; and Parquet files"
    if config.output.format == "lance":
        output_of(job)
        what = "columns of the input, a Lance dataset" if config.adds_to_input else "a Lance dataset"
        return f"{what}; and Parquet files"
    return "a Delta table" if config.output.format == "delta" else ""
