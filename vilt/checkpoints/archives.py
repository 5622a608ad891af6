"""Check torch's files before they are read: their zip directory, and the pickles in them.

A pickle is a program. What it names is decided where it is run; what it can do without naming anything is decided here:
a few bytes make Python's reader reserve gigabytes, or end the process by a recursion that nothing stops.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Iterable
from typing import Any

from vilt.common.errors import CheckpointError

MOST_PICKLE_BYTES = 2**26
MOST_STEPS = 2_000_000  # of a pickle; the largest published checkpoints need some hundred thousand
MOST_NESTED = 100  # tuples, and what functions make of tuples, in each other
MOST_ENTRIES = 1_000_000
MOST_SHARED = 4  # times the bytes of its file that the tensors may have together: some share their storage
LEGACY_PICKLES = 5  # in a row, before the bytes of the tensors, in files that torch wrote until 1.5
_CHANGES = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")  # what lies below what they take
_NO_HASH = ("LIST", "DICT", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET")  # so they end a chain of hashes


def open_archive(data: bytes, source: str) -> zipfile.ZipFile:
    """Open a zip file as torch writes them: no entry is compressed, or larger than the file.

    Raises:
        CheckpointError: It is not such a file.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except Exception as error:  # a damaged directory fails in many ways
        raise CheckpointError(f"{source} is truncated or damaged: {first_line(error)}") from None
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        raise CheckpointError(f"{source} has {len(entries):,} entries; {MOST_ENTRIES:,} are the most")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(f"{source} is not torch's: the entry {entry.filename[:80]!r} is compressed")
        if max(entry.file_size, entry.compress_size) > len(data):
            raise CheckpointError(
                f"{source} is damaged: the entry {entry.filename[:80]!r} is said to have {entry.file_size:,} bytes, "
                f"and the file has {len(data):,}"
            )
    return archive


def check_torch_file(data: bytes, source: str) -> None:
    """Check a file that `torch.save` wrote, of any version of torch.

    Raises:
        CheckpointError: It asks for more than its size justifies.
    """
    if not data.startswith(b"PK"):
        stream = io.BytesIO(data)
        for _ in range(LEGACY_PICKLES):
            if stream.tell() < len(data):  # a single pickle is none of torch's files, as torch will say
                check_pickle(stream, source)
        return
    archive = open_archive(data, source)
    for entry in archive.infolist():
        if entry.filename.endswith(".pkl"):
            check_pickle(read_pickle(archive, entry.filename, source), source)


def read_pickle(archive: zipfile.ZipFile, name: str, source: str) -> io.BytesIO:
    """Return the bytes of a pickle in an archive. Raises CheckpointError if there are too many, or they are damaged."""
    try:
        if archive.getinfo(name).file_size > MOST_PICKLE_BYTES:
            raise CheckpointError(f"{source}: {name[:80]!r} has more than {MOST_PICKLE_BYTES:,} bytes")
        return io.BytesIO(archive.read(name))
    except CheckpointError:
        raise
    except Exception as error:  # no such entry, a wrong checksum, a header that lies
        raise CheckpointError(f"{source} is truncated or damaged: {first_line(error)}") from None


def check_pickle(stream: io.BytesIO, source: str) -> None:
    """Walk through a pickle without running it, up to its end; one that is damaged is left to whoever runs it.

    Raises:
        CheckpointError: It has too many steps, uses numbers of its memory that it has not reached, or nests tuples so
            deeply that their hash would overflow the stack.
    """
    try:
        _walk(pickletools.genops(stream), source)
    except CheckpointError:
        raise
    except Exception as error:  # pickletools has no error of its own
        raise CheckpointError(f"{source} is truncated or damaged: {first_line(error)}") from None


def _walk(steps: Iterable[tuple[pickletools.OpcodeInfo, Any, int | None]], source: str) -> None:
    """Follow the stack of a pickle with depths in place of values: how deep a hash of each would go."""
    stack: list[int | None] = []  # None: a mark
    memory: dict[int, int] = {}
    for count, (step, argument, _) in enumerate(steps):
        if count > MOST_STEPS:
            raise CheckpointError(f"{source}: its pickle has more than {MOST_STEPS:,} steps")
        name = step.name
        if name in ("PUT", "BINPUT", "LONG_BINPUT"):
            if argument > count:
                raise CheckpointError(
                    f"{source}: its pickle asks for {argument:,} places of memory after {count} steps"
                )
            memory[argument] = stack[-1] or 0
        elif name == "MEMOIZE":
            memory[len(memory)] = stack[-1] or 0
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memory[argument])
        elif name == "DUP":
            stack.append(stack[-1])
        else:
            taken = _taken(stack, step)
            made = 0
            if name in _CHANGES:
                made = taken[-1]
            elif taken and name not in _NO_HASH:
                made = 1 + max(taken)
            if made > MOST_NESTED:
                raise CheckpointError(f"{source}: its pickle nests tuples more than {MOST_NESTED} deep")
            for after in step.stack_after:
                stack.append(None if after is pickletools.markobject else made)


def _taken(stack: list[int | None], step: pickletools.OpcodeInfo) -> list[int]:
    """Take from the stack what a step takes; return its depths."""
    before = step.stack_before
    taken: list[int] = []
    if pickletools.markobject in before:
        while (depth := stack.pop()) is not None:
            taken.append(depth)
        before = before[: before.index(pickletools.markobject)]
    taken += [stack.pop() or 0 for _ in before]
    return taken


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, at most 200 characters."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
