"""Which files of the input, in which editions, a table of results was made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.results.work_folder import write_parquet
from pipeline.storage.filesystem import arrow_filesystem
from pipeline.tables.format import InputFile

SCHEMA = pa.schema([("file", pa.string()), ("edition", pa.string()), ("rows", pa.int64())])


@dataclass(frozen=True)
class Editions:
    """name of a file -> its edition and its rows."""

    files: dict[str, tuple[str, int]]

    @property
    def rows(self) -> int:
        """Of all files."""
        return sum(rows for _, rows in self.files.values())

    @property
    def pairs(self) -> set[tuple[str, str]]:
        """(name, edition) of each file."""
        return {(name, edition) for name, (edition, _) in self.files.items()}

    def new(self, found: Iterable[InputFile]) -> list[InputFile]:
        """Of the files that the input has now, those that are not in here as they are."""
        return [file for file in found if self.files.get(file.name, ("",))[0] != file.version]

    def gone(self, found: Iterable[InputFile]) -> Editions:
        """Those that the input no longer has as they are in here."""
        now = {file.name: file.version for file in found}
        return Editions({name: own for name, own in self.files.items() if now.get(name) != own[0]})

    def write(self, filesystem: AbstractFileSystem, path: str) -> None:
        """To a Parquet file."""
        rows = [(name, edition, count) for name, (edition, count) in self.files.items()]
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        write_parquet(filesystem, path, [pa.table([list(values) for values in columns], schema=SCHEMA)], {})

    @classmethod
    def read(cls, filesystem: AbstractFileSystem, path: str) -> Editions:
        """What `write` wrote."""
        table = pq.read_table(path, filesystem=arrow_filesystem(filesystem))
        names, editions, rows = (table[name].to_pylist() for name in SCHEMA.names)
        return cls(dict(zip(names, zip(editions, rows, strict=True), strict=True)))

    @classmethod
    def none(cls) -> Editions:
        """Of no file."""
        return cls({})
