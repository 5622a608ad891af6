"""Images over http and https: only from public addresses, never more bytes than the limit.

A table is data that others wrote, and its URLs must not reach what only this machine can reach: services on its own
network, or the cloud's metadata address. So each address is checked as the connection to it is made, after its name
was resolved, and each redirect is checked like the first URL.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin

from typing_extensions import Self
from yarl import URL

from pipeline.common.error_codes import Failure
from pipeline.common.file_versions import version_of_info
from pipeline.common.uris import WEB, scheme
from pipeline.images.addresses import is_public
from pipeline.images.budget import Claim
from pipeline.images.hosts import TOOL, Hosts

if TYPE_CHECKING:
    import aiohttp  # elsewhere when a client opens: most processes never ask the web, and it takes 0.2 s

REDIRECTS = 5
OPT_OUTS = ("noai", "noimageai")
WITH_VALUES = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")  # directives, not agents
_NO_SUCH_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}  # and not "try again"
_STATUS = {404: "image_missing", 410: "image_missing", 401: "image_forbidden", 403: "image_forbidden"}
_STATUS |= {451: "image_forbidden", 429: "fetch_throttled", 503: "fetch_throttled"}
T = TypeVar("T")


class WebClient:
    """Reads URLs that `resolve` lets through; an async context manager.

    Args:
        resolve: A URL -> its spelling to send, or why it must not be read; asked again about every redirect.
        max_bytes: Most bytes of a body.
        at_once: Most connections.
        allow_private: Whether addresses may be private.
        hosts: Learns which hosts ask for a pause.
        agent: The header User-Agent.
        heeds_robots: Whether what the header X-Robots-Tag says of a URL counts.
    """

    def __init__(
        self,
        resolve: Callable[[str], str | Failure],
        max_bytes: int,
        at_once: int,
        allow_private: bool,
        *,
        hosts: Hosts,
        agent: str,
        heeds_robots: Callable[[str], bool],
    ) -> None:
        self.heeds_robots = heeds_robots
        self.resolve, self.max_bytes, self.at_once, self.allow_private = resolve, max_bytes, at_once, allow_private
        self.hosts, self.agent = hosts, agent

    async def __aenter__(self) -> Self:
        import aiohttp

        connector = aiohttp.TCPConnector(limit=self.at_once, socket_factory=self._socket)
        self.session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,  # a small answer must not become a large one
            headers={"Accept-Encoding": "identity", "User-Agent": self.agent},
            timeout=aiohttp.ClientTimeout(total=None),  # the caller's limit counts
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    async def get(self, url: str, claim: Claim) -> bytes | Failure | None:
        """Return the body of a URL that `resolve` let through, or why there is none.

        Args:
            url: The URL.
            claim: Counts the body's bytes, and keeps its version.

        Returns:
            The body, a failure, or None if the body does not fit the budget.

        Raises:
            aiohttp.ClientError: The server or the network failed.
        """

        async def read(answer: aiohttp.ClientResponse) -> bytes | Failure | None:
            claim.version = version_of_info(answer.headers)
            return await self._body(answer, claim)

        return await self._ask("GET", url, read)

    async def version(self, url: str) -> str | Failure | None:
        """Return the version of what is at a URL, see `version_of_info`, or why there is none.

        Raises:
            aiohttp.ClientError: The server or the network failed.
        """

        async def read(answer: aiohttp.ClientResponse) -> str | Failure | None:
            return version_of_info(answer.headers) if answer.status == 200 else _refused(answer.status)

        found = await self._ask("HEAD", url, read)
        if isinstance(found, Failure) and found.reason != "fetch_throttled":
            # Some servers, and URLs that are signed for GET, refuse HEAD; the body of this answer is not read.
            found = await self._ask("GET", url, read)
        return found

    async def _ask(
        self, method: str, url: str, read: Callable[[aiohttp.ClientResponse], Awaitable[T | Failure | None]]
    ) -> T | Failure | None:
        """Send a request, follow its redirects, and return what `read` makes of the answer, or why there is none."""
        from aiohttp import ClientConnectorError, InvalidURL

        for _ in range(REDIRECTS + 1):
            location = ""
            try:
                async with self.session.request(method, URL(url, encoded=True), allow_redirects=False) as answer:
                    if answer.status in (429, 503):
                        self.hosts.asked_to_wait(url, answer.headers.get("Retry-After"))
                    if answer.status not in (301, 302, 303, 307, 308):
                        tags = answer.headers.getall("X-Robots-Tag", []) if self.heeds_robots(url) else []
                        if answer.status == 200 and (directive := opted_out(tags)):
                            return Failure("image_opted_out", f"X-Robots-Tag: {directive} (input.robots)")
                        return await read(answer)
                    location = answer.headers.get("Location", "")
            except ClientConnectorError as error:
                if error.os_error.errno == errno.EPERM:
                    return Failure("uri_not_allowed", str(error.os_error.strerror))
                if error.os_error.errno in _NO_SUCH_HOST:
                    return Failure("image_missing", f"there is no host {URL(url).host!r}")
                raise
            except (InvalidURL, UnicodeError) as error:  # of a name that no host can have
                return Failure("uri_not_allowed", f"the host {URL(url).host!r} cannot be used: {error}")
            try:
                target = self.resolve(urljoin(url, location))
            except ValueError as error:  # of urljoin: what stands there is no address
                return Failure("uri_not_allowed", f"redirected to {location}, which cannot be used: {error}")
            if isinstance(target, Failure) or scheme(target) not in WEB:
                return Failure("uri_not_allowed", f"redirected to {location}, which is not allowed")
            url = target
        return Failure("image_fetch_failed", f"more than {REDIRECTS} redirects")

    async def _body(self, answer: aiohttp.ClientResponse, claim: Claim) -> bytes | Failure | None:
        if answer.status != 200:
            return _refused(answer.status)
        data = bytearray()
        if (answer.content_length or 0) > self.max_bytes:
            return too_large(self.max_bytes)
        if not claim.grow(answer.content_length or 0):
            return None
        while chunk := await answer.content.read(self.max_bytes + 1 - len(data)):
            data += chunk
            if len(data) > self.max_bytes:
                return too_large(self.max_bytes)
            if not claim.grow(len(data)):
                return None
        return bytes(data)

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        """Open a socket for one resolved address. An OSError with EPERM survives aiohttp's wrapping of errors."""
        family, kind, protocol, _, (host, *_) = address
        if not (self.allow_private or is_public(host)):
            raise OSError(errno.EPERM, f"{host} is not a public address (input.allow_private)")
        return socket.socket(family, kind, protocol)


def _refused(status: int) -> Failure:
    """Return the failure of an answer without an image."""
    return Failure(_STATUS.get(status, "image_fetch_failed"), f"HTTP status {status}")


def opted_out(tags: Iterable[str]) -> str | None:
    """Return the directive that asks not to use an image for AI; None if there is none.

    Args:
        tags: The headers X-Robots-Tag: directives, separated by commas, for all agents or after the name of one.
    """
    for tag in tags:
        agent, colon, rest = tag.lower().partition(":")
        has_agent = colon and "," not in agent and agent.strip() not in WITH_VALUES
        if has_agent and agent.strip() != TOOL:
            continue
        for directive in (rest if has_agent else tag.lower()).split(","):
            if directive.strip() in OPT_OUTS:
                return directive.strip()
    return None


def is_unreached(error: Exception) -> bool:
    """Return whether an error says that no connection to the server was made."""
    from aiohttp import ClientConnectorError

    return isinstance(error, ClientConnectorError)


def too_large(max_bytes: int) -> Failure:
    """Return the failure of an image with more than `max_bytes` bytes."""
    return Failure("image_too_large", f"more than {max_bytes} bytes (limits.image_bytes)")
