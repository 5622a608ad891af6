"""Check that the keys of `output` fit the rest of a job."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.common.tasks import Task
from pipeline.config.input import InputConfig
from pipeline.config.output import OutputConfig


def check_output(output: OutputConfig, source: InputConfig, adds_to_input: bool) -> None:
    """Check the keys of `output` that only some formats have, and that results and input do not share a folder.

    Args:
        output: The section `output`.
        source: The section `input`.
        adds_to_input: Whether results become columns of the input table itself.

    Raises:
        ValueError: They do not fit.
    """
    within = f"{output.path.rstrip('/')}/".startswith(f"{source.path.rstrip('/')}/")
    if within and source.files is None and not adds_to_input:
        raise ValueError(
            f"output.path: {output.path!r} is in the input's folder {source.path!r}, where the next run "
            "would read it: choose another"
        )
    if output.retention_days is not None and output.format != "delta":
        raise ValueError("output.retention_days: earlier versions are kept with output.format=delta only")
    if output.allow_empty and output.format != "delta":
        raise ValueError("output.allow_empty: a table of results follows its input with output.format=delta only")
    if source.verify is not None and output.format != "delta":
        raise ValueError(
            f"input.verify: {source.verify!r}, but a table of results follows its images with "
            "output.format=delta only: leave the key out"
        )
    if output.rows_per_file is not None and output.keep_image:
        raise ValueError(
            f"output.rows_per_file: {output.rows_per_file}, but with output.keep_image bytes decide when a file is "
            "written: leave one out"
        )
    if output.retry_errors is not None and output.format != "delta":
        raise ValueError(
            "output.retry_errors: counted in Delta tables only; leave it out, and use --retry-errors, or set "
            "output.format=delta"
        )


def check_files(output: OutputConfig, source: InputConfig, tasks: Collection[Task], adds_to_input: bool) -> None:
    """Check which files of results the keys ask for. See `check_output`."""
    for key in ("join", *(("keep_image", "file_bytes") if adds_to_input else ())):
        if getattr(output, key) and output.format == "lance":
            raise ValueError(f"output.{key}: is for output.format=parquet; a Lance table has its own rows and files")
    if adds_to_input and source.filter is not None:
        raise ValueError(
            "input.filter: given with results that become columns of the table itself, of which every row has a "
            "value: leave it out, or choose another output.path"
        )
    if output.member is not None and output.format != "webdataset":
        raise ValueError("output.member: names a member of tars, and is for output.format=webdataset only")
    if "rank" in tasks and output.format != "parquet":
        raise ValueError(
            f"output.format: {output.format!r}, but rank writes two tables of Parquet files: use `vilt rank`"
        )
    if output.join and output.format == "delta":
        raise ValueError(
            "output.join: is for output.format=parquet; a Delta table's log says what its files are: leave it out"
        )
    for key in ("join", "file_bytes", "keep_image"):
        if getattr(output, key) and output.format == "webdataset":
            raise ValueError(
                f"output.{key}: is for output.format=parquet; results in tars have the samples, pictures and files "
                "of the input: leave it out"
            )
    if output.join and "rank" in tasks:
        raise ValueError("output.join: true, but rank writes two tables of its own: leave the key out")
    if output.join and output.file_bytes:
        raise ValueError("output.file_bytes: with output.join there is one file for each of the input: leave it out")


def check_shard(output: OutputConfig, source: InputConfig, tasks: Collection[Task]) -> None:
    """Check that a shard of a table can be written as `output` says. See `check_output`."""
    if source.shard is None:
        return
    if output.format in ("lance", "delta"):
        raise ValueError(
            f"input.shard: given with output.format={output.format}, a table that one run at a time may change: "
            "leave output.format out, and make the shards' Parquet files one result with `vilt merge`"
        )
    if output.join:
        raise ValueError(
            "input.shard: given with output.join, though a file of the input may be divided among shards: leave "
            "one of them out; `vilt merge` makes one result of all shards"
        )
    if output.format == "webdataset":
        raise ValueError(
            "input.shard: given with output.format=webdataset: leave it out, and give each run its own tars, as in "
            "input.path=s3://b/{00000..00099}.tar, and its own output.path"
        )
    if "rank" in tasks:
        raise ValueError(
            "input.shard: given for rank, which keeps the best images of each text among all: run it in one piece, "
            "on a cluster"
        )
