"""Versions of images: the etag of each, or the time of its last change and its size, without reading it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence

from pipeline.common.error_codes import RETRYABLE, Failure
from pipeline.common.file_versions import version_of_info, version_of_stat
from pipeline.common.uris import WEB, scheme
from pipeline.images.budget import Claim
from pipeline.images.fetch import Fetched, Fetcher, call
from pipeline.images.http import WebClient

GONE = "gone"  # stands for the version of an image that cannot be read any more


class VersionFetcher(Fetcher):
    """Asks for the versions of images by URI, one request each, as `Fetcher` reads them."""

    def versions_of(self, uris: Sequence[str]) -> dict[str, str | None]:
        """Return URI -> version; `GONE` if the image can no longer be read; None if its storage did not say."""
        for prefix in self.allowed:
            if scheme(prefix) and scheme(prefix) not in WEB:
                self._filesystem(prefix).invalidate_cache()  # what a listing has said earlier is of an earlier time
        found = zip(uris, self.fetch(uris), strict=True)
        return {uri: _version_or_gone(one) for uri, one in found}

    async def _get(self, uri: str, web: WebClient, claim: Claim) -> Fetched | None:
        """Return the version of an image in place of its bytes, or why there is none."""
        del claim  # nothing is read
        if scheme(uri) in WEB:
            version = await web.version(uri)
        elif scheme(uri):
            filesystem = self._filesystem(uri)
            version = version_of_info(await call(filesystem, "info", filesystem._strip_protocol(uri)))
        else:
            found = await asyncio.to_thread(self._local, uri)
            version = found if isinstance(found, Failure) else version_of_stat(os.stat(found))
        return version if isinstance(version, Failure) else (version or "").encode()


def _version_or_gone(found: Fetched) -> str | None:
    if isinstance(found, Failure):
        return None if found.reason in RETRYABLE else GONE
    return found.decode() or None


def row_version(cells: Sequence[Fetched | str], versions: Mapping[str, str | None]) -> str | None:
    """Return the version of a row's images as one value; None if none of them is known.

    Args:
        cells: The images, of which some may be URIs.
        versions: URI -> version.
    """
    found = [versions.get(cell) if isinstance(cell, str) else None for cell in cells]
    if not any(found):
        return None
    return found[0] if len(found) == 1 else json.dumps(found)
