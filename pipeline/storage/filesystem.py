"""Paths: a local path or any fsspec URL -> a filesystem and a path on it; retries; files that are whole or absent."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from glob import has_magic
from itertools import islice
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import fsspec
import pyarrow as pa
import pyarrow.fs
from botocore.exceptions import BotoCoreError
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay, wait_exponential

from pipeline.common.errors import ConfigError
from pipeline.config.storage import StorageConfig
from vilt.common.folder import Folder
from vilt.models.registry import open_checkpoint

logger = logging.getLogger(__name__)
LASTING_ERRORS = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)
LASTING_NUMBERS = (None, errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # None: pyarrow's OSError for damaged data has none
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}
THREADS = 16  # that wait for the storage
CONNECTIONS = 64  # of a process to s3://
AT_ONCE = 1024  # items that wait for a thread, or for the caller
RETRY_SECONDS = 120.0  # for which a transient error is retried
LONGEST_PAUSE = 15.0  # seconds between two attempts
S = TypeVar("S")
T = TypeVar("T")


def storage_errors() -> tuple[type[Exception], type[Exception], type[Exception]]:
    """Return what a filesystem raises: no access, no network, no credentials, no space.

    Call it behind `except`, which Python evaluates when there is an error: aiohttp takes 0.2 s to import, and who never
    imported it does not raise its errors. In `contextlib.suppress` it would be called too early.
    """
    client_error = getattr(sys.modules.get("aiohttp"), "ClientError", OSError)
    return OSError, BotoCoreError, client_error


def patiently(read: Callable[[], Iterable[T]], what: str) -> Iterator[T]:
    """Yield the values of `read()`, and resume behind the last one when a transient error breaks them off.

    Args:
        read: Begins anew with each call, and gives the same values each time.
        what: Name of what is read, for the log.

    Raises:
        OSError: An error of the storage (see `storage_errors`) lasts, or has been retried for `RETRY_SECONDS`.
    """

    def warn(state: RetryCallState) -> None:
        assert state.outcome
        assert state.next_action
        error = type(state.outcome.exception()).__name__
        logger.warning("%s: %s: trying again in %.0f s", what, error, state.next_action.sleep)

    retrying = Retrying(
        retry=retry_if_exception(is_transient),
        wait=wait_exponential(max=LONGEST_PAUSE),
        stop=stop_before_delay(RETRY_SECONDS),
        before_sleep=warn,
        reraise=True,
    )
    values = _Resumable(read)
    while True:
        try:
            value = retrying(values.following)
        except StopIteration:
            return
        yield value


class _Resumable(Generic[T]):
    """The values of `read()`, one a call; after an error the next call reads anew and passes over those given."""

    def __init__(self, read: Callable[[], Iterable[T]]) -> None:
        self.read, self.given = read, 0
        self.values: Iterator[T] | None = None

    def following(self) -> T:
        """Return the next value; raise StopIteration behind the last."""
        if self.values is None:
            self.values = islice(self.read(), self.given, None)
        try:
            value = next(self.values)
        except storage_errors():
            self.values = None
            raise
        self.given += 1
        return value


def is_transient(error: BaseException) -> bool:
    """Return whether an error of a storage may pass, so that a retry is of use."""
    if type(error) is OSError:
        return error.errno not in LASTING_NUMBERS
    return isinstance(error, storage_errors()) and not isinstance(error, LASTING_ERRORS)


def in_threads(do: Callable[[S], T], items: Sequence[S], threads: int = THREADS) -> Iterator[T]:
    """Yield `do(item)` of each item, in order, computed in some threads, at most `AT_ONCE` items ahead."""
    with ThreadPoolExecutor(threads) as pool:
        for begin in range(0, len(items), AT_ONCE):
            yield from pool.map(do, items[begin : begin + AT_ONCE])


def storage_options(uri: str, storage: StorageConfig) -> dict[str, Any]:
    """Return what fsspec needs to open `uri`: for s3:// the config's section `storage`, else nothing."""
    if urlsplit(uri).scheme not in ("s3", "s3a"):
        return {}
    secrets = {"key": storage.key, "secret": storage.secret, "token": storage.token}
    options: dict[str, Any] = {name: value.get_secret_value() for name, value in secrets.items() if value is not None}
    if storage.endpoint_url is not None:
        options["endpoint_url"] = storage.endpoint_url
    if storage.region is not None:
        options["client_kwargs"] = {"region_name": storage.region}
    # Else ten connections carry all requests of a process, however many of its threads wait.
    given = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
    options["config_kwargs"] = {"max_pool_connections": CONNECTIONS, **given}
    return {**options, "anon": True} if storage.anon else options


