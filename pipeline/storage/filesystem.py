"""Paths: a local path or any fsspec URL -> a filesystem and a path on it."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import fsspec
import pyarrow as pa
import pyarrow.fs
from botocore.exceptions import BotoCoreError
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError
from pipeline.config.job import StorageConfig
from vilt.common.storage import Folder
from vilt.models.registry import open_checkpoint

logger = logging.getLogger(__name__)
# What a filesystem raises: no access, no network, no credentials, no space.
STORAGE_ERRORS = (OSError, BotoCoreError, aiohttp.ClientError)
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}
THREADS = 16  # that wait for the storage
AT_ONCE = 1024  # items that wait for a thread, or for the caller
PATIENCE = 120.0  # seconds for which a storage that fails is asked again
LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)
_BUCKETS: set[str] = set()  # that exist
S = TypeVar("S")
T = TypeVar("T")


def patiently(read: Callable[[], Iterable[T]], what: str) -> Iterator[T]:
    """The values of `read()`. Where the storage fails in the middle, it is asked again, and those that were given are
    passed over; for `PATIENCE` seconds since the last value."""
    given, pause, since = 0, 1.0, time.monotonic()
    while True:
        try:
            for value in islice(read(), given, None):
                yield value
                given, pause, since = given + 1, 1.0, time.monotonic()
            return
        except STORAGE_ERRORS as error:
            if _lasts(error) or time.monotonic() - since + pause > PATIENCE:
                raise
            logger.warning("%s: %s: trying again in %.0f s", what, type(error).__name__, pause)
        time.sleep(pause)
        pause = min(2 * pause, 15.0)


def in_threads(do: Callable[[S], T], items: Sequence[S]) -> Iterator[T]:
    """`do` of each item, in order, in `THREADS` threads; of many items only some are on their way at a time."""
    with ThreadPoolExecutor(THREADS) as pool:
        for begin in range(0, len(items), AT_ONCE):
            yield from pool.map(do, items[begin : begin + AT_ONCE])


def storage_options(uri: str, storage: StorageConfig) -> dict[str, Any]:
    """What fsspec needs to open `uri`: for s3:// the config's section `storage`, else nothing."""
    if urlsplit(uri).scheme not in ("s3", "s3a"):
        return {}
    secrets = {"key": storage.key, "secret": storage.secret, "token": storage.token}
    options: dict[str, Any] = {name: value.get_secret_value() for name, value in secrets.items() if value is not None}
    if storage.endpoint_url is not None:
        options["endpoint_url"] = storage.endpoint_url
    if storage.region is not None:
        options["client_kwargs"] = {"region_name": storage.region}
    return {**options, "anon": True} if storage.anon else options


def open_fsspec(uri: str, key: str, storage: StorageConfig) -> tuple[AbstractFileSystem, str]:
    """The fsspec filesystem of `uri` and the path on it. Raises ConfigError naming the config key."""
    try:
        return fsspec.core.url_to_fs(uri, **storage_options(uri, storage))
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{key}: cannot open {uri!r}: {error}") from None


def model_folder(uri: str, storage: StorageConfig) -> Folder:
    """A checkpoint's folder. Raises ValueError where no filesystem knows the URI."""
    return open_checkpoint(uri, **storage_options(uri, storage))


def make_folder(filesystem: AbstractFileSystem, path: str) -> None:
    """Make a folder and those above it. In an object store there are none to make, and a bucket is never made.

    Raises:
        FileNotFoundError: There is no such bucket. Some stores would make it with its first object.
    """
    if not OBJECT_STORES & set(_protocols(filesystem)):
        filesystem.makedirs(path, exist_ok=True)
        return
    bucket = path.lstrip("/").partition("/")[0]
    try:
        found = bucket in _BUCKETS or filesystem.exists(bucket)
    except PermissionError:  # it may be written to, and not be listed
        found = True
    if not found:
        raise FileNotFoundError(f"the bucket {bucket!r} does not exist; check its name, or create it")
    _BUCKETS.add(bucket)


def write_whole(filesystem: AbstractFileSystem, path: str, data: bytes | pa.Buffer) -> None:
    """As `write_once`; again where the storage fails."""

    content = bytes(data)

    def write() -> Iterator[str]:
        write_once(filesystem, path, content)
        yield path

    list(patiently(write, path))


def write_once(filesystem: AbstractFileSystem, path: str, data: bytes) -> None:
    """Write a file that is there whole or not at all, whatever happens meanwhile."""
    if OBJECT_STORES & set(_protocols(filesystem)):  # an object appears when all of it has arrived
        filesystem.pipe_file(path, data)
    else:
        folder, _, name = path.rpartition("/")
        filesystem.pipe_file(f"{folder}/.{name}", data)
        filesystem.mv(f"{folder}/.{name}", path)


def _lasts(error: Exception) -> bool:
    """Whether asking again is of no use; pyarrow's word for damaged data is a plain OSError without a number."""
    plain = type(error) is OSError and error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    return plain or isinstance(error, LASTING)


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
