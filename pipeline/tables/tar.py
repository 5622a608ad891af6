"""WebDataset tars: consecutive members with one key are one sample."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

IMAGES = frozenset({"jpg", "jpeg", "jpe", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm", "pgm", "jp2", "avif"})
MAX_TEXT_BYTES = 2**24  # of a .txt or .json


@dataclass
class Sample:
    """One sample: its key, what members it has, and the contents of those that are read."""

    key: str
    extensions: set[str] = field(default_factory=set)
    image: bytes | None = None
    text: bytes | None = None
    json: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.image or b"") + len(self.text or b"") + len(self.json or b"") + len(self.key)


def read_samples(file: IO[bytes], max_image_bytes: int) -> Iterator[Sample]:
    """The samples of a tar that is read from front to end; of an image at most `max_image_bytes` + 1 bytes."""
    with tarfile.open(fileobj=file, mode="r|") as tar:
        yield from _samples(tar, max_image_bytes + 1)


def scan_samples(file: IO[bytes]) -> Iterator[Sample]:
    """The samples of a seekable tar, without their images. Raises ValueError for one that is damaged or cut off."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            yield from _samples(tar, None)
            file.seek(tar.offset)  # tarfile takes a damaged header for the end
            if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
                raise ValueError(f"damaged or cut off after {tar.offset} bytes")
    except tarfile.TarError as error:
        raise ValueError(str(error)) from None


def _samples(tar: tarfile.TarFile, image_bytes: int | None) -> Iterator[Sample]:
    """image_bytes: how many to read of an image; None: none."""
    sample: Sample | None = None
    for member in tar:
        folder, slash, name = member.name.removeprefix("./").rpartition("/")
        stem, dot, extension = name.partition(".")
        if not (member.isfile() and stem and dot):
            continue
        key, extension = folder + slash + stem, extension.lower()
        if sample is None or sample.key != key or extension in sample.extensions:
            if sample is not None:
                yield sample
            sample = Sample(key)
        sample.extensions.add(extension)
        if extension in IMAGES and sample.image is None and image_bytes is not None:
            sample.image = _content(tar, member, image_bytes)
        elif extension in ("txt", "json"):
            if member.size > MAX_TEXT_BYTES:
                raise ValueError(f"{member.name} has {member.size} bytes, more than {MAX_TEXT_BYTES}")
            setattr(sample, {"txt": "text", "json": "json"}[extension], _content(tar, member, member.size))
    if sample is not None:
        yield sample


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, most: int) -> bytes:
    file = tar.extractfile(member)
    assert file is not None, "a regular file"
    return file.read(most)
