"""Folders of pictures as tables: with a `.txt` beside each, or with a `metadata.csv` or `metadata.jsonl`."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError
from pipeline.storage.filesystem import full_uri
from pipeline.tables.filter_expression import NOT_FILTERED
from pipeline.tables.format import Listing, OpenOptions, TableFormat
from pipeline.tables.formats.csv.format import CsvFormat
from pipeline.tables.formats.jsonl.format import JsonLinesFormat
from pipeline.tables.formats.webdataset.samples import IMAGES
from pipeline.tables.input_file import InputFile, listed_file
from pipeline.tables.opened_table import OpenedFile, OpenedTable, Split, TableReader
from pipeline.tables.schemas import select_read

EXTENSIONS = tuple(f".{end}" for end in sorted(IMAGES))
FILE_NAME, IMAGE, TEXT = "file_name", "image", "text"
METADATA = ("metadata.csv", "metadata.jsonl")
MAX_TEXT_BYTES = 2**20  # of a `.txt` beside a picture
COPIED = 2**16  # pictures whose rows `vilt filter` writes to one file


def is_picture(path: str) -> bool:
    """Return whether a path has the extension of a picture."""
    return path.lower().endswith(EXTENSIONS)


@dataclass(frozen=True, slots=True)
class PictureFile(InputFile):
    """A picture, and the `.txt` beside it; "" if there is none."""

    text_path: str = ""


class PictureFormat(TableFormat):
    """A folder of pictures: each is a row.

    Columns: `image`, the path or URI of the picture; and, if the folder has any `a.txt` beside an `a.jpg`, `text`, what
    that file holds, null for pictures without one. Without texts, `input.text: {fixed: "..."}` gives all the same one.
    Folders with files of another format, too, are tables of that format.
    """

    name = "pictures"
    extensions = EXTENSIONS
    fallback = True
    copied_together = COPIED

    def listing(
        self, filesystem: AbstractFileSystem, folder: str, paths: Sequence[str], found: Mapping[str, Any]
    ) -> Listing:
        """Return the pictures, each with the `.txt` beside it."""
        texts = {path[: -len(".txt")]: path for path in found if path.lower().endswith(".txt")}
        files: list[InputFile] = []
        for path in paths:
            file = listed_file(folder, path, found[path])
            beside = texts.get(path.rpartition(".")[0], "")
            etag = file.etag
            if beside:
                text = listed_file(folder, beside, found[beside])
                if text.size > MAX_TEXT_BYTES:
                    raise ConfigError(
                        f"input.path: {beside!r} has {text.size:,} bytes; a text beside a picture has at most "
                        f"{MAX_TEXT_BYTES:,}"
                    )
                etag = f"{etag} {text.version}"
            files.append(PictureFile(path, file.name, file.size, etag, text_path=beside))
        return Listing(filesystem, files, folder, self, [*paths])

    def open(self, listing: Listing, options: OpenOptions) -> OpenedTable:
        """Return the rows, which are known from the listing alone."""
        if options.filter is not None:
            raise ConfigError(f"input.filter: {NOT_FILTERED}; {listing.folder!r} is a folder of pictures")
        texts = any(isinstance(file, PictureFile) and file.text_path for file in listing.files)
        schema = pa.schema([(IMAGE, pa.string()), *([(TEXT, pa.string())] if texts else [])])
        opened = [OpenedFile(file, [Split(0, 1, 1, file.size)]) for file in listing.files]
        return OpenedTable(opened, schema, PictureReader(listing.filesystem))

    def copy_name(self, file: InputFile) -> str:
        """Return the name of a list of pictures, after the first one."""
        return f"{file.name.replace('/', '_')}.parquet"


@dataclass(frozen=True)
class PictureReader:
    """Reads the text beside a picture; the picture itself is fetched like any other that a table names."""

    filesystem: AbstractFileSystem

    def read(self, file: InputFile, split: Split, columns: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Yield one row. See `pipeline.tables.opened_table.TableReader`."""
        del split, rows
        assert isinstance(file, PictureFile)
        values = {IMAGE: pa.array([full_uri(self.filesystem, file.path)], pa.string())}
        if TEXT in columns.names:
            data = self.filesystem.cat_file(file.text_path).rstrip(b"\r\n") if file.text_path else None
            values[TEXT] = pa.array([data], pa.binary()).view(pa.string())  # what is not UTF-8 fails as a row
        yield pa.table({IMAGE: values[IMAGE], **values}).select(columns.names)


class ImageFolderFormat(TableFormat):
    """Pictures with a `metadata.csv` or `metadata.jsonl`, Hugging Face's imagefolder.

    Each row of the metadata is a row; its `file_name` is the picture, relative to the metadata's folder. Columns: those
    of the metadata; and `image`, the picture's path or URI. The folder may have more of them below, as in `train/`.
    """

    name = "imagefolder"
    extensions = METADATA
    layout_keys = CsvFormat.layout_keys
    claims = True

    def list(self, paths: Sequence[str]) -> Sequence[str]:
        """Return the files of metadata, if there are pictures, too."""
        found = [path for path in paths if path.rpartition("/")[2] in METADATA]
        return found if found and any(map(is_picture, paths)) else []

    def open(self, listing: Listing, options: OpenOptions) -> OpenedTable:
        """Open the metadata as the table that it is."""
        ends = {file.path.rpartition(".")[2] for file in listing.files}
        if len(ends) > 1:
            raise ConfigError(f"input.path: {listing.folder!r} has metadata.csv and metadata.jsonl: remove one of them")
        inner: TableFormat = CsvFormat() if ends == {"csv"} else JsonLinesFormat()
        opened = inner.open(listing, options)
        if FILE_NAME not in opened.schema.names or not pa.types.is_string(opened.schema.field(FILE_NAME).type):
            raise ConfigError(
                f"input.path: {listing.files[0].path!r} has no column {FILE_NAME!r} of texts, which names the pictures "
                f"of an imagefolder; it has {', '.join(opened.schema.names)}; to read it as it is, set "
                f"input.format={inner.name}"
            )
        if IMAGE in opened.schema.names:
            return opened
        reader = ImageFolderReader(opened.reader, full_uri(listing.filesystem, listing.folder))
        schema = pa.schema([*opened.schema, (IMAGE, pa.string())])
        return replace(opened, schema=schema, reader=reader)


@dataclass(frozen=True)
class ImageFolderReader:
    """Reads metadata, and adds where the pictures are. base: URI of the table's folder."""

    inner: TableReader
    base: str

    def read(self, file: InputFile, split: Split, columns: pa.Schema, rows: int) -> Iterator[pa.Table]:
        """Yield rows. See `pipeline.tables.opened_table.TableReader`."""
        names = [name for name in columns.names if name not in (IMAGE, FILE_NAME)]
        stored = pa.schema([*(columns.field(name) for name in names), (FILE_NAME, pa.string())])
        folder = f"{self.base}/{file.name.rpartition('/')[0]}".rstrip("/")
        for table in self.inner.read(file, split, stored, rows):
            uris = [_below(folder, name) for name in table[FILE_NAME].to_pylist()]
            yield select_read(table.append_column(IMAGE, pa.array(uris, pa.string())), columns.names)


def _below(folder: str, name: str | None) -> str | None:
    """Return the URI of a picture that metadata names."""
    if name is None or "://" in name or name.startswith("/"):
        return name
    return f"{folder}/{posixpath.normpath(name)}" if name else name
