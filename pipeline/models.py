"""The checkpoints of a job, checked before anything starts: what they can do, and what the footers say of them."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from dataclasses import dataclass

from pipeline.config import JobConfig, Task
from pipeline.sections import ConfigError
from pipeline.storage import STORAGE_ERRORS, model_folder
from pipeline.tasks import TASKS
from vilt import checkpoint
from vilt.configuration import ViltConfig
from vilt.preprocessor import Preprocessor
from vilt.vilt_heads import heads_in

PACKAGES = ("vilt-pipeline", "torch", "ray", "pyarrow", "pillow", "tokenizers")


@dataclass(frozen=True)
class Models:
    """lineage: key -> value for the footers. images: how many the model reads with a text."""

    lineage: dict[str, str]
    images: int


def check_models(config: JobConfig) -> Models:
    """Read every checkpoint's files; check that each has the heads of its tasks and that all preprocess alike.

    Raises ConfigError where anything is missing or does not fit.
    """
    preprocessors, hashes = [], {}
    for uri, tasks in config.models.items():
        try:
            folder = model_folder(uri, config.storage)
            shape = ViltConfig.from_pretrained(folder)
            preprocessors.append(Preprocessor.from_pretrained(folder, shape))
            tensors, hashes[uri] = checkpoint.read(folder)
        except (*STORAGE_ERRORS, ValueError, ImportError) as error:
            raise ConfigError(f"model: {error}") from None
        _check_heads(uri, tasks, list(heads_in(tensors, shape)))
    first, *others = config.models
    for uri, own in zip(others, preprocessors[1:], strict=True):
        if own.settings() != preprocessors[0].settings():
            raise ConfigError(f"model: {uri!r} and {first!r} preprocess differently; give them jobs of their own")
    images = shape.num_images if config.tasks == ["reason"] else 1
    if len(config.image_columns) not in (1, images):
        raise ConfigError(f"input.image: {len(config.image_columns)} columns; {first!r} reads {images} images")
    return Models(_lineage(config, hashes), images)


def _check_heads(uri: str, tasks: list[Task], can: list[str]) -> None:
    for task in tasks:
        if TASKS[task].head not in can:
            raise ConfigError(f"model: {uri!r} has no head to {task}; it can {', '.join(can) or 'do nothing'}")


def _lineage(config: JobConfig, hashes: dict[str, str]) -> dict[str, str]:
    def of_each(values: dict[str, str]) -> str:
        """One value, or with several checkpoints each one's tasks and value."""
        if len(values) == 1:
            return next(iter(values.values()))
        return json.dumps({",".join(config.models[uri]): value for uri, value in values.items()})

    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "vilt.task": ",".join(config.tasks),
        "vilt.model": of_each({uri: uri for uri in config.models}),
        "vilt.weights_sha256": of_each(hashes),
        "vilt.config_sha256": config.sha256,
        "vilt.versions": json.dumps({"python": platform.python_version(), **versions}),
    }
