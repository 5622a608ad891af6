"""WebDataset tars: consecutive members with one key are one sample."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, NamedTuple, cast

from pipeline.common.error_codes import Failure
from pipeline.config.limits import ROW_BYTES
from pipeline.tables.formats.webdataset.tar_members import BoundedReads, Members, members_of, one_header_each

IMAGES = frozenset(
    {"jpg", "jpeg", "jpe", "jfif", "jif", "pjp", "pjpeg", "png", "apng", "webp", "gif", "bmp", "dib"}
    | {"tif", "tiff", "ppm", "pgm", "pbm", "pnm", "jp2", "j2k", "avif"}
)
READ_BYTES = 2**20  # of an image, at a time
ZEROS = tarfile.NUL * tarfile.BLOCKSIZE  # ends an archive


@dataclass
class Sample:
    """One sample: its key, the extensions of its members, the contents of those that are read, or why they are not."""

    key: str
    extensions: set[str] = field(default_factory=set)
    image: bytes | None = None
    text: bytes | None = None
    json: bytes | None = None
    failure: Failure | None = None

    @property
    def size(self) -> int:
        """Return the bytes that it holds."""
        return len(self.image or b"") + len(self.text or b"") + len(self.json or b"") + len(self.key)


class Entry(NamedTuple):
    """One entry of an archive.

    Attributes:
        member: The entry.
        name: Its name, without its folder.
        key: The key of its sample; None if it belongs to none, as folders do.
        extension: What follows the first dot of the name, in lower case.
        begins: Whether it is the first of its sample.
    """

    member: tarfile.TarInfo
    name: str
    key: str | None = None
    extension: str = ""
    begins: bool = False


def read_samples(file: IO[bytes], max_image_bytes: int | None, max_text_bytes: int = ROW_BYTES) -> Iterator[Sample]:
    """Yield the samples of a tar.

    Args:
        file: The tar.
        max_image_bytes: One byte more than these are read of an image; None: no image is read.
        max_text_bytes: Most bytes of a text or JSON.
    """
    for _, tar in archives(file):
        yield from _samples(tar, None if max_image_bytes is None else max_image_bytes + 1, max_text_bytes)


def scan_samples(file: IO[bytes], max_text_bytes: int = ROW_BYTES) -> Iterator[Sample]:
    """Yield the samples of a tar without their images.

    Args:
        file: The tar.
        max_text_bytes: Most bytes of a text or JSON.

    Raises:
        ValueError: The tar is damaged or cut off, or its samples cannot be told apart.
    """
    seen: dict[str, frozenset[str]] = {}
    try:
        for _, tar in archives(file):
            for sample in _samples(tar, None, max_text_bytes):
                _check(sample, seen.get(sample.key))
                seen[sample.key] = frozenset(sample.extensions) | seen.get(sample.key, frozenset())
                yield sample
    except tarfile.TarError as error:
        raise ValueError(str(error)) from None


def archives(file: IO[bytes]) -> Iterator[tuple[int, tarfile.TarFile]]:
    """Yield the archives of a file, each with its offset: one, or several that were joined by `cat`.

    Raises:
        ValueError: An archive is damaged or cut off; tarfile alone takes a damaged header for the end.
    """
    begin, bounded = 0, BoundedReads(file)
    while True:
        file.seek(begin)
        with one_header_each():
            tar = tarfile.open(fileobj=cast(IO[bytes], bounded), mode="r:", errors="surrogateescape")  # noqa: SIM115
        with tar:
            yield begin, tar
            end = tar.offset
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != ZEROS:
            raise ValueError(f"damaged or cut off after {end} bytes")
        begin = end + tarfile.BLOCKSIZE
        while block := file.read(tarfile.RECORDSIZE):
            zeros = len(block) - len(block.lstrip(tarfile.NUL))
            begin += zeros // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
            if zeros < len(block):
                break
        if not block:
            return


def _samples(tar: tarfile.TarFile, image_bytes: int | None, text_bytes: int) -> Iterator[Sample]:
    """Yield samples.

    Args:
        tar: The archive.
        image_bytes: How many bytes of an image to read; None: no image.
        text_bytes: Most bytes of a text or JSON.
    """
    sample: Sample | None = None
    members = Members(tar)
    for entry in entries(tar):
        if entry.key is None:
            continue
        if entry.begins:
            if sample is not None:
                yield sample
            sample = Sample(entry.key)
        assert sample is not None
        extension = entry.extension
        sample.extensions.add(extension)
        if extension in IMAGES and sample.image is None:
            with members.open(entry.member) as content:
                if image_bytes is not None:
                    sample.image = _read(content, image_bytes)
        elif extension in ("txt", "json"):
            with members.open(entry.member) as content:
                data = _read(content, text_bytes + 1)
            if len(data) > text_bytes:
                detail = f"{entry.name} has more than {text_bytes} bytes (limits.row_bytes)"
                sample.failure = sample.failure or Failure("row_too_large", detail)
            else:
                setattr(sample, {"txt": "text", "json": "json"}[extension], data)
    if sample is not None:
        yield sample


def entries(tar: tarfile.TarFile) -> Iterator[Entry]:
    """Yield the entries of an archive, with the samples to which they belong."""
    key, extensions = None, set[str]()
    for member in members_of(tar):
        name = member.name.encode(errors="surrogateescape").decode(errors="backslashreplace")  # if it is not UTF-8
        folder, slash, name = name.removeprefix("./").rpartition("/")
        stem, dot, extension = name.partition(".")
        if not ((member.isfile() or member.islnk() or member.issym()) and stem and dot):
            yield Entry(member, name)
            continue
        same, extension = key == folder + slash + stem, extension.lower()
        begins = not same or extension in extensions
        key, extensions = folder + slash + stem, {extension} if begins else extensions | {extension}
        yield Entry(member, name, key, extension, begins)


def _read(content: IO[bytes], most: int) -> bytes:
    """Return at most `most` bytes; `read(most)` would allocate as many first, however few there are."""
    parts: list[bytes] = []
    while most > 0 and (part := content.read(min(most, READ_BYTES))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _check(sample: Sample, before: frozenset[str] | None) -> None:
    """Check that a sample is a sample. before: extensions of its key that stand elsewhere in the tar.

    Raises:
        ValueError: Its members stand apart, or its key is cut at a dot that is part of the name.
    """
    if before is not None and not before & sample.extensions:
        first, second = f"{sample.key}.{min(before)}", f"{sample.key}.{min(sample.extensions)}"
        raise ValueError(
            f"{first} and {second} are one sample, but other samples stand between them; WebDataset reads members "
            "that follow each other: write the tar in order of names (tar --sort=name)"
        )
    dotted = [ext for ext in sample.extensions if "." in ext and ext.rpartition(".")[2] in IMAGES]
    if dotted and not sample.extensions & IMAGES:
        raise ValueError(
            f"{sample.key}.{min(dotted)}: a key ends at the first dot, so this is the member {min(dotted)!r} of the "
            f"sample {sample.key!r}, which has no image; use names without dots"
        )
