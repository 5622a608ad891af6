"""Lance datasets as input: one version, its fragments as files."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field, replace
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError, first_line
from pipeline.common.parsers import without_panics
from pipeline.common.row_ranges import RowSet
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import full_uri, in_threads
from pipeline.storage.object_store import delta_options
from pipeline.tables.filter_expression import Filter, parse_filter
from pipeline.tables.format import Listing, OpenOptions, TableFormat
from pipeline.tables.formats.filter_counts import rows_passing
from pipeline.tables.formats.lance.reader import OFFSET, LanceReader, LanceSource
from pipeline.tables.input_file import InputFile
from pipeline.tables.opened_table import OpenedFile, OpenedTable, Split
from pipeline.tables.schemas import as_text, is_convertible, plain

if TYPE_CHECKING:  # pylance is an extra, and is loaded when there is a Lance dataset
    import lance

SPLIT_ROWS = 2**14  # of a fragment, that are read together
BLOB = b"lance-encoding:blob"


@dataclass(frozen=True)
class LanceListing(Listing):
    """The fragments of one version of a dataset.

    Attributes:
        schema: The columns.
        rows: Fragment -> how many rows it has, those that were deleted included.
        source: What opens the dataset.
    """

    schema: pa.Schema = field(default_factory=lambda: pa.schema([]))
    rows: dict[str, int] = field(default_factory=dict)
    source: LanceSource | None = None


class LanceFormat(TableFormat):
    """A Lance dataset (`pip install .[lance]`).

    Its fragments are files; of the latest version, or of `input.version` (a number or a tag) or `input.timestamp`.
    Columns of blobs, and fragments of other datasets, as shallow clones have them, are refused.
    """

    name = "lance"
    divisible = True
    title = "a Lance dataset"
    marker_folder = "_versions"
    marker = re.compile(r"(?:^|/)_versions/[^/]*\.manifest$")

    def list_marked(
        self, filesystem: AbstractFileSystem, folder: str, spec: InputConfig, storage: StorageConfig
    ) -> Listing:
        """Return the fragments of one version."""
        uri = full_uri(filesystem, folder)
        with without_panics(f"input.path: the Lance dataset {uri!r}"):
            return self._listing(filesystem, folder, uri, spec, storage)

    def _listing(
        self, filesystem: AbstractFileSystem, folder: str, uri: str, spec: InputConfig, storage: StorageConfig
    ) -> Listing:
        options = storage_options(uri, storage)
        dataset = open_dataset(uri, spec, options)
        source = LanceSource(uri, dataset.version, tuple(options.items()))
        files, rows = [], {}
        for fragment in dataset.get_fragments():
            file = _file(fragment, uri)
            files.append(file)
            rows[file.name] = int(fragment.physical_rows)
        if not files:
            raise ConfigError(f"input.path: version {dataset.version} of {uri!r} has no fragment, and so no rows")
        version = f"version {dataset.version}"
        return LanceListing(filesystem, files, folder, self, [], version, dataset.schema, rows, source)

    def open(self, listing: Listing, options: OpenOptions) -> OpenedTable:
        """Return the rows of the fragments, which their metadata count."""
        assert isinstance(listing, LanceListing)
        assert listing.source is not None
        unreadable = {}
        fields = []
        for column in listing.schema:
            if (column.metadata or {}).get(BLOB) == b"true":
                unreadable[column.name] = "it is a column of blobs, which Lance gives as places and not as bytes"
            elif not is_convertible(column.type):
                unreadable[column.name] = f"it is {column.type}"
            else:
                kind = plain(column.type)
                fields.append(pa.field(column.name, as_text(kind) if column.name in options.text_columns else kind))
        opened, schema = (
            [OpenedFile(file, _splits(file, listing.rows[file.name])) for file in listing.files],
            pa.schema(fields),
        )
        condition = None if options.filter is None else parse_filter(options.filter, schema)
        reader = LanceReader(listing.source, condition)
        if condition is not None:
            opened = list(in_threads(partial(_passing, reader, schema, condition), opened))
        return OpenedTable(opened, schema, reader, condition, unreadable)

    def copy_name(self, file: InputFile) -> str:
        """Return a name without folders."""
        return f"{file.name.replace('/', '_')}.parquet"


def open_dataset(uri: str, spec: InputConfig, options: dict[str, str]) -> lance.LanceDataset:
    """Open the version of a dataset that `input` names.

    Args:
        uri: The dataset.
        spec: The section of the config.
        options: See `storage_options`.

    Raises:
        ConfigError: pylance is missing, or the dataset cannot be read.
    """
    lance = load_lance(f"input.path: {uri!r} is a Lance dataset")
    try:
        latest = lance.dataset(uri, storage_options=options)
        number = spec.version
        if spec.as_of is not None:
            # the times of versions have no zone, and are local
            times: dict[int, float] = {one["version"]: one["timestamp"].timestamp() for one in _versions(latest)}
            before = [version for version, time in times.items() if time <= spec.as_of.timestamp()]
            if not before:
                raise ConfigError(f"input.timestamp: {spec.timestamp} is before the first version of {uri!r}")
            number = max(before)
        return latest if number in (None, latest.version) else lance.dataset(uri, number, storage_options=options)
    except ConfigError:
        raise
    except (OSError, ValueError, OverflowError) as error:
        named = "" if spec.version is None else f", version {spec.version}"
        raise ConfigError(f"input.path: cannot read the Lance dataset {uri!r}{named}: {first_line(error)}") from None


def _file(fragment: Any, uri: str) -> InputFile:
    """Return a fragment as a file.

    Raises:
        ConfigError: It is of another dataset.
    """
    said = fragment.metadata.to_json()
    deletions = said.get("deletion_file") or {}
    if any(one.get("base_id") is not None for one in (*said["files"], deletions)):
        raise ConfigError(
            f"input.path: {uri!r} has fragments of another dataset: shallow clones are not read; name that dataset"
        )
    gone = ""
    if fragment.num_deletions:
        addresses = fragment.scanner(columns=[], with_row_address=True).to_table()["_rowaddr"].to_numpy() & OFFSET
        live = np.zeros(fragment.physical_rows, bool)
        live[addresses.astype(np.int64)] = True
        gone = RowSet.of(np.flatnonzero(~live)).encode()
    etag = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:32]
    size = sum(one.get("file_size_bytes") or 0 for one in said["files"])
    return InputFile(uri, f"fragments/{fragment.fragment_id}", size, etag, gone)


def _passing(reader: LanceReader, schema: pa.Schema, condition: Filter, opened: OpenedFile) -> OpenedFile:
    """Return a fragment with the numbers of rows that the filter lets through."""
    return OpenedFile(
        opened.file,
        [replace(split, rows=rows_passing(opened.file, split, reader, schema, condition)) for split in opened.splits],
    )


def _splits(file: InputFile, rows: int) -> list[Split]:
    deleted, out = file.deleted_rows, []
    for first in range(0, rows, SPLIT_ROWS):
        count = min(SPLIT_ROWS, rows - first)
        live = count - len(deleted.between(first, first + count))
        out.append(Split(first, live, count, file.size * count // rows))
    return out


def storage_options(uri: str, storage: StorageConfig) -> dict[str, str]:
    """Return how pylance reaches a dataset."""
    options = delta_options(uri, storage)
    endpoint = options.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL", "")
    options |= {"AWS_ENDPOINT_URL": endpoint} if options and endpoint else {}
    return {key.lower(): value for key, value in options.items()}


def load_lance(what: str) -> ModuleType:
    """Return the module `lance`, of an extra that is loaded when there is a Lance dataset.

    Args:
        what: What needs it, for the message, as in "output.format: 'lance'".

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import lance
    except ImportError as error:
        raise ConfigError(
            f"{what}, for which pylance is missing ({first_line(error)}): pip install '.[lance]'"
        ) from None
    return lance


def _versions(dataset: Any) -> list[dict[str, Any]]:
    """Return the number and the time of each version."""
    return list(dataset.versions())
