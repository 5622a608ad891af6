"""What a person reads if the storage fails: the cause in a line, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.common.errors import ConfigError, StorageFailedError, first_line
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import make_folder, open_fsspec, storage_errors, write_whole


@contextmanager
def as_storage_failure(next_step: str = "run the same command again") -> Iterator[None]:
    """While it is open, raise what the storage raises as StorageFailedError.

    Args:
        next_step: What to do then.
    """
    try:
        yield
    except storage_errors() as error:
        raise StorageFailedError(f"the storage failed: {first_line(error)}; {next_step}") from None


@contextmanager
def as_config_error(uri: str, key: str) -> Iterator[None]:
    """While it is open, raise what the storage raises as ConfigError: the user has named a file that cannot be written.

    Args:
        uri: The file.
        key: The option that names it.
    """
    try:
        yield
    except storage_errors() as error:
        raise ConfigError(f"{key}: cannot write {uri!r}: {first_line(error)}") from None


def write_named(uri: str, key: str, data: bytes, storage: StorageConfig) -> None:
    """Write a file that the user has named, whole, and its folder; one that is there is replaced.

    Args:
        uri: The file.
        key: The option that names it.
        data: What it holds.
        storage: How to reach it.

    Raises:
        ConfigError: It cannot be written.
    """
    filesystem, path = open_fsspec(uri, key, storage)
    with as_config_error(uri, key):
        make_folder(filesystem, path.rpartition("/")[0])
        write_whole(filesystem, path, data)
