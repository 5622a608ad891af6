"""Read the footer of a Parquet file whose size is known with one request.

pyarrow asks an fsspec storage three times: whether the file is there, how large it is, and for its end. A listing has
answered the first two.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.storage.filesystem import arrow_filesystem, is_object_store, storage_errors

END_BYTES = 2**16  # that are read first, as pyarrow does
TRAILER_BYTES = 8  # the length of the footer, and a mark


def read_metadata(filesystem: AbstractFileSystem, path: str, size: int) -> pq.FileMetaData:
    """Return the footer of a file, which is asked for in the usual way if its end is not what was expected.

    Args:
        filesystem: Where it is.
        path: The file.
        size: Its bytes, as a listing says.
    """
    found = metadata_at_end(filesystem, path, size) if is_object_store(filesystem) else None
    return found or pq.read_metadata(path, filesystem=arrow_filesystem(filesystem))


def metadata_at_end(filesystem: AbstractFileSystem, path: str, size: int) -> pq.FileMetaData | None:
    """Return the footer of a file.

    Args:
        filesystem: Where it is.
        path: The file.
        size: Its bytes, as a listing says.

    Returns:
        None if it cannot be read so: the storage failed, or the file has changed or is damaged. Reading it in the usual
        way tells which.
    """
    try:
        begin = max(0, size - END_BYTES)
        end = filesystem.cat_file(path, start=begin, end=size)
        footer = int.from_bytes(end[-TRAILER_BYTES:-4], "little") + TRAILER_BYTES
        if len(end) < footer <= size:
            end = filesystem.cat_file(path, start=size - footer, end=size)
        return pq.read_metadata(pa.BufferReader(end))
    except (*storage_errors(), pa.ArrowException, ValueError, NotImplementedError):
        return None


def fsspec_of(filesystem: pa.fs.FileSystem) -> AbstractFileSystem | None:
    """Return the fsspec filesystem that one of pyarrow's wraps; None if it is pyarrow's own."""
    handler = getattr(filesystem, "handler", None)
    return handler.fs if isinstance(handler, pa.fs.FSSpecHandler) else None
