"""List a folder of an object store page by page, so that a million names are never held as a million dictionaries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem

NAMES_PER_PAGE = 1_000  # the most that S3 lists with one request


class Page(NamedTuple):
    """What one request lists: files as fsspec tells of them, and folders by their paths."""

    files: list[dict[str, Any]]
    folders: list[str]


def has_pages(filesystem: AbstractFileSystem) -> bool:
    """Return whether a storage can be listed page by page, as s3fs can."""
    return callable(getattr(filesystem, "call_s3", None))


def list_pages(filesystem: AbstractFileSystem, folder: str, deep: bool) -> Iterator[Page]:
    """Yield the pages of a folder's listing.

    Args:
        filesystem: One with `has_pages`.
        folder: The folder, as "bucket/folder".
        deep: Whether to list the files of folders below it, and not these folders.
    """
    bucket, _, key = folder.strip("/").partition("/")
    prefix = f"{key}/" if key else ""
    more: dict[str, Any] = {} if deep else {"Delimiter": "/"}
    while True:
        said = filesystem.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=NAMES_PER_PAGE, **more)
        files = [
            {"name": f"{bucket}/{one['Key']}", "size": one["Size"], "type": "file", **_version(one)}
            for one in said.get("Contents", [])
            if not one["Key"].endswith("/")  # an object that stands for a folder
        ]
        yield Page(files, [f"{bucket}/{one['Prefix'].rstrip('/')}" for one in said.get("CommonPrefixes", [])])
        if not said.get("IsTruncated"):
            return
        more["ContinuationToken"] = said["NextContinuationToken"]


def _version(said: dict[str, Any]) -> dict[str, Any]:
    return {name: said[name] for name in ("ETag", "LastModified") if name in said}
