"""URIs -> bytes or a reason: only from allowed prefixes, never more bytes than the limit, many at once."""

from __future__ import annotations

import asyncio
import errno
import os
import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import fsspec
import fsspec.asyn
from botocore.exceptions import NoCredentialsError, PartialCredentialsError

from pipeline.common.error_codes import RETRYABLE, Failure
from pipeline.common.redaction import redacted, redacted_text
from pipeline.common.uris import WEB, as_given, as_prefix, is_any_host, normal, scheme
from pipeline.config.job import JobConfig
from pipeline.images.http import WebClient, too_large
from pipeline.images.inline import decode_inline
from pipeline.storage.filesystem import storage_options

Fetched = bytes | Failure
AT_ONCE = 32  # images of one task in flight
ATTEMPTS = 6  # over about 12 seconds: a server may be restarted meanwhile
DETAIL_CHARS = 300  # of a failure's detail
FIRST_PAUSE = 0.5  # seconds; doubled after each attempt
_KINDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError), "image_missing"),  # ValueError: no name
    ((PermissionError, NoCredentialsError, PartialCredentialsError), "image_forbidden"),
    ((asyncio.TimeoutError, TimeoutError), "fetch_timeout"),
)
_ERRNO = {errno.EBUSY: "fetch_throttled", errno.ENAMETOOLONG: "image_missing"}  # EBUSY: s3fs for SlowDown and 503


