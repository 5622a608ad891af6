"""WebDataset tars: `key.jpg`, `key.txt`, `key.json` are one row."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
from fsspec import AbstractFileSystem

from pipeline.common.columns import UNREAD
from pipeline.common.error_codes import Failure
from pipeline.common.errors import ConfigError
from pipeline.tables.format import AddedMember, OpenOptions
from pipeline.tables.formats import row_format
from pipeline.tables.formats.json_types import JsonColumn, JsonColumns, Row, to_table
from pipeline.tables.formats.jsonl.format import unify_json
from pipeline.tables.formats.row_format import UNREAD_TYPE, OpenFile, RowFormat, Scan
from pipeline.tables.formats.webdataset.samples import Sample, read_samples, scan_samples
from pipeline.tables.formats.webdataset.tar_copy import copy_samples
from pipeline.tables.input_file import InputFile
from pipeline.tables.side_files import SIZES
from vilt.common.json_text import NestedTooDeeplyError, read_json


class WebDatasetFormat(RowFormat):
    """A tar whose members `key.jpg`, `key.txt`, `key.json` are one sample.

    Columns: `__key__`; `image`, the bytes of the first member that has an image's extension; `text`, of `key.txt`;
    and the fields of `key.json`, of which `text` counts if there is no `key.txt`.
    """

    name = "webdataset"
    extensions = (".tar",)
    copies_files = True
    counts_name = SIZES

    def scan(self, file: OpenFile, options: OpenOptions) -> Scan:
        """Read headers, texts and JSON, but no images. See `RowFormat`."""
        columns, rows, texts, members = JsonColumns(), 0, False, set[str]()
        with file() as opened:
            for samples in _batches(scan_samples(opened, options.row_bytes)):
                columns.add_rows([(f"{sample.key}.json", fields) for sample, fields in _fields(samples, options)])
                rows += len(samples)
                texts = texts or any(sample.text is not None for sample in samples)
                members.update(*(sample.extensions for sample in samples))
        first = JsonColumns(
            {name: JsonColumn(kind) for name, kind in (("__key__", pa.string()), ("image", pa.binary()))}
        )
        if texts:
            first.columns["text"] = JsonColumn(pa.string())
            if found := columns.columns.get("text"):
                first.columns["text"].fault = found.fault
                first.columns["text"].add(found.type, 0, 0, "text in .json, beside .txt")
        for name, column in columns.columns.items():
            first.columns.setdefault(name, column)
        return Scan(first.schema, rows, first, frozenset(members))

    def unify(self, paths: Sequence[str], scans: Sequence[Scan]) -> tuple[pa.Schema, dict[str, str]]:
        """Join the columns of all files."""
        return unify_json(paths, scans)

    def parse(self, file: IO[bytes], columns: pa.Schema, options: OpenOptions) -> Iterator[pa.Table]:
        """Read some samples at a time. See `RowFormat`."""
        image_bytes = options.image_bytes if "image" in columns.names else None
        for samples in _batches(read_samples(file, image_bytes, options.row_bytes)):
            values: dict[str, Any] = {
                "__key__": pa.array([sample.key for sample in samples], pa.string()),
                "image": pa.array([sample.image for sample in samples], pa.binary()),
            }
            named = pa.schema([f for f in columns if f.name not in values])
            fields = to_table([row for _, row in _fields(samples, options)], named)
            values |= dict(zip(fields.column_names, fields.columns, strict=True))
            if "text" in values and pa.types.is_string(values["text"].type):  # what is not UTF-8 fails row by row
                texts = pa.array([sample.text for sample in samples], pa.binary()).view(pa.string())
                values["text"] = pc.coalesce(texts, values["text"])
            if any(sample.failure for sample in samples):
                failures = [sample.failure and sample.failure._asdict() for sample in samples]
                values[UNREAD] = pa.array(failures, UNREAD_TYPE)
            yield pa.table(values)

    def copy_rows(
        self,
        file: InputFile,
        filesystem: AbstractFileSystem,
        keep: Callable[[int], bool],
        target: IO[bytes],
        added: AddedMember | None = None,
    ) -> int:
        """Copy samples with all their members, byte for byte. See `TableFormat`."""
        with filesystem.open(file.path, "rb") as source:
            try:
                return copy_samples(source, target, keep, added)
            except (ValueError, tarfile.TarError) as error:
                raise ConfigError(f"input.path: {file.name} cannot be copied: {error}") from None


def _batches(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    """Yield samples in groups of about `BLOCK_BYTES`."""
    group: list[Sample] = []
    size = 0
    for sample in samples:
        group.append(sample)
        size += sample.size
        if size >= row_format.BLOCK_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _fields(samples: list[Sample], options: OpenOptions) -> list[tuple[Sample, Row]]:
    """Return the samples and what their JSON says; those that are not read get their failure."""
    rows: list[tuple[Sample, Row]] = []
    for sample in samples:
        try:
            fields = read_json(sample.json, options.json_depth) if sample.json is not None else {}
        except NestedTooDeeplyError as error:
            detail = f"{sample.key}.json is {error} (limits.json_depth)"
            sample.failure, fields = sample.failure or Failure("row_too_deep", detail), {}
        except ValueError as error:
            raise ValueError(f"{sample.key}.json: {error}") from None
        if not isinstance(fields, dict):
            raise ValueError(f"{sample.key}.json holds a {type(fields).__name__}, not an object")
        rows.append((sample, fields))
    return rows
