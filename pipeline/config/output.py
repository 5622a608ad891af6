"""Section `output`: where the results go."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.config.base import Section

FILE_BYTES = 2**26  # of a file that is published


class OutputConfig(Section):
    """Where the results go."""

    path: str = Field(description="folder for the Parquet files: a local path or s3://...")
    overwrite: bool = Field(False, description="replace what an earlier run wrote there")
    keep_image: bool = Field(False, description="carry the image column into the output")
    report: bool = Field(True, description="write _report.html")
    format: Literal["parquet", "delta"] = Field("parquet", description="Parquet files, or a Delta Lake table of them")
    retention_days: float | None = Field(
        None, ge=0, description="days for which earlier versions of a Delta table stay; default: forever"
    )
    retry_errors: int | None = Field(
        None,
        ge=0,
        description="how many later runs try a row of a Delta table again whose error may be transient; default: 10",
    )
    allow_empty: bool = Field(
        False, description="let `vilt reindex` empty a Delta table when all files of its input were deleted"
    )
    rows_per_file: int | None = Field(
        None,
        ge=1,
        description="rows after which a file is written, from which a stopped job resumes; default: by the size of the "
        "pool",
    )
    file_bytes: int | None = Field(
        None,
        ge=0,
        description="bytes that a published Parquet file has about, or more: smaller files are joined when the job is "
        "whole; 0: files stay as they were written; default: 64 MiB, or 0 with rows_per_file",
    )
    join: bool = Field(
        False,
        description="write the rows in the order of the input, one Parquet file of its name for each of its files",
    )

    @property
    def least_file_bytes(self) -> int:
        """Return the bytes below which published files are joined; 0 if they stay as they were written."""
        if self.file_bytes is not None:
            return self.file_bytes
        return FILE_BYTES if self.rows_per_file is None else 0
