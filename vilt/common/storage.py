"""A folder of checkpoint files: local, at any URI that fsspec opens, or a repository of the Hugging Face hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec

from vilt.common.json_text import NestedTooDeeplyError, read_json

ZOO = Path(__file__).parent.parent / "zoo"  # the models that ship with the package


class Folder:
    """The files directly below a URI.

    Args:
        uri: A local path, `s3://...`, any other URL that fsspec opens, or `zoo://name` for a model that ships with the
            package.
        **options: For the filesystem, as fsspec takes them; without any, the environment decides.

    Raises:
        ValueError: No filesystem knows the URI.
    """

    commit_hash: str | None = None  # the revision that is read, when the folder is one of the hub

    def __init__(self, uri: str | os.PathLike[str], **options: Any) -> None:
        self.uri = str(uri)
        scheme, _, name = self.uri.partition("://")
        location = str(ZOO / name) if scheme == "zoo" else self.uri
        try:
            self.fs, self.path = fsspec.core.url_to_fs(location, **options)
        except (ImportError, ValueError) as error:
            raise ValueError(f"cannot open {self.uri!r}: {error}") from error

    def __str__(self) -> str:
        return self.uri

    def exists(self, name: str) -> bool:
        """Tell whether the folder holds a file of this name."""
        return bool(self.fs.isfile(f"{self.path}/{name}"))

    def read(self, name: str) -> bytes:
        """Return the bytes of one file. Raises FileNotFoundError naming the folder and the file."""
        try:
            data: bytes = self.fs.cat_file(f"{self.path}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            if self.fs.isfile(self.path):
                here = "this is a file; `vilt convert` makes a folder of an original checkpoint"
            else:
                here = "the folder has no such file" if self.fs.isdir(self.path) else "no such folder"
            raise FileNotFoundError(f"no {name} in {self.uri!r}: {here}") from None
        return data

    def read_json(self, name: str) -> dict[str, Any]:
        """Return one JSON object. Raises ValueError naming the file when it is not one."""
        try:
            value = read_json(self.read(name))
        except NestedTooDeeplyError as error:
            raise ValueError(f"{self.uri}/{name} is {error}") from None
        except ValueError as error:
            raise ValueError(f"{self.uri}/{name} is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise ValueError(f"{self.uri}/{name} holds a {type(value).__name__}, not a JSON object")
        return value

    def write(self, name: str, content: str | bytes) -> None:
        """Write one file, making the folder when it is missing."""
        if "file" in self.fs.protocol or "memory" in self.fs.protocol:  # object stores have no folders, but buckets
            self.fs.makedirs(self.path, exist_ok=True)
        self.fs.pipe_file(f"{self.path}/{name}", content.encode() if isinstance(content, str) else content)

    def stored(self) -> tuple[dict[str, Any], str] | None:
        """Return tensors and their hash when the folder makes them of other files; else None."""
        return None

    def local_path(self, name: str) -> str | None:
        """Return where a file lies on this machine; None when it lies elsewhere."""
        path = f"{self.path}/{name}"
        return path if "file" in self.fs.protocol and os.path.isfile(path) else None


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
    from vilt.common.hub import HubFolder, is_repository

    uri = str(source)
    if is_repository(uri) and not os.path.exists(uri):
        return HubFolder(uri, **(hub_options or {}))
    subfolder = (hub_options or {}).get("subfolder")
    return Folder(f"{uri.rstrip('/')}/{subfolder}" if subfolder else uri, **options)


def read_file(uri: str) -> bytes:
    """Return the bytes of one file, at a path or a URI that fsspec opens."""
    parent, slash, name = uri.rpartition("/")
    return Folder(parent or slash or ".").read(name)
