"""A job over one shard of a table: its number from the scheduler, its folder below the output."""

from __future__ import annotations

import os

from pipeline.config.job import JobConfig
from pipeline.config.shard import resolve_shard
from pipeline.monitoring.events import emit


def with_shard(config: JobConfig) -> JobConfig:
    """Return the config of a shard: `input.shard` as a number, and `output.path` as the shard's own folder.

    A config that has these already, or names no shard, is returned as it is.

    Raises:
        ConfigError: No variable names the shard, or its value is out of range.
    """
    if config.input.shard is None:
        return config
    shard, variable = resolve_shard(config.input.shard, os.environ)
    if variable:
        text = f"shard {shard.index:,} of {shard.count:,}, numbered from 0: {variable}"
        emit("shard", text, shard=shard.index, shards=shard.count, variable=variable.partition("=")[0])
    path = config.output.path.rstrip("/")
    if path.rpartition("/")[2] != shard.folder:
        path = f"{path}/{shard.folder}"
    return config.model_copy(
        update={
            "input": config.input.model_copy(update={"shard": str(shard)}),
            "output": config.output.model_copy(update={"path": path}),
        }
    )