def open_fsspec(uri: str, key: str, storage: StorageConfig) -> tuple[AbstractFileSystem, str]:
    """Return the fsspec filesystem of `uri` and the path on it.

    Args:
        uri: A local path or a URL.
        key: The key of the config that names it, for the error.
        storage: How to reach s3://.

    Raises:
        ConfigError: No installed filesystem opens it.
    """
    try:
        filesystem, path = fsspec.core.url_to_fs(uri, **storage_options(uri, storage))
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{key}: cannot open {uri!r}: {error}") from None
    return filesystem, path


def model_folder(uri: str, storage: StorageConfig) -> Folder:
    """Return the folder of a checkpoint. Raises ValueError if no filesystem knows the URI."""
    return open_checkpoint(uri, **storage_options(uri, storage))


def make_folder(filesystem: AbstractFileSystem, path: str) -> None:
    """Make a folder for files, with those above it; in an object store, which has none, check that its bucket exists.

    A bucket is never created: one that does not exist is one that was misspelt.

    Raises:
        FileNotFoundError: The bucket does not exist.
    """
    if not is_object_store(filesystem):
        filesystem.makedirs(path, exist_ok=True)
        return
    _check_bucket(filesystem, path)


def check_folder(filesystem: AbstractFileSystem, path: str) -> None:
    """Check, without writing anything, that `make_folder` can make a folder, as far as it can be seen.

    Raises:
        OSError: It cannot.
    """
    if is_object_store(filesystem):
        _check_bucket(filesystem, path)
    elif isinstance(filesystem, LocalFileSystem):
        there = os.path.abspath(path)
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        if not os.path.isdir(there):
            raise NotADirectoryError(f"{there!r} is a file; name a folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(f"{there!r} is not yours to write to")


def _check_bucket(filesystem: AbstractFileSystem, path: str) -> None:
    """Raise FileNotFoundError if there is no such bucket."""
    bucket = path.lstrip("/").partition("/")[0]
    try:
        filesystem.info(bucket)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no bucket {bucket!r}; create it, or correct its name") from None
    except PermissionError:
        return  # the credentials may write and not list: writing will tell


def write_whole(filesystem: AbstractFileSystem, path: str, data: bytes | pa.Buffer) -> None:
    """Write a file that is there whole or not at all, and retry transient errors."""
    content = bytes(data)

    def write() -> Iterator[str]:
        write_once(filesystem, path, content)
        yield path

    list(patiently(write, path))


def write_once(filesystem: AbstractFileSystem, path: str, data: bytes) -> None:
    """Write a file that is there whole or not at all, whatever happens meanwhile."""
    if is_object_store(filesystem):  # an object appears when all of it has arrived
        filesystem.pipe_file(path, data)
    else:
        folder, _, name = path.rpartition("/")
        filesystem.pipe_file(f"{folder}/.{name}", data)
        filesystem.mv(f"{folder}/.{name}", path)


def arrow_filesystem(filesystem: AbstractFileSystem) -> pyarrow.fs.FileSystem:
    """Return the same storage for pyarrow and Ray: their own local filesystem, else a wrapper of the fsspec one."""
    if "file" in _protocols(filesystem):
        return pyarrow.fs.LocalFileSystem()
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(filesystem))


def full_uri(filesystem: AbstractFileSystem, path: str) -> str:
    """Return `path` with its scheme, or as it is if it is local."""
    return path if "file" in _protocols(filesystem) else str(filesystem.unstrip_protocol(path))


def remove_files(filesystem: AbstractFileSystem, paths: Iterable[str]) -> None:
    """Remove files, many with one request where the storage can.

    Args:
        filesystem: The storage.
        paths: Their names as they are: `rm` takes *, ? and [ in them for a pattern, and would remove other files.
    """
    literal, patterns = list[str](), list[str]()
    for path in paths:
        (patterns if has_magic(path) else literal).append(path)
    if literal:
        filesystem.rm(literal)
    for _ in in_threads(filesystem.rm_file, patterns):
        pass


def remove_folder(filesystem: AbstractFileSystem, path: str) -> None:
    """Remove a folder and all that is below it, if it exists. Its name is no pattern; see `remove_files`."""
    filesystem.invalidate_cache()
    if not filesystem.exists(path):
        return
    if has_magic(path) and not isinstance(filesystem, LocalFileSystem):
        remove_files(filesystem, filesystem.find(path))
    else:
        filesystem.rm(path, recursive=True)


def is_object_store(filesystem: AbstractFileSystem) -> bool:
    """Return whether a filesystem has objects in buckets, and no folders."""
    return bool(OBJECT_STORES & set(_protocols(filesystem)))


def _protocols(filesystem: AbstractFileSystem) -> tuple[str, ...]:
    return (filesystem.protocol,) if isinstance(filesystem.protocol, str) else tuple(filesystem.protocol)
