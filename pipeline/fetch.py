"""URIs -> bytes or a reason: only allowed places, never more bytes than the limit, many at once."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

import fsspec

from pipeline.reasons import Failure

Fetched = bytes | Failure
_KINDS: tuple[tuple[type[OSError], str], ...] = (
    (FileNotFoundError, "image_missing"),
    (IsADirectoryError, "image_missing"),
    (PermissionError, "image_forbidden"),
)


class Fetcher:
    """Reads images by URI.

    Allowed are URIs below `base`, the table's own folder, and below the prefixes in `allow`. A URI without a scheme
    is relative to `base`. At most `max_bytes` + 1 bytes of each are read.
    """

    def __init__(self, base: str, allow: Sequence[str], max_bytes: int) -> None:
        self.base = _normal(base)
        self.allowed = [_as_prefix(self.base), *(_as_prefix(_normal(prefix)) for prefix in allow)]
        self.max_bytes = max_bytes

    def resolve(self, uri: str) -> str | Failure:
        """The full URI, or why it must not be read. `..` is resolved before it is compared."""
        full = _normal(uri if "://" in uri or uri.startswith("/") else f"{self.base}/{uri}")
        if full.startswith(tuple(self.allowed)):
            return full
        return Failure("uri_not_allowed", f"{uri!r} is not below {' or '.join(map(repr, self.allowed))}")

    def fetch(self, uris: Sequence[str]) -> list[Fetched]:
        """The bytes of each URI, or its failure. A URI that stands there twice is read once."""
        resolved = [self.resolve(uri) for uri in uris]
        found: dict[str, Fetched] = {}
        by_scheme: dict[str, list[str]] = {}
        for full in dict.fromkeys(r for r in resolved if isinstance(r, str)):
            by_scheme.setdefault(urlsplit(full).scheme, []).append(full)
        for same in by_scheme.values():
            found.update(self._read(same))
        return [found[r] if isinstance(r, str) else r for r in resolved]

    def _read(self, uris: list[str]) -> dict[str, Fetched]:
        """URIs of one scheme, read together."""
        try:
            filesystem, _ = fsspec.core.url_to_fs(uris[0])
        except (ImportError, ValueError) as error:
            return dict.fromkeys(uris, Failure("image_fetch_failed", str(error)))
        paths = [filesystem._strip_protocol(uri) for uri in uris]
        ends = [self.max_bytes + 1] * len(paths)
        got = filesystem.cat_ranges(paths, [0] * len(paths), ends, on_error="return")
        return {uri: self._judge(value) for uri, value in zip(uris, got, strict=True)}

    def _judge(self, value: bytes | BaseException) -> Fetched:
        if isinstance(value, bytes):
            return value if len(value) <= self.max_bytes else too_large(self.max_bytes)
        if isinstance(value, OSError) and "not satisfiable" in str(value):  # S3's answer to a range of an empty object
            return b""
        reason = next((reason for kind, reason in _KINDS if isinstance(value, kind)), "image_fetch_failed")
        return Failure(reason, f"{type(value).__name__}: {value}")


def too_large(max_bytes: int) -> Failure:
    """The failure of an image with more than `max_bytes` bytes."""
    return Failure("image_too_large", f"more than {max_bytes} bytes (limits.image_bytes)")


def _normal(uri: str) -> str:
    """A URI in one spelling: `file://` gone, `.`, `..` and doubled slashes resolved."""
    if uri.startswith("file://"):
        uri = unquote(urlsplit(uri).path)
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return posixpath.normpath(uri)
    host, _, path = rest.partition("/")
    return f"{scheme.lower()}://{host}{posixpath.normpath('/' + path)}".rstrip("/")


def _as_prefix(uri: str) -> str:
    return uri.rstrip("/") + "/"
