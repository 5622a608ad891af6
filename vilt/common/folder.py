"""A folder of checkpoint files: local, or at any URI that fsspec opens."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any

import fsspec

from vilt.common.errors import CheckpointError
from vilt.common.json_text import NestedTooDeeplyError, read_json

ZOO = Path(__file__).parent.parent / "zoo"  # the models that ship with the package
SAFETENSORS = "model.safetensors"  # the file of weights, if they are in one
MOST_JSON_BYTES = 2**24  # of a file of settings: more than a hundred thousand named classes


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
    _ahead: tuple[str, Future[tuple[bytes, str]]] | None = None  # the file that is read ahead

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

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return the bytes of one file.

        Args:
            name: Its name.
            most: Most bytes that it may have; None for no limit.

        Raises:
            CheckpointError: The file is larger than `most`.
            FileNotFoundError: There is no such file; the message names the folder and the file.
        """
        part = {} if most is None else {"start": 0, "end": most + 1}
        try:
            data: bytes = self.fs.cat_file(f"{self.path}/{name}", **part)
        except (FileNotFoundError, NotADirectoryError):
            if self.fs.isfile(self.path):
                here = "this is a file; `vilt convert` makes a folder of an original checkpoint"
            else:
                here = "the folder has no such file" if self.fs.isdir(self.path) else "no such folder"
            raise FileNotFoundError(f"no {name} in {self.uri!r}: {here}") from None
        self.check_size(name, len(data), most)
        return data

    def read_hashed(self, name: str) -> tuple[bytes, str]:
        """Return the bytes of one file, and their sha256. Raises as `read`."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == name and ahead[1].exception() is None:
            return ahead[1].result()
        data = self.read(name)  # what failed is tried again, and says why
        return data, hashlib.sha256(data).hexdigest()

    def read_ahead(self, name: str) -> None:
        """Begin to read and hash a file, for the next `read_hashed`."""
        ahead: Future[tuple[bytes, str]] = Future()

        def read() -> None:
            try:
                data = self.read(name)
                ahead.set_result((data, hashlib.sha256(data).hexdigest()))
            except BaseException as error:  # which is left to `read_hashed`
                ahead.set_exception(error)

        Thread(target=read, daemon=True).start()
        self._ahead = name, ahead

    def check_size(self, name: str, size: int, most: int | None) -> None:
        """Raise CheckpointError if a file is larger than it may be."""
        if most is not None and size > most:
            raise CheckpointError(f"{self.uri}/{name} is larger than {most:,} bytes, the most for such a file")

    def read_json(self, name: str) -> dict[str, Any]:
        """Return one JSON object. Raises CheckpointError naming the file when it is not one, or is too large."""
        data = self.read(name, MOST_JSON_BYTES)
        try:
            value = read_json(data)
        except NestedTooDeeplyError as error:
            raise CheckpointError(f"{self.uri}/{name} is {error}") from None
        except ValueError as error:  # of JSON, of UTF-8, or a number of too many digits
            raise CheckpointError(f"{self.uri}/{name} is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise CheckpointError(f"{self.uri}/{name} holds a {type(value).__name__}, not a JSON object")
        return value

    def write(self, name: str, content: str | bytes) -> None:
        """Write one file, making the folder when it is missing."""
        if "file" in self.fs.protocol or "memory" in self.fs.protocol:  # object stores have no folders, but buckets
            self.fs.makedirs(self.path, exist_ok=True)
        self.fs.pipe_file(f"{self.path}/{name}", content.encode() if isinstance(content, str) else content)

    def stored(self) -> tuple[dict[str, Any], str] | None:
        """Return tensors and their hash when the folder makes them of other files; else None."""
        return None

    @property
    def is_plain(self) -> bool:
        """Return whether its tensors are those of its files, not made of them."""
        return type(self).stored is Folder.stored

    def local_path(self, name: str) -> str | None:
        """Return where a file lies on this machine; None when it lies elsewhere."""
        path = f"{self.path}/{name}"
        return path if "file" in self.fs.protocol and os.path.isfile(path) else None
