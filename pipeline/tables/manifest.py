"""`OUT/_manifest`: what the footers of a very large table say, as columns of one Parquet file.

A run that resumes, `vilt plan` with the same output, and `vilt filter` with its scores, read it and open no file of the
table. It is only ever taken for the listing that it was made from, which its key says; it may be removed at any time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.cluster.session import ray_session
from pipeline.common.errors import ConfigError, first_line
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import make_folder, open_fsspec, storage_errors, write_whole
from pipeline.storage.parquet.reading import guarded_table_of

MANIFEST = "_manifest"
KEY = b"vilt.key"
VERSION = 2  # raised when footers are read otherwise
T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Manifest:
    """The manifest beside an output.

    Attributes:
        output: URI of the output folder, in which it is written.
        storage: How to reach it.
        address: The Ray cluster on which footers are read if there is no manifest yet; None: one that ends here.
        others: URIs of output folders of other jobs over the same table, whose manifests are taken as well.
    """

    output: str
    storage: StorageConfig
    address: str | None = None
    others: tuple[str, ...] = ()

    def read(self, key: str, decode: Callable[[pa.Table], T]) -> T | None:
        """Return what was kept for a key; None if there is nothing, or something else.

        Args:
            key: The listing.
            decode: Makes a value of the table; it raises ValueError or KeyError if the table is damaged.
        """
        kept = (self._read_at(output, key, decode) for output in (self.output, *self.others))
        return next((one for one in kept if one is not None), None)

    def _read_at(self, output: str, key: str, decode: Callable[[pa.Table], T]) -> T | None:
        try:
            filesystem, path = open_fsspec(output, "output.path", self.storage)
            filesystem.invalidate_cache()
            data = filesystem.cat_file(f"{path.rstrip('/')}/{MANIFEST}")
            if pq.read_schema(pa.BufferReader(data)).metadata.get(KEY) != self._stored(key):
                return None
            return decode(guarded_table_of(data, MANIFEST))
        except (*storage_errors(), ConfigError, pa.ArrowException, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, key: str, table: pa.Table) -> None:
        """Keep a table for a key. If the storage refuses, a later run reads the footers again."""
        metadata = {**(table.schema.metadata or {}), KEY: self._stored(key)}
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd")
        try:
            filesystem, path = open_fsspec(self.output, "output.path", self.storage)
            make_folder(filesystem, path.rstrip("/"))
            write_whole(filesystem, f"{path.rstrip('/')}/{MANIFEST}", sink.getvalue())
        except (*storage_errors(), ConfigError) as error:
            logger.warning("%s/%s: cannot be written: %s", self.output, MANIFEST, first_line(error))

    def session(self) -> AbstractContextManager[None]:
        """Return a context in which a Ray runs."""
        return ray_session(self.address)

    @staticmethod
    def _stored(key: str) -> bytes:
        return f"{VERSION} {key}".encode()
