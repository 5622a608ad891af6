"""Look up the rows that an overview names: their texts, and small pictures."""

from __future__ import annotations

import base64
import io
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PIL import Image

from pipeline.common import uris
from pipeline.common.columns import ROW_ID
from pipeline.common.error_codes import Failure
from pipeline.common.errors import ConfigError, first_line
from pipeline.common.redaction import redacted
from pipeline.common.row_ids import shown_id
from pipeline.common.row_ranges import ROW_BITS
from pipeline.config.input import InputConfig
from pipeline.config.job import JobConfig
from pipeline.config.storage import StorageConfig
from pipeline.images.fetch import Fetcher
from pipeline.reporting.access import Access
from pipeline.reporting.overview import Overview
from pipeline.results.reader import made_columns
from pipeline.storage.filesystem import storage_errors
from pipeline.tables.lookup import by_file, find_ids, read_rows
from pipeline.tables.table import TableFiles, open_files
from vilt.processing.errors import ImageError
from vilt.processing.image_files.decoding import decode

SIDE = 240  # pixels of a thumbnail, at most
QUALITY = 75
TEXT_LENGTH = 300
SOURCE = "\0source"  # beside the columns of a row


@dataclass(frozen=True)
class Picture:
    """A row to show.

    Attributes:
        row_id: Key of the row, as text.
        score: As text.
        text: The texts of the row, on one line.
        note: The answer, or why a filter dropped the row.
        thumbnail: A JPEG in base64; None if there is no picture.
        missing: Why there is no picture.
        uri: Where the image is, without credentials and query; empty if the table holds its bytes.
        source: The file of the table, and the number of the row in it; empty if it is not known.
        texts: Of an image of a rank job its best texts, each with its score.
    """

    row_id: str
    score: str
    text: str
    note: str
    thumbnail: str | None
    missing: str
    uri: str
    source: str = ""
    texts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Content:
    """The texts and the image of a row of the table, for reports.

    Attributes:
        texts: The values of its columns of texts.
        image: The bytes of its image, None, or the failure to get it.
        uri: See `Picture`.
        source: See `Picture`.
    """

    texts: list[Any]
    image: Any
    uri: str
    source: str


def pictures_of(view: Overview, storage: StorageConfig, access: Access) -> tuple[dict[str, list[Picture]], str]:
    """Look up the rows that an overview names, with their texts and pictures.

    Args:
        view: The overview.
        storage: How to reach s3://.
        access: What may be opened beside the output itself.

    Returns:
        Kind of example -> pictures; and why they are left out, "" if they are not.
    """
    if not view.examples:
        return {}, ""
    if not view.summary.get("input"):
        return {}, "Pictures are left out: the summary does not name the table."
    try:
        rows = [row for rows in view.examples.values() for row in rows]
        found = contents_of(view, rows, storage, access)
    except (ConfigError, *storage_errors()) as error:
        return {}, f"Pictures are left out: {first_line(error)}"
    return {kind: [_picture(row, found[key_of(row)]) for row in rows] for kind, rows in view.examples.items()}, ""


