"""URIs -> bytes or a reason: only from allowed prefixes, never more bytes than the limit, many at once."""

from __future__ import annotations

import asyncio
import errno
import os
import random
from collections import defaultdict
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import fsspec
import fsspec.asyn
from botocore.exceptions import NoCredentialsError, PartialCredentialsError

from pipeline.common.error_codes import RETRYABLE, Failure
from pipeline.common.file_versions import version_of_info, version_of_stat
from pipeline.common.redaction import redacted, redacted_text
from pipeline.common.uris import WEB, as_given, as_prefix, is_any_host, normal, scheme
from pipeline.config.job import JobConfig
from pipeline.images.budget import Budget, Claim
from pipeline.images.hosts import PER_HOST, host_of, hosts_of_process, user_agent
from pipeline.images.http import WebClient, is_unreached, too_large
from pipeline.images.inline import decode_inline
from pipeline.storage.filesystem import storage_options

Fetched = bytes | Failure
AT_ONCE = 32  # images of one task in flight
FIRST_BYTES = 2**22  # of an object that are asked for at once
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

    Attributes:
        versions: URI -> the version of the image that was read, if `input.verify` asks for it.
    """

    def __init__(self, base: str, config: JobConfig) -> None:
        self.base, self.config = normal(base), config
        allow = config.input.allow
        self.any_host = {scheme(prefix) for prefix in allow if is_any_host(prefix)}
        prefixes = [normal(prefix) for prefix in allow if not is_any_host(prefix)]
        self.allowed = [as_prefix(self.base), *map(as_prefix, prefixes)]
        self.max_bytes = config.limits.image_bytes
        self.hosts = hosts_of_process()
        self.versions: dict[str, str] = {}

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
        images = self._fetch_distinct(distinct, Budget())
        return [found for one in resolved if (found := images[one] if isinstance(one, str) else one) is not None]

    def fetch_within(self, uris: Sequence[str], most_bytes: int, needed: Collection[str]) -> dict[str, Fetched]:
        """Fetch as many images as fit a budget of bytes.

        Args:
            uris: Distinct URIs, in the order in which they are needed.
            most_bytes: Most bytes of all images. Each is counted before it is read, by what the server says of its
                size, and again when it is there.
            needed: URIs that are fetched in any case.

        Returns:
            URI -> bytes or a failure; others are left for a later call.
        """
        resolved = {uri: self._image_or_uri(uri) for uri in uris}
        budget = Budget(most_bytes, {full for uri in needed if isinstance(full := resolved.get(uri), str)})
        distinct = list(dict.fromkeys(one for one in resolved.values() if isinstance(one, str)))
        images = self._fetch_distinct(distinct, budget)
        found = {uri: images[one] if isinstance(one, str) else one for uri, one in resolved.items()}
        by_given = {uri: self.versions[one] for uri, one in resolved.items() if one in self.versions}
        self.versions |= by_given
        return {uri: image for uri, image in found.items() if image is not None}

    def _fetch_distinct(self, uris: list[str], budget: Budget) -> dict[str, Fetched | None]:
        if not uris:
            return {}
        # on fsspec's own loop, to which its asynchronous filesystems are bound
        return dict(zip(uris, fsspec.asyn.sync(fsspec.asyn.get_loop(), self._fetch_all, uris, budget), strict=True))

    def _is_named(self, url: str) -> bool:
        """Return whether a prefix of the config names the place of a URL, not just every public host."""
        return normal(url).startswith(tuple(self.allowed))

    def _image_or_uri(self, cell: str) -> Fetched | str:
        inline = decode_inline(cell, self.max_bytes)
        if inline is not None:
            return inline
        most = self.config.limits.uri_characters
        if len(cell) > most:
            return _failure(
                "uri_not_allowed", f"a URI of {len(cell):,} characters, more than {most:,} (limits.uri_characters)"
            )
        return self.resolve(cell)

    async def _fetch_all(self, uris: list[str], budget: Budget) -> list[Fetched | None]:
        gate, gates = asyncio.Semaphore(AT_ONCE), defaultdict[str, Any](lambda: asyncio.Semaphore(PER_HOST))
        spec = self.config.input
        client = WebClient(
            self.resolve,
            self.max_bytes,
            AT_ONCE,
            spec.allow_private,
            hosts=self.hosts,
            agent=user_agent(spec.contact),
            heeds_robots=lambda url: spec.robots and not self._is_named(url),
        )
        async with client as web:

            async def fetch(uri: str) -> Fetched | None:
                host_gate = nullcontext() if self._is_named(uri) else gates[host_of(uri)]
                async with host_gate, gate:
                    if not budget.begins(uri):
                        return None
                    claim = Claim(budget, uri)
                    found = await self._fetch(uri, web, claim)
                    claim.set(len(found) if isinstance(found, bytes) else 0)
                    if self.config.input.verify and isinstance(found, bytes) and claim.version is not None:
                        self.versions[uri] = claim.version
                    return found

            return await asyncio.gather(*map(fetch, uris))

    async def _fetch(self, uri: str, web: WebClient, claim: Claim) -> Fetched | None:
        """Read one image, with retries, within the time limit; return None if it does not fit the budget."""
        seconds, is_web = self.config.limits.fetch_seconds, scheme(uri) in WEB
        is_down = is_web and self.hosts.is_down(uri)
        given = seconds / ATTEMPTS if is_down else seconds
        try:
            return await asyncio.wait_for(self._attempts(uri, web, claim, 1 if is_down else ATTEMPTS), given)
        except asyncio.TimeoutError:
            if is_web:
                self.hosts.unreached(uri)
            why = ", as the URLs of this host before it" if is_down else " (limits.fetch_seconds)"
            return _failure("fetch_timeout", f"{redacted(uri)}: not read in {given:g} seconds{why}")

    async def _attempts(self, uri: str, web: WebClient, claim: Claim, attempts: int) -> Fetched | None:
        pause, is_web = FIRST_PAUSE, scheme(uri) in WEB
        for attempts_left in reversed(range(attempts)):
            claim.set(0)
            unreached = False
            try:
                found = await self._get(uri, web, claim)
            except Exception as error:  # filesystems raise many types
                found, unreached = self._judge(error), is_unreached(error)
            if not (isinstance(found, Failure) and found.reason in RETRYABLE and attempts_left):
                break
            wait = self.hosts.wait_of(uri) if is_web else 0.0
            if wait > self.config.limits.fetch_seconds:
                found = Failure(found.reason, f"{found.detail}; its host asks for {wait:,.0f} seconds of rest")
                break
            await asyncio.sleep(max(wait, pause * random.uniform(0.5, 1)))
            pause *= 2
        if is_web:
            (self.hosts.unreached if unreached else self.hosts.reached)(uri)
        if isinstance(found, Failure):
            return _failure(found.reason, f"{redacted(uri)}: {redacted_text(found.detail, uri)}")
        return found

    async def _get(self, uri: str, web: WebClient, claim: Claim) -> Fetched | None:
        """Read one image once; return None if it does not fit the budget."""
        if scheme(uri) in WEB:
            return await web.get(uri, claim)
        if not scheme(uri):
            data = await asyncio.to_thread(self._read_local, uri, claim)
        else:
            data = await self._read_object(self._filesystem(uri), uri, claim)
        return too_large(self.max_bytes) if isinstance(data, bytes) and len(data) > self.max_bytes else data

    async def _read_object(self, filesystem: Any, uri: str, claim: Claim) -> Fetched | None:
        """Read an object: most are no larger than `FIRST_BYTES`; of others the size is asked for first."""
        path, most = filesystem._strip_protocol(uri), self.max_bytes + 1
        info: dict[str, Any] | None = None
        if self.config.input.verify:  # before it is read: if it changes meanwhile, the next run finds another version
            info = await call(filesystem, "info", path)
            claim.version = version_of_info(info)
        asked = min(most, FIRST_BYTES)
        while claim.grow(asked):
            data: bytes = await call(filesystem, "cat_file", path, start=0, end=asked)
            if len(data) < asked or asked == most:
                return data
            info = info or await call(filesystem, "info", path)
            size = info.get("size")
            if size is not None and size > self.max_bytes:
                return too_large(self.max_bytes)
            # One byte more than it had, which tells whether it has grown; one that has is read as far as allowed.
            asked = most if size is None or size < asked else size + 1
        return None

    def _filesystem(self, uri: str) -> Any:
        """Return the filesystem of the allowed prefix above `uri`: fsspec reads `::` in a URI as a chain."""
        prefix = next(prefix for prefix in self.allowed if uri.startswith(prefix))
        options = storage_options(prefix, self.config.storage)
        if scheme(prefix) in ("s3", "s3a"):  # one layer of retries besides s3fs's own is enough
            options["config_kwargs"] = {"max_pool_connections": AT_ONCE, "retries": {"total_max_attempts": 1}}
        return fsspec.core.url_to_fs(prefix, **options)[0]

    def _local(self, path: str) -> str | Failure:
        """Return the path of a local file, which must be in an allowed folder when all links are followed, too."""
        real = os.path.realpath(path)
        folders = tuple(as_prefix(os.path.realpath(folder)) for folder in self.allowed if not scheme(folder))
        if not real.startswith(folders):
            return Failure("uri_not_allowed", "a symbolic link out of the allowed folders")
        if os.path.exists(real) and not os.path.isfile(real):  # a pipe or a device would never end
            return Failure("image_missing", "not a file")
        return real

    def _read_local(self, path: str, claim: Claim) -> Fetched | None:
        real = self._local(path)
        if isinstance(real, Failure):
            return real
        with open(real, "rb") as file:
            stat = os.fstat(file.fileno())
            size, claim.version = stat.st_size, version_of_stat(stat)
            if size > self.max_bytes:
                return too_large(self.max_bytes)
            return file.read(self.max_bytes + 1) if claim.grow(size) else None

    def _judge(self, error: Exception) -> Fetched:
        if isinstance(error, OSError) and "not satisfiable" in str(error):  # S3's answer to a range of an empty object
            return b""
        reason = next((reason for kinds, reason in _KINDS if isinstance(error, kinds)), None)
        reason = reason or _ERRNO.get(getattr(error, "errno", None) or 0, "image_fetch_failed")
        return Failure(reason, f"{type(error).__name__}: {error}")


async def call(filesystem: Any, name: str, *arguments: Any, **keywords: Any) -> Any:
    """Call a method of a filesystem, asynchronous or not."""
    if filesystem.async_impl:
        return await getattr(filesystem, f"_{name}")(*arguments, **keywords)
    return await asyncio.to_thread(partial(getattr(filesystem, name), *arguments, **keywords))


def _failure(reason: str, detail: str) -> Failure:
    """Return a failure whose detail is not too long for a column of a table, and is UTF-8, as headers need not be."""
    detail = detail.encode(errors="backslashreplace").decode()
    return Failure(reason, detail if len(detail) <= DETAIL_CHARS else f"{detail[: DETAIL_CHARS - 3]}...")
