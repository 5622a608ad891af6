"""The checkpoints of a job, checked before any row is read: their families, heads, and lineage.

Torch, which takes a second or two to import, is imported when weights are read: faults of configs are reported before.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.common.errors import ConfigError, first_line
from pipeline.common.redaction import redacted
from pipeline.common.suggestions import nearest
from pipeline.common.tasks import PUBLISHED, TASKS, Task
from pipeline.config.job import JobConfig
from pipeline.config.negatives import NEGATIVES, stored_negatives
from pipeline.storage.filesystem import model_folder, storage_errors
from vilt.common.configuration import Config
from vilt.common.counts import counted
from vilt.common.folder import ZOO, Folder
from vilt.inference.preprocessor import AnyPreprocessor, ImagePreprocessor
from vilt.models.family import ModelFamily
from vilt.models.registry import families_with, family_of_config, read_config

PACKAGES = ("vilt-pipeline", "torch", "ray", "pyarrow", "pillow", "tokenizers")


@dataclass(frozen=True)
class Models:
    """The checkpoints of a job, as far as it needs to know them.

    Attributes:
        lineage: Keys and values for the footers of results.
        images: How many images the model reads with a text.
        weights: The sha256 of each checkpoint's weights, by its URI.
    """

    lineage: dict[str, str]
    images: int
    weights: Mapping[str, str] = field(default_factory=dict)


class OpenCheckpoint(NamedTuple):
    """A checkpoint whose `config.json` was read.

    Attributes:
        folder: Its files.
        config: The config of its model.
        family: The family of its model.
    """

    folder: Folder
    config: Config
    family: ModelFamily


def open_checkpoints(config: JobConfig) -> dict[str, OpenCheckpoint]:
    """Open the checkpoints of a job, by their URIs, and read the config of each.

    Raises:
        ConfigError: One is missing, or its config cannot be read.
    """
    return {uri: _open(uri, config) for uri in config.models}


def fit_inputs(config: JobConfig, checkpoints: Mapping[str, OpenCheckpoint]) -> JobConfig:
    """Return the job with the columns that its model family reads.

    Args:
        config: The job.
        checkpoints: Its checkpoints, see `open_checkpoints`.

    Raises:
        ConfigError: The config names columns that the family does not read, or checkpoints of several families.
    """
    (first, (_, _, family)), *others = checkpoints.items()
    for uri, other in others:
        if other.family != family:
            raise ConfigError(
                f"model: {first!r} is {family.name} and {uri!r} is {other.family.name}; give them jobs of their own"
            )
    for task in config.tasks:
        if task not in family.tasks:
            able = " or ".join(one.name for one in families_with(task))
            raise ConfigError(f"model: {first!r} is {family.name}, which cannot {task}; name a checkpoint of {able}")
    spec = config.input
    what = f"{first!r} is {family.name}"
    if "regions" in family.reads and spec.features is None:
        raise ConfigError(
            f"input.features: missing; {what}, which reads the features of an image's regions: name their column"
        )
    if "regions" not in family.reads and spec.features is not None:
        reads = "images" if "image" in family.reads else "no regions"
        raise ConfigError(f"input.features: {what}, which reads {reads}; leave the key out")
    if "image" in family.reads and spec.image is None:
        raise ConfigError(f"input.image: null, but {what}, which reads images: name their column")
    if "text" in family.reads and spec.text is None:
        raise ConfigError(f"input.text: null, but {what}, which reads texts: name their column")
    unread = [key for key in ("image", "text") if key not in family.reads]
    for key in unread:
        if key in spec.model_fields_set and getattr(spec, key) is not None:
            if "regions" in family.reads:
                reads = "the regions in input.features, not images" if key == "image" else "regions, not texts"
            else:
                reads = "images alone" if key == "text" else "texts alone"
            raise ConfigError(
                f"input.{key}: {getattr(spec, key)!r}, but {what}, which reads {reads}: leave the key out"
            )
    return config.model_copy(update={"input": spec.model_copy(update=dict.fromkeys(unread))}) if unread else config


def may_lack_a_head(config: JobConfig, checkpoints: Mapping[str, OpenCheckpoint]) -> bool:
    """Return whether a head of a job may be missing, by what the configs of its checkpoints say; weights tell for sure.

    Args:
        config: The job.
        checkpoints: Its checkpoints, see `open_checkpoints`.
    """
    common = {spec.head for spec in TASKS.values() if spec.published}
    for uri, tasks in config.models.items():
        _, shape, family = checkpoints[uri]
        heads = getattr(family.predictor_class, "task_heads", {})
        for spec in (TASKS[task] for task in tasks if TASKS[task].head in heads):
            architecture, named = heads[spec.head].architecture, shape.architectures
            if named and architecture and architecture not in named:
                return True
            if not named and architecture and spec.head not in common:
                return True
    return False


def check_models(config: JobConfig, checkpoints: Mapping[str, OpenCheckpoint]) -> Models:
    """Hash every checkpoint; check that each has the heads of its tasks and that all preprocess alike.

    Args:
        config: The job.
        checkpoints: Its checkpoints, see `open_checkpoints`.

    Raises:
        ConfigError: A file is missing or cannot be read, a head is missing, or the checkpoints preprocess differently.
    """
    from vilt.checkpoints.description import describe

    preprocessors, hashes = [], {}
    words = None if config.tokenizer is None else model_folder(config.tokenizer, config.storage)
    for uri, tasks in config.models.items():
        folder, shape, family = checkpoints[uri]
        predictor = family.predictor_class
        try:
            preprocessors.append(predictor.preprocessor_class.from_pretrained(folder, shape, tokenizer=words))
            tensors, hashes[uri] = describe(folder, shape.model_type)
            predictor.check_tensors(tensors, shape, uri)
        except (*storage_errors(), ValueError, ImportError) as error:
            raise _unreadable(uri, error) from None
        if config.decode != "exact" and not isinstance(preprocessors[-1], ImagePreprocessor):
            raise ConfigError(f"decode: {config.decode!r}, but {uri!r} reads no encoded images; leave the key out")
        _check_heads(uri, tasks, list(predictor.heads_in(tensors, shape)))
    first, *others = config.models
    for uri, preprocessor in zip(others, preprocessors[1:], strict=True):
        if preprocessor.settings() != preprocessors[0].settings():
            raise ConfigError(f"model: {uri!r} and {first!r} preprocess differently; give them jobs of their own")
    _check_negatives(config, preprocessors[0])
    images = shape.images if config.tasks == ["reason"] else 1
    if len(config.image_columns) > 1 and len(config.image_columns) != images:
        raise ConfigError(
            f"input.image: {counted(len(config.image_columns), 'column')}; {first!r} reads {counted(images, 'image')}"
        )
    return Models(_lineage(config, hashes), images, hashes)


def cpu_precision(config: JobConfig) -> str:
    """Return the precision that a job computes in on this machine's CPU, "auto" decided.

    Raises:
        ConfigError: The CPU does not compute in it.
    """
    import torch

    from vilt.inference.precision import resolve_precision

    try:
        return resolve_precision(config.precision, torch.device("cpu"))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _open(uri: str, config: JobConfig) -> OpenCheckpoint:
    """Open a checkpoint of any family."""
    try:
        folder = model_folder(uri, config.storage)
        found = read_config(folder)
        return OpenCheckpoint(folder, found, family_of_config(found))
    except (*storage_errors(), ValueError, ImportError) as error:
        raise _unreadable(uri, error) from None


def _unreadable(uri: str, error: Exception) -> ConfigError:
    """Return the error for a checkpoint that cannot be read; what storages say does not always name it."""
    text = first_line(error)
    return ConfigError((f"model: {text}" if uri in text else f"model: cannot use {uri!r}: {text}") + _hint(uri))


def _hint(uri: str) -> str:
    """Return what may have been meant by a checkpoint that cannot be read, as the end of a line; "" if nothing."""
    scheme, separator, name = uri.partition("://")
    if scheme == "zoo" and separator:
        shipped = sorted(folder.name for folder in ZOO.iterdir() if folder.is_dir())
        if name in shipped:
            return ""
        close = nearest(name, shipped)
        meant = f"did you mean zoo://{close}? " if close else ""
        return f"; {meant}the models that ship are {', '.join(f'zoo://{one}' for one in shipped)}"
    if separator and scheme != "hf":
        return ""
    if not separator and os.path.exists(uri):
        return ""
    published = {one.model.partition("://")[2]: one.model for one in PUBLISHED.values()}
    repository = name if separator else uri
    if repository in published:
        return ""
    if close := nearest(repository, published):
        return f"; did you mean {published[close]}?"
    parent, beside = os.path.split(uri.rstrip("/"))
    folders = os.listdir(parent or ".") if not separator and os.path.isdir(parent or ".") else []
    close = nearest(beside, folders)
    return f"; did you mean {os.path.join(parent, close)}?" if close else ""


def _check_heads(uri: str, tasks: list[Task], can: list[str]) -> None:
    for task in tasks:
        if TASKS[task].head not in can:
            raise ConfigError(f"model: {uri!r} has no head to {task}; it can {', '.join(can) or 'do nothing'}")


def _check_negatives(config: JobConfig, preprocessor: AnyPreprocessor) -> None:
    """Check that the model reads the whole of each text in `negatives`."""
    if config.negatives:
        _, _, cut = preprocessor.tokens(config.negatives)
        for text, lost in zip(config.negatives, cut.tolist(), strict=True):
            if lost:
                raise ConfigError(f"negatives: {text!r} has more tokens than the model reads: shorten it")


def _lineage(config: JobConfig, hashes: dict[str, str]) -> dict[str, str]:
    def of_each(values: dict[str, str]) -> str:
        """Return the one value, or, with several checkpoints, each one's tasks and value."""
        if len(values) == 1:
            return next(iter(values.values()))
        return json.dumps({",".join(config.models[uri]): value for uri, value in values.items()})

    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "vilt.task": ",".join(config.tasks),
        "vilt.model": of_each({uri: redacted(uri) for uri in config.models}),
        "vilt.weights_sha256": of_each(hashes),
        "vilt.config_sha256": config.sha256,
        "vilt.versions": json.dumps({"python": platform.python_version(), **versions}),
        **({NEGATIVES: stored_negatives(config.negatives)} if config.negatives else {}),
    }
