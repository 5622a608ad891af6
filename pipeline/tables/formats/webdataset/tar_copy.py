"""Copy samples from one tar to another, byte for byte; or with a member more."""

from __future__ import annotations

import copy
import json
import math
import tarfile
from collections.abc import Callable
from typing import IO

from pipeline.tables.format import AddedMember
from pipeline.tables.formats.webdataset.samples import Entry, archives, entries
from pipeline.tables.formats.webdataset.tar_members import Members

COPY_BYTES = 2**22  # at a time
LINKED_BYTES, MOST_LINKED = 2**30, 16  # of links that become files: so much is free, then so many times what was read
MERGED_BYTES = 2**28  # of a JSON that gets more fields, which is held in memory
JSON = "json"  # the member whose fields are a sample's columns


def copy_samples(
    source: IO[bytes], target: IO[bytes], keep: Callable[[int], bool], added: AddedMember | None = None
) -> int:
    """Copy some samples of a tar with all their members, and the entries that belong to no sample, as folders do.

    Headers and contents are copied as they are. A link becomes the file that it leads to, whose own sample may be left
    out. Archives that were joined become one.

    Args:
        source: The tar.
        target: The file to write.
        keep: Number of a sample, from 0 on -> whether to copy it.
        added: What each sample that is copied gets, as its last member.

    Returns:
        How many samples the tar has.

    Raises:
        ValueError: The tar is damaged; or its links would take far more bytes as files; or archives are joined of which
            one has headers for all its entries, which would hold for those of the others, too.
    """
    samples = written = linked = 0
    had_headers = False
    adder = _Adder(added, target)
    for begin, tar in archives(source):
        if had_headers:
            raise ValueError("joined tars with global headers cannot become one tar")
        end, members = begin, Members(tar)
        for entry in entries(tar):
            member = entry.member
            after = members.ends.get(member.offset, tar.offset)
            if entry.begins:
                written += adder.end_sample()
                samples += 1
                if keep(samples - 1):
                    adder.begin_sample(entry)
            written += _copy(source, target, end, member.offset)  # headers for all entries
            if entry.key is None or keep(samples - 1):
                if adder.replaces(entry):
                    written += adder.merge(members, entry)
                elif member.isfile() or entry.key is None:
                    written += _copy(source, target, member.offset, after)
                else:
                    linked += members.stored(member).size
                    if linked > LINKED_BYTES + MOST_LINKED * after:
                        raise ValueError(f"links up to {member.name[:100]} would take {linked:,} bytes as files")
                    written += _write_linked(members, member, target)
            end = after
        written += adder.end_sample()
        had_headers = bool(tar.pax_headers)
    finish(target, written)
    return samples


class _Adder:
    """Writes what samples get that are copied to a tar."""

    def __init__(self, added: AddedMember | None, target: IO[bytes]) -> None:
        self._added, self._target = added, target
        self._first: Entry | None = None  # of the sample that is being copied, whose object is not written yet
        self._values = ""

    def begin_sample(self, first: Entry) -> None:
        """Take the object of a sample that is copied. first: its first member."""
        if self._added is not None and (values := next(self._added.values, None)) is not None:
            self._first, self._values = first, values

    def replaces(self, entry: Entry) -> bool:
        """Return whether a member is the one whose end the object's fields go to."""
        return self._first is not None and entry.extension == JSON and self._name == JSON

    def merge(self, members: Members, entry: Entry) -> int:
        """Write the sample's own JSON with the object's fields; return how many bytes were written."""
        file = members.stored(entry.member)
        if file.size > MERGED_BYTES:
            raise ValueError(f"{entry.name[:100]} has {file.size:,} bytes, more than {MERGED_BYTES:,}")
        text = b"".join(members.parts(file, COPY_BYTES))
        self._first = None
        return self._write(entry.member, entry.member.name, merged_json(text, self._values))

    def end_sample(self) -> int:
        """Write the object, unless that is done; return how many bytes were written."""
        if self._first is None:
            return 0
        member = self._first.member
        base = member.name.rpartition("/")[2]
        stem = member.name[: len(member.name) - len(base)] + base.partition(".")[0]
        self._first = None
        return self._write(member, f"{stem}.{self._name}", self._values.encode())

    def _write(self, like: tarfile.TarInfo, name: str, content: bytes) -> int:
        header = _header_like(like, name)
        header.mtime = int(header.mtime)  # a part of a second needs a header of its own
        return write_member(self._target, header, content)

    @property
    def _name(self) -> str:
        assert self._added is not None
        return self._added.name


def merged_json(text: bytes, values: str) -> bytes:
    """Return the JSON object `text`, as it is, with the fields of the object `values` at its end.

    Raises:
        ValueError: It is no object.
    """
    own = text.decode(json.detect_encoding(text)).strip()
    if not (own.startswith("{") and own.endswith("}")):
        raise ValueError("a .json is no object")
    own, fields = own[:-1].rstrip(), values[1:-1]
    separator = ", " if own != "{" and fields else ""
    return f"{own}{separator}{fields}}}".encode()


def write_member(target: IO[bytes], header: tarfile.TarInfo, content: bytes) -> int:
    """Write a file as a member of a tar; return how many bytes were written.

    Args:
        target: The tar.
        header: Its name, owner and time; its size is that of the content.
        content: The file.
    """
    header.size = len(content)
    data = header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape") + content
    data += bytes(-len(content) % tarfile.BLOCKSIZE)
    target.write(data)
    return len(data)


def finish(target: IO[bytes], written: int) -> None:
    """Write the end of a tar. written: how many bytes it has."""
    end = 2 * tarfile.BLOCKSIZE
    target.write(bytes(end + -(written + end) % tarfile.RECORDSIZE))


def _copy(source: IO[bytes], target: IO[bytes], begin: int, end: int) -> int:
    """Copy the bytes from `begin` up to, not including, `end`; return how many."""
    source.seek(begin)
    left = end - begin
    while left:
        data = source.read(min(left, COPY_BYTES))
        if not data:
            raise ValueError(f"cut off: {left} bytes are missing before {end}")
        target.write(data)
        left -= len(data)
    return end - begin


def _write_linked(members: Members, link: tarfile.TarInfo, target: IO[bytes]) -> int:
    """Write the file that a link leads to under the link's name; return how many bytes were written."""
    file, header = members.stored(link), _header_like(link, link.name)
    header.size = file.size
    data = header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    target.write(data)
    for part in members.parts(file, COPY_BYTES):
        target.write(part)
    padding = bytes(-file.size % tarfile.BLOCKSIZE)
    target.write(padding)
    return len(data) + file.size + len(padding)


def _header_like(member: tarfile.TarInfo, name: str) -> tarfile.TarInfo:
    """Return the header of a file with the owner, mode and time of a member."""
    header = copy.copy(member)
    header.name, header.type, header.linkname, header.pax_headers = name, tarfile.REGTYPE, "", {}
    if not math.isfinite(header.mtime):
        header.mtime = 0
    return header
