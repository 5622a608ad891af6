"""The version of the code that decides which columns and values a job writes, beside model, config and input."""

from __future__ import annotations

import hashlib
import json

from pipeline.config.job import JobConfig

RESULTS_VERSION = 3  # raised when the code gives other values for the same row, so that tables are made anew
INT8_VERSION = 2  # the same for values in int8 alone


def written_sha256(config: JobConfig) -> str:
    """Return a hash of what the code writes: rows of results with different ones do not belong into one table."""
    columns = config.added_columns
    written = {"columns": columns, "image": config.output.keep_image, "version": RESULTS_VERSION}
    if config.precision == "int8":
        written["int8"] = INT8_VERSION
    if config.output.join:  # whose unfinished files have one more column
        written["join"] = True
    if config.output.format == "webdataset":
        written["member"] = member_name(config)
    if config.output.format == "lance":
        written["lance"] = "columns" if config.adds_to_input else "table"
    return hashlib.sha256(json.dumps(written).encode()).hexdigest()


def member_name(config: JobConfig) -> str:
    """Return what follows the key in the name of the member with a sample's result, in tars."""
    return config.output.member or f"{'_'.join(config.tasks)}.json"