def contents_of(
    view: Overview, rows: Sequence[dict[str, Any]], storage: StorageConfig, access: Access, images: bool = True
) -> dict[Any, Content]:
    """Look up what rows of an output hold.

    Args:
        view: The output.
        rows: Rows as in `Overview.examples`.
        storage: How to reach s3://.
        access: What may be opened beside the output itself.
        images: Whether to read the images, too, and to look up the source of each row.

    Returns:
        `key_of` a row -> what it holds.

    Raises:
        ConfigError: They are in a table that may not be opened.
    """
    spec = InputConfig.checked({**view.summary["input"], "allow": [], "allow_private": False})
    return _Finder(view, spec, storage, access).find(rows, images)


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells examples apart: several texts of one row may be shown."""
    return row["row_id"], row.get("row_key")


@dataclass(frozen=True)
class _Finder:
    """Looks up the texts and images of an overview's examples."""

    view: Overview
    spec: InputConfig
    storage: StorageConfig
    access: Access

    @cached_property
    def original(self) -> TableFiles:
        """Return the table that the job has read, if it may be opened."""
        if not self.access.permits(self.spec.path):
            table = redacted(self.spec.path)
            raise ConfigError(
                f"they are in {table!r}, as the results say; to read them there, repeat the command with "
                f"--allow {shlex.quote(table)}"
            )
        return open_files(self.spec, self.storage)

    def find(self, wanted_rows: Sequence[dict[str, Any]], with_images: bool) -> dict[Any, Content]:
        """Return the content of each row; see `contents_of`."""
        texts = [] if self.view.is_rank else self.spec.text_names  # the table of a rank job holds the images alone
        image = [self.spec.image] if isinstance(self.spec.image, str) else (self.spec.image or [])[:1]
        image = image if with_images else []
        wanted = {key_of(row): row for row in wanted_rows}
        columns = [*texts, *image]
        rows = (
            self._rows_of_filter(wanted, columns)
            if self.view.is_filter
            else self._rows_of_job(wanted, columns, with_images)
        )
        cells = {key: _cell(row.get(image[0])) if image else None for key, row in rows.items()}
        images = self._fetch(cells)
        return {
            key: Content([row.get(name) for name in texts], images[key], _uri(cells[key]), row.get(SOURCE, ""))
            for key, row in rows.items()
        }

    def _rows_of_filter(self, wanted: dict[Any, dict[str, Any]], columns: list[str]) -> dict[Any, dict[str, Any]]:
        row_keys = by_file(self.original, list(wanted.values()))
        rows = read_rows(self.original, row_keys, _present(self.original, columns))
        return {
            key: {**rows.get(row_key, {}), SOURCE: _source(row["file"], row["row"])}
            for (key, row), row_key in zip(wanted.items(), row_keys, strict=True)
        }

    def _rows_of_job(
        self, wanted: dict[Any, dict[str, Any]], columns: list[str], with_sources: bool
    ) -> dict[Any, dict[str, Any]]:
        """Return what the results carry, and the rest from the table that was read, all of whose ids are read then."""
        results = self.view.table
        assert results is not None
        made = made_columns(self.view.summary["tasks"], results.schema)  # of the user's names perhaps, but the job's
        carried = [name for name in _present(results, columns) if name not in made]
        rows = read_rows(results, [row["row_key"] for row in wanted.values()], [*carried, ROW_ID])
        found = {key: rows.get(row["row_key"], {}) for key, row in wanted.items()}
        ids = {key: row.pop(ROW_ID, None) for key, row in found.items()}
        if len(carried) == len(columns) and not (with_sources and self._is_readable()):
            return found
        row_keys = find_ids(self.original, self.spec.id, list(ids.values()))
        rest = [name for name in _present(self.original, columns) if name not in carried]
        rows = read_rows(self.original, list(row_keys.values()), rest)
        for key, row in found.items():
            if (row_key := row_keys.get(ids[key])) is not None:
                file = self.original.files[row_key >> ROW_BITS].name
                row |= {**rows.get(row_key, {}), SOURCE: _source(file, row_key & (1 << ROW_BITS) - 1)}
        return found

    def _is_readable(self) -> bool:
        """Return whether the table that was read may be opened, and still can be."""
        try:
            return bool(self.original.files)
        except (ConfigError, *storage_errors()):
            return False

    def _fetch(self, cells: dict[Any, Any]) -> dict[Any, Any]:
        """Return the cells with the bytes, or the failure, in place of each URI."""
        wanted = sorted({cell for cell in cells.values() if isinstance(cell, str)})
        if not wanted:
            return cells
        values = {"tasks": ["score"], "model": "none", "output": {"path": "none"}, "storage": self.storage.model_dump()}
        prefixes = [one if uris.scheme(one) else os.path.abspath(one) for one in self.access.prefixes]
        allowed = {"allow": prefixes, "allow_private": self.access.allow_private}
        config = JobConfig.checked({**values, "input": {**self.spec.model_dump(), **allowed}})
        fetched = dict(zip(wanted, Fetcher(self.original.base, config).fetch(wanted), strict=True))
        return {key: fetched[cell] if isinstance(cell, str) else cell for key, cell in cells.items()}


def _present(table: TableFiles, columns: list[str]) -> list[str]:
    return [name for name in columns if name in table.schema.names]


def _cell(value: Any) -> Any:
    """Return the first of the images that a cell holds, as bytes or a URI."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict):
        value = value["path"] if value["bytes"] is None else value["bytes"]
    return value


def _source(file: Any, row: Any) -> str:
    """Return a file of the table and the number of a row in it, as a report shows it; "" if it is not known."""
    if file is None:
        return ""
    name = redacted(str(file))
    return f"{name if len(name) <= TEXT_LENGTH else f'…{name[-TEXT_LENGTH:]}'}, row {row}"


def _uri(cell: Any) -> str:
    uri = redacted(cell) if isinstance(cell, str) else ""
    return uri if len(uri) <= TEXT_LENGTH else f"{uri[:TEXT_LENGTH]}…"


def one_line(values: list[Any]) -> str:
    """Return the texts of a row on one line."""
    texts = [" | ".join(map(str, value)) if isinstance(value, list) else str(value) for value in values if value]
    text = " / ".join(texts)
    return text if len(text) <= TEXT_LENGTH else f"{text[:TEXT_LENGTH]}…"


def _picture(row: dict[str, Any], content: Content) -> Picture:
    thumbnail, missing, image = None, "no image", content.image
    if isinstance(image, Failure):
        missing = f"{image.reason}: {image.detail}"
    elif image is not None:
        try:
            thumbnail = _thumbnail(image)
        except ImageError as error:
            missing = str(error)
    note = row.get("answer") or row.get("reason") or ""
    return Picture(
        row_id=shown_id(row["row_id"]),
        score=row.get("shown_score") or f"{row['score']:.4g}",
        text=one_line(content.texts),
        note=note,
        thumbnail=thumbnail,
        missing=missing,
        uri=content.uri,
        source=content.source,
    )


def _thumbnail(image: bytes) -> str:
    picture = decode(image)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
