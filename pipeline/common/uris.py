"""URIs in one spelling, so that they can be compared with the prefixes that are allowed."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote, urlsplit

from yarl import URL

WEB = ("http", "https")
_ANY_HOST = re.compile(r"https?://\*/?", re.IGNORECASE)
_SENDABLE = re.compile(r"(?:[A-Za-z0-9!$&'()*+,\-./:;=?@_~]|%[0-9A-Fa-f]{2})*")  # characters of a URL, RFC 3986


def scheme(uri: str) -> str:
    """Return the scheme in lower case; "" for a local path."""
    return uri.partition("://")[0].lower() if "://" in uri else ""


def normal(uri: str) -> str:
    """Return a URI in one spelling: `.` and `..` resolved, `file://` gone, an http(s) URL as it will be sent.

    Empty segments of keys in an object store are kept: there `a//b` is not `a/b`.

    Raises:
        ValueError: An http(s) URL has credentials, no host, or `..` in its path in any encoding.
    """
    kind = scheme(uri)
    if kind in WEB:
        return _normal_web(uri)
    if kind == "file":
        return posixpath.normpath(unquote(urlsplit(uri).path))
    if not kind:
        return posixpath.normpath(uri)
    host, _, path = uri[len(kind) + 3 :].partition("/")
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    return f"{kind}://{host}/{'/'.join(segments)}".rstrip("/")


def _normal_web(uri: str) -> str:
    if ".." in re.split(r"[/\\]", unquote(urlsplit(uri).path)):
        raise ValueError("a path with '..'")
    url = URL(uri).with_fragment(None)
    if url.user is not None or url.password is not None:
        raise ValueError("a URL with a user name")
    if not url.host:
        raise ValueError("a URL without a host")
    return str(url)


def as_given(uri: str, full: str) -> str:
    """Return an http(s) URL in the spelling in which it was given, if its characters can be sent as they are.

    Args:
        uri: The URL as it was given.
        full: The same as `normal` spells it. Its host is the one that counts.
    """
    rest = uri.partition("#")[0].partition("://")[2]
    path = rest[len(re.split(r"[/?]", rest, maxsplit=1)[0]) :]
    if not _SENDABLE.fullmatch(path):
        return full
    return f"{URL(full).origin()}{path if path.startswith('/') else f'/{path}'}"


def is_any_host(prefix: str) -> bool:
    """Return whether a prefix of `input.allow` means every public host."""
    return _ANY_HOST.fullmatch(prefix) is not None


def as_prefix(uri: str) -> str:
    """Return the prefix of all URIs below `uri`."""
    return uri.rstrip("/") + "/"
