"""A folder of checkpoint files, local or at any URI that fsspec opens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec

ZOO = Path(__file__).parent.parent / "zoo"  # the models that ship with the package


class Folder:
    """The files directly below `uri`: a local path, `s3://...`, `hf://owner/name`, any other fsspec URL, or
    `zoo://name` for a model that ships with the package.

    options: for the filesystem, as fsspec takes them; without, the environment's.
    """

    def __init__(self, uri: str, **options: Any) -> None:
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
        """Whether the folder holds a file of this name."""
        return self.fs.isfile(f"{self.path}/{name}")

    def read(self, name: str) -> bytes:
        """The bytes of one file. Raises FileNotFoundError naming the folder and the file."""
        try:
            return self.fs.cat_file(f"{self.path}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            if self.fs.isfile(self.path):
                here = "this is a file; `vilt convert` makes a folder of an original checkpoint"
            else:
                here = "the folder has no such file" if self.fs.isdir(self.path) else "no such folder"
            raise FileNotFoundError(f"no {name} in {self.uri!r}: {here}") from None

    def read_json(self, name: str) -> dict[str, Any]:
        """One JSON object. Raises ValueError naming the file where it is not one."""
        try:
            value = json.loads(self.read(name))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.uri}/{name} is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise ValueError(f"{self.uri}/{name} holds a {type(value).__name__}, not a JSON object")
        return value

    def write(self, name: str, content: str | bytes) -> None:
        """Write one file, making the folder where it is missing."""
        self.fs.makedirs(self.path, exist_ok=True)
        self.fs.pipe_file(f"{self.path}/{name}", content.encode() if isinstance(content, str) else content)


Source = str | Folder  # what `from_pretrained` takes: a URI, or a folder opened with options of its own


def as_folder(source: Source) -> Folder:
    """A folder as it is, or the folder at a URI."""
    return source if isinstance(source, Folder) else Folder(source)


def read_file(uri: str) -> bytes:
    """The bytes of one file, at a path or a URI that fsspec opens."""
    parent, slash, name = uri.rpartition("/")
    return Folder(parent or slash or ".").read(name)
