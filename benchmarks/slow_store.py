"""Simulated object stores, which take some milliseconds for each request."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

NAMES_PER_LISTING = 1000  # that one request lists, as S3 does
ROWS = 10  # of a file


def content() -> bytes:
    """Return the bytes of each file."""
    columns = {"image": [b"x" * 50] * ROWS, "text": ["a small red star"] * ROWS, "id": list(range(ROWS))}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


class SlowStore(AbstractFileSystem):
    """A store of `files` files that nothing holds.

    `slow://table/0123/0123-00456.parquet` in folders of a thousand, and `slow://flat/flat-000123456.parquet` in one.
    """

    protocol = "slow"
    cachable = False

    def __init__(self, files: int = 1000, seconds: float = 0.03, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.files, self.seconds, self.data = files, seconds, content()

    def _wait(self, requests: int = 1) -> None:
        time.sleep(self.seconds * requests)

    def _names(self, folder: int) -> list[str]:
        begin = folder * NAMES_PER_LISTING
        return [
            f"table/{folder:04d}/{folder:04d}-{number - begin:05d}.parquet"
            for number in range(begin, min(begin + NAMES_PER_LISTING, self.files))
        ]

    def _info(self, name: str) -> dict[str, Any]:
        tag = f'"{name[-18:-8]:0>32}"'
        return {"name": name, "size": len(self.data), "type": "file", "ETag": tag}

    def _folder(self, name: str) -> dict[str, Any]:
        return {"name": name, "size": 0, "type": "directory"}

    def call_s3(self, method: str, **said: Any) -> dict[str, Any]:
        """List a page, as s3fs does: one request."""
        assert method == "list_objects_v2"
        self._wait()
        if said["Bucket"] == "flat":
            begin = int(said.get("ContinuationToken", 0))
            end = min(begin + NAMES_PER_LISTING, self.files)
            names = [f"flat/flat-{number:09d}.parquet" for number in range(begin, end)]
            more = {"IsTruncated": end < self.files, "NextContinuationToken": str(end)}
            return {"Contents": [self._object(name) for name in names], **more}
        if said["Prefix"]:
            return {"Contents": [self._object(name) for name in self._names(int(said["Prefix"].strip("/")))]}
        folders = -(-self.files // NAMES_PER_LISTING)
        return {"CommonPrefixes": [{"Prefix": f"{folder:04d}/"} for folder in range(folders)]}

    def _object(self, name: str) -> dict[str, Any]:
        info = self._info(name)
        return {"Key": name.partition("/")[2], "Size": info["size"], "ETag": info["ETag"]}

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """List a folder: a request for each thousand names."""
        del kwargs
        path = self._strip_protocol(path).strip("/")
        folders = -(-self.files // NAMES_PER_LISTING)
        if path == "table":
            self._wait(-(-folders // NAMES_PER_LISTING))
            infos = [self._folder(f"table/{folder:04d}") for folder in range(folders)]
        elif path.startswith("table/") and path.count("/") == 1 and path.rpartition("/")[2].isdigit():
            self._wait()
            infos = [self._info(name) for name in self._names(int(path.rpartition("/")[2]))]
        else:
            self._wait()
            raise FileNotFoundError(path)
        return infos if detail else [info["name"] for info in infos]

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Return what is at a path: one request."""
        del kwargs
        self._wait()
        path = self._strip_protocol(path).strip("/")
        if path.endswith(".parquet"):
            return self._info(path)
        if path in ("table", "flat") or (path.count("/") == 1 and path.rpartition("/")[2].isdigit()):
            return self._folder(path)
        raise FileNotFoundError(path)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Return a range of a file: one request."""
        del path, kwargs
        self._wait()
        return self.data[start:end]

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        """Open a file: a request for its size, and one for each read."""
        del path, mode, kwargs
        self._wait()
        return SlowFile(self.data, self.seconds)


class SlowFile(io.BytesIO):
    """A file whose every read is a request."""

    def __init__(self, data: bytes, seconds: float) -> None:
        super().__init__(data)
        self.seconds, self.size = seconds, len(data)

    def read(self, size: int | None = -1) -> bytes:
        """Read after the store's latency."""
        time.sleep(self.seconds)
        return super().read(size)


class SlowBucket(LocalFileSystem):
    """A local folder that passes for an object store, and waits for each request."""

    protocol = ("s3",)
    cachable = False

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return SlowBucket, (self.seconds,)

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        """Copy an object; here by a link, so that the time is the store's and not this machine's disk's."""
        del kwargs
        time.sleep(2 * self.seconds)
        os.link(path1, path2)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove objects."""
        time.sleep(self.seconds)
        if isinstance(path, list) and not recursive:
            for one in path:
                os.unlink(one)
        else:
            super().rm(path, recursive, maxdepth)

    def rm_file(self, path: str) -> None:
        """Remove an object."""
        time.sleep(self.seconds)
        Path(path).unlink()

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Return what is at a path; a bucket always is."""
        bucket = isinstance(path, str) and not path.startswith("/")
        found: dict[str, Any] = {"type": "directory"} if bucket else super().info(path, **kwargs)
        return found


def register(files: int, seconds: float) -> None:
    """Make `slow://` the store of so many files in this process."""
    SlowStore.__init__.__defaults__ = (files, seconds)  # type: ignore[misc]
    fsspec.register_implementation("slow", SlowStore, clobber=True)
