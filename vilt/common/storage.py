"""Where checkpoint files are: a folder at a path or a URI, or a repository of the Hugging Face hub."""

from __future__ import annotations

import os
from typing import Any

from vilt.common.folder import Folder
from vilt.common.hub import HubFolder, is_repository

Source = str | os.PathLike[str] | Folder  # what `from_pretrained` takes: a URI, or a folder with options of its own


def as_folder(source: Source, hub_options: dict[str, Any] | None = None, **options: Any) -> Folder:
    """Return the folder at a URI, or a folder as it is.

    Args:
        source: A path or URI. `owner/name` and `name` that are no folders on this machine, and `hf://owner/name`, are
            repositories of the hub.
        hub_options: Of `vilt.common.hub.HubFolder`.
        **options: For the filesystem, as fsspec takes them.
    """
    if isinstance(source, Folder):
        return source
    uri = str(source)
    if is_repository(uri) and not os.path.exists(uri):
        return HubFolder(uri, **(hub_options or {}))
    subfolder = (hub_options or {}).get("subfolder")
    return Folder(f"{uri.rstrip('/')}/{subfolder}" if subfolder else uri, **options)


def read_file(uri: str) -> bytes:
    """Return the bytes of one file, at a path or a URI that fsspec opens."""
    parent, slash, name = uri.rpartition("/")
    return Folder(parent or slash or ".").read(name)
