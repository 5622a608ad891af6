"""Paths: a local path or any fsspec URL -> a filesystem and a path on it."""

from __future__ import annotations

import fsspec
import pyarrow.fs
from botocore.exceptions import BotoCoreError
from fsspec import AbstractFileSystem

from pipeline.config import ConfigError

STORAGE_ERRORS = (OSError, BotoCoreError)  # what a filesystem raises: no access, no network, no credentials, no space


def open_fsspec(uri: str, key: str) -> tuple[AbstractFileSystem, str]:
    """The fsspec filesystem of `uri` and the path on it. Raises ConfigError naming the config key."""
    try:
        return fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{key}: cannot open {uri!r}: {error}") from None


def arrow_filesystem(filesystem: AbstractFileSystem) -> pyarrow.fs.FileSystem:
    """The same storage for pyarrow and Ray: their own local filesystem, else the fsspec one in a wrapper."""
    if "file" in _protocols(filesystem):
        return pyarrow.fs.LocalFileSystem()
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(filesystem))


def full_uri(filesystem: AbstractFileSystem, path: str) -> str:
    """`path` with its scheme, or as it is where it is local."""
    return path if "file" in _protocols(filesystem) else filesystem.unstrip_protocol(path)


def _protocols(filesystem: AbstractFileSystem) -> tuple[str, ...]:
    return (filesystem.protocol,) if isinstance(filesystem.protocol, str) else tuple(filesystem.protocol)
