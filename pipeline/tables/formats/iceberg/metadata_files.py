"""The files of an Iceberg table's metadata, as pyiceberg opens them: below the table's folder, and bounded in memory.

Metadata names every other file by its full URI, and compressed Avro and JSON may unpack to anything. pyiceberg opens
all of them by the class that stands in its property `py-io-impl`.
"""

from __future__ import annotations

import bz2
import json
import os
import posixpath
import re
import zlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import load_catalog
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.io import FileIO
from pyiceberg.io.fsspec import FsspecFileIO, FsspecInputFile
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import StaticTable, Table

from pipeline.common import uris
from pipeline.common.errors import ConfigError
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig

IO = "py-io-impl"  # a property: the class that opens files
FOLDERS = "vilt.folders"  # a property: JSON list of the prefixes below which files are read
MOST_UNPACKED = 2**28  # bytes of a file, and more if it has at least a hundredth of them
MOST_RATIO = 100
STEP = 2**20


class GuardedFileIO(FsspecFileIO):
    """Opens the files of a table that a stranger may have written."""

    def new_input(self, location: str) -> FsspecInputFile:
        """Open a file to read.

        Raises:
            ConfigError: It is not below the table's folder, nor below a prefix of `input.allow`; or it unpacks to far
                more than it has.
        """
        if not is_below(location, json.loads(self.properties[FOLDERS])):
            raise ConfigError(
                f"input.path: the metadata of the Iceberg table names {location[:300]!r}, which is not below its "
                "folder; list the folder in input.allow to read it"
            )
        file: FsspecInputFile = super().new_input(location)
        if location.endswith((".avro", ".gz", ".gz.metadata.json")):
            with file.open() as opened:
                data = opened.read()
            most = max(MOST_UNPACKED, MOST_RATIO * len(data))
            if any(size > most for size in _sizes(data, most)):
                raise ConfigError(
                    f"input.path: {location[:300]!r} of {len(data):,} bytes unpacks to more than {most:,}: not read"
                )
        return file


def load_table(catalog: str, table: str) -> Table:
    """Return a table of a catalog.

    pyiceberg calls what the property `py-io-impl` of the table names, whatever that is; here it may be a class of
    pyiceberg alone.
    """
    known = load_catalog(catalog)
    load = known._load_file_io

    def load_file_io(properties: Mapping[str, str] = MappingProxyType({}), location: str | None = None) -> FileIO:
        kept = {key: value for key, value in properties.items() if key != IO or value.startswith("pyiceberg.io.")}
        return load(kept, location)

    known._load_file_io = load_file_io  # type: ignore[method-assign]
    return known.load_table(table)


def open_metadata(uri: str, spec: InputConfig, storage: StorageConfig) -> StaticTable:
    """Return the table of a metadata file, whose properties, which may name any class to call, are left alone.

    Raises:
        ConfigError: Its location is not the folder that the metadata is in, nor below a prefix of `input.allow`.
    """
    root = posixpath.dirname(posixpath.dirname(uri))
    folders = [uris.as_prefix(one) for one in (root, *spec.allow) if not uris.is_any_host(one)]
    io = GuardedFileIO({**_properties(storage), FOLDERS: json.dumps(folders)})
    metadata = FromInputFile.table_metadata(io.new_input(uri))
    if not is_below(uris.as_prefix(metadata.location), folders):
        raise ConfigError(
            f"input.path: the Iceberg table {uri!r} says that it is at {metadata.location[:300]!r}, not in the folder "
            "of its metadata: list that folder in input.allow to read it"
        )
    return StaticTable(("static-table", uri), metadata, uri, io, NoopCatalog("static-table"))


def _properties(storage: StorageConfig) -> dict[str, str]:
    """Return what pyiceberg needs to read metadata: fsspec, as everything else is read, and the section `storage`."""
    secrets = {"access-key-id": storage.key, "secret-access-key": storage.secret, "session-token": storage.token}
    values = {name: value.get_secret_value() for name, value in secrets.items() if value is not None}
    endpoint = storage.endpoint_url or os.environ.get("AWS_ENDPOINT_URL")
    values |= {"endpoint": endpoint} if endpoint else {}
    values |= {"region": storage.region} if storage.region else {}
    values |= {"anonymous": "true"} if storage.anon else {}
    return {f"s3.{name}": value for name, value in values.items()}


def is_below(location: str, folders: list[str]) -> bool:
    """Return whether a file is below one of some prefixes, all of them URIs or local paths."""
    if ".." in location.replace("\\", "/").split("/"):
        return False
    return _plain(location).startswith(tuple(map(_plain, folders)))


def _plain(uri: str) -> str:
    """Return a URI in one spelling: a local path alone, and s3:// for s3a://."""
    return re.sub(r"^s3[an]://", "s3://", re.sub(r"^file:/*(?=/)", "", uri))


def _sizes(data: bytes, most: int) -> Iterator[int]:
    """Yield how much of a file is unpacked, block by block, without holding it."""
    if not data.startswith(b"Obj\x01"):
        yield _unpacked(data, "gzip", most)
        return
    at, codec, total = 4, "null", 0
    try:
        while count := (values := _long(data, at))[0]:
            at = values[1]
            if count < 0:
                count, (_, at) = -count, _long(data, at)
            for _ in range(count):
                name, at = _bytes(data, at)
                value, at = _bytes(data, at)
                codec = value.decode(errors="replace") if name == b"avro.codec" else codec
        at = values[1] + 16
        while at < len(data):
            _, at = _long(data, at)
            block, at = _bytes(data, at)
            at += 16
            total += _unpacked(block, codec, most)
            yield total
    except IndexError:  # pyiceberg says what is wrong
        return


def _unpacked(data: bytes, codec: str, most: int) -> int:
    """Return how many bytes data unpacks to, or some number beyond `most`."""
    if codec == "snappy":
        try:
            return _varint(data, 0)[0]
        except IndexError:
            return 0
    if codec == "zstandard":
        return _streamed(data, most)
    makers: dict[str, Any] = {
        "deflate": lambda: zlib.decompressobj(-15),
        "gzip": lambda: zlib.decompressobj(31),
        "bzip2": bz2.BZ2Decompressor,
    }
    if codec not in makers:
        return len(data)
    unpacking, total = makers[codec](), 0
    try:
        while data and not unpacking.eof and total <= most:
            total += len(unpacking.decompress(data, STEP))
            data = getattr(unpacking, "unconsumed_tail", b"")
            if codec == "bzip2" and not unpacking.needs_input:
                data = b""
                while not unpacking.eof and not unpacking.needs_input and total <= most:
                    total += len(unpacking.decompress(b"", STEP))
    except (zlib.error, OSError, EOFError):
        pass
    return total


def _streamed(data: bytes, most: int) -> int:
    total = 0
    try:
        with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
            while total <= most and (part := stream.read(STEP)):
                total += len(part)
    except OSError:
        pass
    return total


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80 or shift > 63:
            return value, at


def _long(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return value >> 1 ^ -(value & 1), at


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _long(data, at)
    if size < 0 or at + size > len(data):
        raise IndexError
    return data[at : at + size], at + size
