"""Which version of a Lance dataset a job reads that adds columns to it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pipeline.common.errors import ConfigError
from pipeline.common.tasks import result_columns
from pipeline.config.job import JobConfig
from pipeline.results.input_files import InputFiles
from pipeline.results.lance_results import LanceTarget
from pipeline.results.output_folder import BASE
from pipeline.results.work_folder import PROGRESS, SUMMARY, WorkFolder
from pipeline.storage.filesystem import open_fsspec

VERSION = "version"


def job_id(identity: dict[str, Any], written: str) -> str:
    """Return what a commit says of the job that made it.

    Args:
        identity: See `PreparedJob.identity`.
        written: See `pipeline.results.results_version`.
    """
    return hashlib.sha256(json.dumps([sorted(identity.items()), written]).encode()).hexdigest()


def pinned_to_job(config: JobConfig) -> JobConfig:
    """Return the config with the version of the input that the job in its output has read, if it adds columns to it.

    The job's own commit makes another version the latest. A run that resumes, or has nothing left to do, reads the one
    before.

    Raises:
        ConfigError: The table has such columns, which no job of this config has written.
    """
    spec = config.input
    if not config.adds_to_input or spec.version is not None or spec.timestamp is not None:
        return config
    filesystem, path = open_fsspec(config.output.path, "output.path", config.storage)
    target, out = LanceTarget.at(filesystem, path, config.storage), WorkFolder(filesystem, path.rstrip("/"))
    unfinished = WorkFolder(filesystem, f"{out.path}/{PROGRESS}").read(BASE)
    version = None
    if unfinished is not None:
        version = None if config.output.overwrite and target.latest() != unfinished[VERSION] else unfinished[VERSION]
    elif (summary := out.read(SUMMARY)) and (files := InputFiles.read(filesystem, out.path)) and files.version:
        number = int(files.version.rpartition(" ")[2])
        if target.committed(number, job_id(summary["identity"], summary["written"])) == target.latest():
            version = number
    if version is not None:
        return config.model_copy(update={"input": spec.model_copy(update={"version": version})})
    held = set(target.columns())
    clash = [name for name in result_columns(config.tasks, bool(config.negatives)) if name in held]
    if clash:
        raise ConfigError(
            f"output.path: version {target.latest()} of {target.uri!r} has a column {clash[0]!r}, a name that the job "
            f"adds: drop it (dataset.drop_columns({clash!r})), or choose another output.path"
        )
    return config
