"""Check the deletion vectors of a Delta log before deltalake decodes them into a byte for each row up to the last.

A vector of 50 bytes may mark row 4,294,967,294, or 2^52, for which the process is ended; and its path may lead out of
the table's folder.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError

MAGIC = 1_681_511_377
MOST_ROWS = 2**26  # that all vectors of a table may mark up to, and so many for each byte of their data files:
MOST_ROWS_PER_BYTE = 64
MOST_INLINE = 2**20  # characters of a vector that stands in the log itself
_NO_RUNS, _RUNS = 12346, 12347  # the first number of a bitmap of 32 bits
_ALPHABET = {
    c: i for i, c in enumerate("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#")
}


def check_vectors(filesystem: AbstractFileSystem, folder: str, adds: Iterable[Mapping[str, Any]], key: str) -> None:
    """Check the deletion vectors of the files of a table.

    Args:
        filesystem: Where the table is.
        folder: Its folder.
        adds: What its log says of files with vectors.
        key: What names the table, for messages.

    Raises:
        ConfigError: A vector lies outside of the folder, is damaged, or marks rows that its file cannot have.
    """
    marked, most = 0, MOST_ROWS
    for add in adds:
        name, vector = str(add.get("path"))[:300], add["deletionVector"]
        what = f"{key}: the deletion vector of {name!r} in {folder!r}"
        try:
            data = _read(filesystem, folder.rstrip("/"), vector, what)
            if data is None:
                continue
            marked += last_row(data) + 1
        except ConfigError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise ConfigError(f"{what} is damaged: {error}") from None
        if marked > most:
            most += MOST_ROWS_PER_BYTE * _size(filesystem, folder.rstrip("/"), unquote(str(add.get("path"))))
        if marked > most:
            raise ConfigError(f"{what} marks rows up to {last_row(data):,}, far more than its file can have: not read")


def _size(filesystem: AbstractFileSystem, folder: str, name: str) -> int:
    """Return the bytes of a data file; 0 if it is not there, or elsewhere, for which the log is refused later."""
    if name.startswith("/") or ".." in name.replace("\\", "/").split("/") or ":" in name.partition("/")[0]:
        return 0
    try:
        return int(filesystem.size(f"{folder}/{name}") or 0)
    except FileNotFoundError:
        return 0


def last_row(data: bytes) -> int:
    """Return the last row, at most, that a vector marks; -1 if it marks none.

    Args:
        data: A magic number and the portable format of 64-bit Roaring bitmaps: for each upper half of the values the
            bitmap of their lower halves.

    Raises:
        ValueError: It is something else.
        struct.error: It is cut off.
    """
    magic, count = struct.unpack_from("<IQ", data)
    if magic != MAGIC:
        raise ValueError(f"it begins with {magic}, not {MAGIC}")
    at, last = 12, -1
    for _ in range(count):
        (high,) = struct.unpack_from("<I", data, at)
        low, at = _last_of(data, at + 4)
        last = max(last, high << 32 | low)
    return last


def _last_of(data: bytes, at: int) -> tuple[int, int]:
    """Return the end of the last container of the 32-bit bitmap at `at`, and where the bitmap ends."""
    (cookie,) = struct.unpack_from("<I", data, at)
    at += 4
    runs: bytes = b""
    if cookie & 0xFFFF == _RUNS:
        count = (cookie >> 16) + 1
        runs, at = data[at : at + (count + 7) // 8], at + (count + 7) // 8
    elif cookie == _NO_RUNS:
        (count,) = struct.unpack_from("<I", data, at)
        at += 4
    else:
        raise ValueError(f"a bitmap begins with {cookie}")
    if count > 2**16:
        raise ValueError(f"a bitmap of {count:,} parts")
    heads = struct.unpack_from(f"<{2 * count}H", data, at)
    at += 4 * count
    if not runs or count >= 4:
        at += 4 * count  # where each part begins
    for number in range(count):
        if runs and runs[number // 8] >> number % 8 & 1:
            (parts,) = struct.unpack_from("<H", data, at)
            at += 2 + 4 * parts
        else:
            values = heads[2 * number + 1] + 1
            at += 2 * values if values <= 4096 else 8192
    if at > len(data):
        raise ValueError("it is cut off")
    return (max(heads[::2]) << 16 | 0xFFFF if count else -1), at


def _read(filesystem: AbstractFileSystem, folder: str, vector: Mapping[str, Any], what: str) -> bytes | None:
    """Return the bytes of a vector; None if its file is gone, as those of earlier versions may be."""
    kind, where = vector["storageType"], str(vector["pathOrInlineDv"])
    if kind == "i":
        if len(where) > MOST_INLINE:
            raise ConfigError(f"{what} has {len(where):,} characters in the log, {MOST_INLINE:,} at most: not read")
        return decode85(where)
    if kind == "u":
        prefix, name = where[:-20], uuid.UUID(bytes=decode85(where[-20:]))
        parts = prefix.replace("\\", "/").split("/")
        if prefix.startswith(("/", "\\")) or ".." in parts or ":" in prefix:
            raise ConfigError(f"{what} lies in {prefix[:300]!r}, outside of the table's folder: not read")
        path = f"{folder}/{prefix + '/' if prefix else ''}deletion_vector_{name}.bin"
    else:
        path = where.removeprefix("file://")
        if not (where.startswith((f"{folder}/", f"file://{folder}/", f"s3://{folder}/", f"s3a://{folder}/"))):
            raise ConfigError(f"{what} lies in {where[:300]!r}, outside of the table's folder: not read")
        path = path.removeprefix("s3://").removeprefix("s3a://")
        if ".." in path.replace("\\", "/").split("/") or "%" in path:
            raise ConfigError(f"{what} lies in {where[:300]!r}, outside of the table's folder: not read")
    begin = int(vector.get("offset") or 0)
    try:
        data: bytes = filesystem.cat_file(path, start=begin, end=begin + 4 + max(0, int(vector["sizeInBytes"])))
    except FileNotFoundError:
        return None
    return data[4:]


def decode85(text: str) -> bytes:
    """Return the bytes that Z85 writes as text.

    Raises:
        ValueError: It is something else.
    """
    if len(text) % 5 or not set(text) <= _ALPHABET.keys():
        raise ValueError(f"{text[:40]!r} is not Z85")
    out = bytearray()
    for i in range(0, len(text), 5):
        value = 0
        for c in text[i : i + 5]:
            value = value * 85 + _ALPHABET[c]
        if value >= 2**32:
            raise ValueError(f"{text[i : i + 5]!r} is not Z85")
        out += value.to_bytes(4, "big")
    return bytes(out)
