"""Members of a tar that a stranger wrote: what links lead to, in linear time, and headers that lie about their size."""

from __future__ import annotations

import errno
import posixpath
import tarfile
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import IO, cast

MOST_LINKS = 40  # from a link to a file, as Linux follows
MOST_READ = 2**22  # bytes at once: of a header with the name or other values of a member, or of a member
_OFFSET = attrgetter("offset")


class BoundedReads:
    """A file that tarfile reads: it reads as many bytes at once as a header says that it has.

    Args:
        file: The file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        """Return the next bytes. Raises ValueError if they are more than a header of any use has."""
        if not 0 <= size <= MOST_READ:
            raise ValueError(f"a header says that it has {size:,} bytes")
        return self._file.read(size)

    def seek(self, position: int) -> int:
        """Go to a position. Raises ValueError if no file is that long."""
        try:
            return self._file.seek(position)
        except (OSError, ValueError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            raise ValueError(f"a header says that a member ends after {position:,} bytes") from None


@contextmanager
def one_header_each() -> Iterator[None]:
    """Raise ValueError for a member with a thousand headers: tarfile calls itself for each."""
    try:
        yield
    except RecursionError:
        raise ValueError("a member has about a thousand headers or more") from None


def members_of(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members of an archive. Raises ValueError as `one_header_each`."""
    members = iter(tar)
    while True:
        with one_header_each():
            member = next(members, None)
        if member is None:
            return
        yield member


class Members:
    """The members of an archive by name; tarfile itself looks through all of them for each link.

    Args:
        tar: The archive, whose members are known as far as it was read.

    Attributes:
        ends: Offset of a member -> that of its end, for those that were read ahead because of a symbolic link.
    """

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar, self._known, self._all = tar, 0, False
        self.ends: dict[int, int] = {}
        self._by_name: dict[str, list[tarfile.TarInfo]] = defaultdict(list)

    def open(self, member: tarfile.TarInfo) -> IO[bytes]:
        """Open a member; of a link, the member to which it leads.

        Raises:
            ValueError: There is none, or what it says of its bytes cannot be: tarfile would read none.
        """
        target = self._target(member)
        if target.size < 0 or not _is_map(target):
            raise ValueError(f"{target.name[:100]} says of its size or its holes (a sparse file) what cannot be")
        file = self._tar.extractfile(target)
        assert file is not None
        return file

    def stored(self, member: tarfile.TarInfo) -> tarfile.TarInfo:
        """Return a member, or the one to which a link leads, whose bytes are all in the archive.

        Raises:
            ValueError: There is none, or it has holes, of which a kilobyte may hold terabytes.
        """
        target = self._target(member)
        if target.issparse():
            raise ValueError(f"{target.name[:100]} has holes (a sparse file), which are not copied")
        return target

    def parts(self, file: tarfile.TarInfo, most: int) -> Iterator[bytes]:
        """Yield the content of a file, at most `most` bytes at a time. Raises ValueError if it is cut off."""
        left = file.size
        with self.open(file) as content:
            while left:
                part = content.read(min(left, most))
                if not part:
                    raise ValueError(f"{file.name[:100]} is cut off")
                left -= len(part)
                yield part

    def _target(self, member: tarfile.TarInfo) -> tarfile.TarInfo:
        """Return the file that a link leads to, as tarfile finds it; any other member as it is."""
        found = member
        for _ in range(MOST_LINKS):
            if not (found.islnk() or found.issym()):
                if not (found.isreg() or found.type not in tarfile.SUPPORTED_TYPES):
                    raise ValueError(f"{member.name} is a link to {found.name}, which is no file")
                return found
            after = self._led_to(found)
            if after is None:
                raise ValueError(f"{found.name} is a link to {found.linkname}, which is not in the tar")
            found = after
        raise ValueError(f"{member.name} is a link that leads over more than {MOST_LINKS} links, or to itself")

    def _led_to(self, link: tarfile.TarInfo) -> tarfile.TarInfo | None:
        """Return the last member of the name that a link gives: of all, or for a hard link of those before it."""
        name = link.linkname
        if link.issym():
            name = "/".join(part for part in (posixpath.dirname(link.name), name) if part)
            with one_header_each():
                while not self._all and (one := self._tar.next()) is not None:
                    self.ends[one.offset] = self._tar.offset
            self._all = True
        members: list[tarfile.TarInfo] = self._tar.members  # type: ignore[attr-defined]
        for one in members[self._known :]:
            self._by_name[posixpath.normpath(one.name)].append(one)
        self._known = len(members)
        found = self._by_name.get(posixpath.normpath(name), [])
        count = len(found) if link.issym() else bisect_left(found, link.offset, key=_OFFSET)
        return found[count - 1] if count else None


def _is_map(member: tarfile.TarInfo) -> bool:
    """Return whether the pieces of a sparse file follow each other within its size; true of files without holes."""
    end = 0
    for offset, size in cast(list[tuple[int, int]], member.sparse or []):
        if (size and offset < end) or size < 0:
            return False
        end = max(end, offset + size)  # pieces of no bytes fill up a header
    return end <= max(member.size, 0)
