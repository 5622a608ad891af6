"""The preprocessor of a job's models: all that reading and decoding need of a checkpoint. Imports no torch."""

from __future__ import annotations

from functools import lru_cache

from pipeline.config.job import JobConfig
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import model_folder
from vilt.inference.preprocessor import AnyPreprocessor, Decode, ImagePreprocessor
from vilt.models.registry import open_preprocessor


def preprocessor_of(config: JobConfig) -> AnyPreprocessor:
    """Return what all models of the job preprocess with."""
    return _preprocessor(next(iter(config.models)), config.storage, config.tokenizer, config.decode)


@lru_cache(maxsize=4)
def _preprocessor(model: str, storage: StorageConfig, tokenizer: str | None, decode: Decode) -> AnyPreprocessor:
    """Load a preprocessor once a worker process, not once a task."""
    words = None if tokenizer is None else model_folder(tokenizer, storage)
    preprocessor = open_preprocessor(model_folder(model, storage), words)
    if isinstance(preprocessor, ImagePreprocessor):
        preprocessor.decode = decode
    return preprocessor
