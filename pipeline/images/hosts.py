"""What this process knows of the web hosts that it reads from: how much each can bear, and whether it is there at all.

Tables of links to the open web name a million hosts, of which some are small, some are busy and some are gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache
from importlib.metadata import version
from urllib.parse import urlsplit

PER_HOST = 4  # requests at once to a host that no prefix names
DOWN_AFTER = 3  # URLs of a host in a row that could not be reached
DOWN_SECONDS = 60.0  # how long it is then thought to be down
TOOL = "vilt-pipeline"  # as hosts know it
MOST_HOSTS = 100_000  # that are remembered


class Hosts:
    """The hosts that asked for a pause, and those that could not be reached.

    A host that is down is still asked, so that no row is lost on a suspicion: once for each URL, and for a short time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._unreached: dict[str, tuple[int, float]] = {}  # host -> URLs in a row, and when the last was
        self._wait_until: dict[str, float] = {}

    def reached(self, url: str) -> None:
        """Note that a host has answered."""
        self._unreached.pop(host_of(url), None)

    def unreached(self, url: str) -> None:
        """Note that a host did not answer, after all attempts for a URL."""
        host = host_of(url)
        if host not in self._unreached and len(self._unreached) >= MOST_HOSTS:
            self._unreached.clear()
        self._unreached[host] = self._unreached.get(host, (0, 0.0))[0] + 1, self._clock()

    def is_down(self, url: str) -> bool:
        """Return whether several URLs of a host in a row could not be reached a short time ago."""
        urls, last = self._unreached.get(host_of(url), (0, 0.0))
        return urls >= DOWN_AFTER and self._clock() < last + DOWN_SECONDS

    def asked_to_wait(self, url: str, retry_after: str | None) -> None:
        """Note a host's header `Retry-After` (RFC 9110, 10.2.3): seconds, or a date."""
        seconds = _seconds(retry_after)
        if seconds is not None:
            if len(self._wait_until) >= MOST_HOSTS:
                self._wait_until.clear()
            self._wait_until[host_of(url)] = self._clock() + seconds

    def wait_of(self, url: str) -> float:
        """Return for how many seconds a host has asked to be left alone."""
        return max(0.0, self._wait_until.get(host_of(url), 0.0) - self._clock())


@lru_cache(maxsize=1)
def hosts_of_process() -> Hosts:
    """Return what this process knows of hosts."""
    return Hosts()


def host_of(url: str) -> str:
    """Return the host and port of a URL."""
    return urlsplit(url).netloc.lower()


def user_agent(contact: str | None) -> str:
    """Return the header by which hosts know who reads from them.

    Args:
        contact: An address or URL, as in `input.contact`.
    """
    return f"{TOOL}/{version('vilt-pipeline')}" + (f" (+{contact})" if contact else "")


def _seconds(retry_after: str | None) -> float | None:
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return max(0.0, (when - datetime.now(timezone.utc)).total_seconds())
