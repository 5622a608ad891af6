"""Copy samples from one tar to another, byte for byte."""

from __future__ import annotations

import copy
import tarfile
from collections.abc import Callable
from typing import IO

from pipeline.tables.formats.tar import archives, entries, open_member

COPY_BYTES = 2**22  # at a time


def copy_samples(source: IO[bytes], target: IO[bytes], keep: Callable[[int], bool]) -> int:
    """Copy some samples of a tar with all their members, and the entries that belong to no sample, as folders do.

    Headers and contents are copied as they are. A link becomes the file that it leads to, whose own sample may be left
    out. Archives that were joined become one.

    Args:
        source: The tar.
        target: The file to write.
        keep: Number of a sample, from 0 on -> whether to copy it.

    Returns:
        How many samples the tar has.

    Raises:
        ValueError: The tar is damaged; or archives are joined of which one has headers for all its entries, which would
            hold for those of the others, too.
    """
    samples = written = 0
    had_headers = False
    for begin, tar in archives(source):
        if had_headers:
            raise ValueError("joined tars with global headers cannot become one tar")
        end = begin
        for entry in entries(tar):
            member, after = entry.member, tar.offset
            written += _copy(source, target, end, member.offset)  # headers for all entries
            samples += entry.begins
            if entry.key is None or keep(samples - 1):
                if member.isfile() or entry.key is None:
                    written += _copy(source, target, member.offset, after)
                else:
                    written += _write_linked(tar, member, target)
            end = after
        had_headers = bool(tar.pax_headers)
    finish(target, written)
    return samples


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


def _write_linked(tar: tarfile.TarFile, link: tarfile.TarInfo, target: IO[bytes]) -> int:
    """Write the file that a link leads to under the link's name."""
    header = copy.copy(link)
    header.type, header.linkname, header.pax_headers = tarfile.REGTYPE, "", {}
    with open_member(tar, link) as content:
        return write_member(target, header, content.read())
