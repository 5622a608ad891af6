"""Section `output`: where the results go."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from pipeline.config.base import Section

FILE_BYTES = 2**26  # of a file that is published
MEMBER = re.compile(r"([a-z0-9_-]+\.)*json")


class OutputConfig(Section):
    """Where the results go."""

    path: str = Field(description="folder for the Parquet files: a local path or s3://...")
    overwrite: bool = Field(False, description="replace what an earlier run wrote there")
    keep_image: bool = Field(False, description="carry the image column into the output")
    report: bool = Field(True, description="write _report.html")
    format: Literal["parquet", "delta", "webdataset", "lance"] = Field(
        "parquet",
        description="Parquet files, a Delta Lake table of them, a Lance dataset, or, for tars as input, tars with the "
        "results added",
    )
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
        description="bytes that a published Parquet file, or one of a Delta table, has about, or more: smaller files "
        "are joined when the job is whole; 0: files stay as they were written; default: 64 MiB, 0 with rows_per_file",
    )
    join: bool = Field(
        False,
        description="write the rows in the order of the input, one Parquet file of its name for each of its files",
    )
    member: str | None = Field(
        None,
        description="what follows the key in the name of the member with a sample's result, in tars; json: the result "
        "goes into the sample's own .json; default: the tasks, as in score.json",
    )

    @field_validator("member")
    @classmethod
    def _member_is_json(cls, value: str | None) -> str | None:
        if value is not None and not MEMBER.fullmatch(value):
            raise ValueError(
                f"output.member: {value!r} is no end of a JSON member's name; write json, or lower-case letters, "
                "digits, _ and - before .json, as in score.json"
            )
        return value

    @property
    def least_file_bytes(self) -> int:
        """Return the bytes below which published files are joined; 0 if they stay as they were written."""
        if self.file_bytes is not None:
            return self.file_bytes
        return FILE_BYTES if self.rows_per_file is None else 0