class Fetcher:
    """Reads images by URI.

    Allowed are URIs below `base`, the table's own folder, and below the prefixes in `input.allow`; `https://*` there
    allows every public host. A URI without a scheme is relative to `base`. At most `limits.image_bytes` + 1 bytes of
    each are read. Transient errors are retried up to `ATTEMPTS` times, within `limits.fetch_seconds`.
    """

    def __init__(self, base: str, config: JobConfig) -> None:
        self.base, self.config = normal(base), config
        allow = config.input.allow
        self.any_host = {scheme(prefix) for prefix in allow if is_any_host(prefix)}
        prefixes = [normal(prefix) for prefix in allow if not is_any_host(prefix)]
        self.allowed = [as_prefix(self.base), *map(as_prefix, prefixes)]
        self.max_bytes = config.limits.image_bytes

    def resolve(self, uri: str) -> str | Failure:
        """Return the full URI, or why it must not be read.

        URIs are compared in one spelling, with `..` resolved; an http(s) URL is then sent as it was given, since the
        signature of a URL is made of its spelling.
        """
        absolute = "://" in uri or uri.startswith("/")
        try:
            full = normal(uri if absolute else f"{self.base}/{uri}")
        except ValueError as error:
            return _failure("uri_not_allowed", f"{redacted(uri)!r}: {redacted_text(str(error), uri)}")
        if full.startswith(tuple(self.allowed)) or scheme(full) in self.any_host:
            return as_given(uri, full) if scheme(full) in WEB else full
        allowed = [*map(redacted, self.allowed), *(f"{kind}://*" for kind in sorted(self.any_host))]
        shown = redacted(uri)
        shown = shown if len(shown) <= DETAIL_CHARS // 2 else f"{shown[: DETAIL_CHARS // 2]}..."
        return _failure("uri_not_allowed", f"{shown!r} is not below {' or '.join(map(repr, allowed))}")

    def fetch(self, uris: Sequence[str]) -> list[Fetched]:
        """Return the bytes of each URI, or its failure. A URI that stands there twice is read once."""
        resolved = [self._image_or_uri(cell) for cell in uris]
        distinct = list(dict.fromkeys(one for one in resolved if isinstance(one, str)))
        if not distinct:
            return [one for one in resolved if not isinstance(one, str)]
        # on fsspec's own loop, to which its asynchronous filesystems are bound
        found = dict(zip(distinct, fsspec.asyn.sync(fsspec.asyn.get_loop(), self._fetch_all, distinct), strict=True))
        return [found[one] if isinstance(one, str) else one for one in resolved]

    def _image_or_uri(self, cell: str) -> Fetched | str:
        inline = decode_inline(cell, self.max_bytes)
        return self.resolve(cell) if inline is None else inline

    async def _fetch_all(self, uris: list[str]) -> list[Fetched]:
        gate = asyncio.Semaphore(AT_ONCE)
        async with WebClient(self.resolve, self.max_bytes, AT_ONCE, self.config.input.allow_private) as web:

            async def fetch(uri: str) -> Fetched:
                async with gate:
                    return await self._fetch(uri, web)

            return await asyncio.gather(*map(fetch, uris))

    async def _fetch(self, uri: str, web: WebClient) -> Fetched:
        """Read one image, with retries, within the time limit."""
        seconds = self.config.limits.fetch_seconds
        try:
            return await asyncio.wait_for(self._attempts(uri, web), seconds)
        except asyncio.TimeoutError:
            return _failure("fetch_timeout", f"{redacted(uri)}: not read in {seconds:g} seconds (limits.fetch_seconds)")

    async def _attempts(self, uri: str, web: WebClient) -> Fetched:
        pause = FIRST_PAUSE
        for attempts_left in reversed(range(ATTEMPTS)):
            try:
                found = await (web.get(uri) if scheme(uri) in WEB else self._read(uri))
            except Exception as error:  # filesystems raise many types
                found = self._judge(error)
            if not (isinstance(found, Failure) and found.reason in RETRYABLE and attempts_left):
                break
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause *= 2
        if isinstance(found, Failure):
            return _failure(found.reason, f"{redacted(uri)}: {redacted_text(found.detail, uri)}")
        return found

    async def _read(self, uri: str) -> Fetched:
        """Read a local file or an object of any fsspec filesystem."""
        if not scheme(uri):
            data = await asyncio.to_thread(self._read_local, uri)
        else:
            filesystem = self._filesystem(uri)
            path, most = filesystem._strip_protocol(uri), self.max_bytes + 1
            if filesystem.async_impl:
                data = await filesystem._cat_file(path, start=0, end=most)
            else:
                data = await asyncio.to_thread(partial(filesystem.cat_file, path, start=0, end=most))
        if isinstance(data, Failure):
            return data
        return data if len(data) <= self.max_bytes else too_large(self.max_bytes)

    def _filesystem(self, uri: str) -> Any:
        """Return the filesystem of the allowed prefix above `uri`: fsspec reads `::` in a URI as a chain."""
        prefix = next(prefix for prefix in self.allowed if uri.startswith(prefix))
        options = storage_options(prefix, self.config.storage)
        if scheme(prefix) in ("s3", "s3a"):  # one layer of retries besides s3fs's own is enough
            options["config_kwargs"] = {"max_pool_connections": AT_ONCE, "retries": {"total_max_attempts": 1}}
        return fsspec.core.url_to_fs(prefix, **options)[0]

    def _read_local(self, path: str) -> Fetched:
        """Read a local file, which must be in an allowed folder when all symbolic links are followed, too."""
        real = os.path.realpath(path)
        folders = tuple(as_prefix(os.path.realpath(folder)) for folder in self.allowed if not scheme(folder))
        if not real.startswith(folders):
            return Failure("uri_not_allowed", "a symbolic link out of the allowed folders")
        if os.path.exists(real) and not os.path.isfile(real):  # a pipe or a device would never end
            return Failure("image_missing", "not a file")
        with open(real, "rb") as file:
            return file.read(self.max_bytes + 1)

    def _judge(self, error: Exception) -> Fetched:
        if isinstance(error, OSError) and "not satisfiable" in str(error):  # S3's answer to a range of an empty object
            return b""
        reason = next((reason for kinds, reason in _KINDS if isinstance(error, kinds)), None)
        reason = reason or _ERRNO.get(getattr(error, "errno", None) or 0, "image_fetch_failed")
        return Failure(reason, f"{type(error).__name__}: {error}")


def _failure(reason: str, detail: str) -> Failure:
    """Return a failure whose detail is not too long for a column of a table."""
    return Failure(reason, detail if len(detail) <= DETAIL_CHARS else f"{detail[: DETAIL_CHARS - 3]}...")
