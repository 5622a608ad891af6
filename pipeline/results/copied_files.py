"""Copy the files of a table of a format that copies its own, as tars are, to files of the same format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError, RowsLostError
from pipeline.storage.filesystem import write_whole
from pipeline.tables.format import AddedMember, TableFormat
from pipeline.tables.input_file import InputFile, etag_of
from vilt.common.counts import counted

if TYPE_CHECKING:
    from pipeline.tables.table import TableFiles


def copy_file(
    table: TableFiles,
    number: int,
    keep: Callable[[int], bool],
    filesystem: AbstractFileSystem,
    path: str,
    added: AddedMember | None = None,
) -> None:
    """Copy some rows of a file of a table as they are.

    Args:
        table: The table.
        number: The file.
        keep: Number of a row of the file -> whether to copy it.
        filesystem: Where the copy goes.
        path: The copy.
        added: What each row that is copied gets beside what it has.

    Raises:
        ConfigError: The file is damaged, or is not the one that was listed any more.
        RowsLostError: It has other rows than were counted.
    """
    opened = table.files[number]
    with filesystem.open(path, "wb") as target:
        rows = table.format.copy_rows(opened.file, table.filesystem, keep, target, added)
    if rows != opened.rows:
        raise RowsLostError(
            f"{opened.name}: has {counted(rows, 'row')}, of {opened.rows} that were counted: nothing was published; "
            f"was the table "
            "changed meanwhile? run the same command again"
        )
    _check_unchanged(opened.file, table.filesystem)


def _check_unchanged(file: InputFile, filesystem: AbstractFileSystem) -> None:
    """Check that a file is still the one that was listed, whose rows the results are of."""
    filesystem.invalidate_cache()
    if etag_of(filesystem.info(file.path)) == file.etag:
        return
    found = filesystem.find(file.path, detail=True)  # as listings have it: some storages tell less of one file
    if file.path not in found or etag_of(found[file.path]) != file.etag:
        raise ConfigError(
            f"input.path: {file.name} was changed since it was listed, so its rows are not those that the results are "
            "of: nothing was published; set output.overwrite=true to begin anew"
        )


def counts_names(format: TableFormat, paths: Iterable[str]) -> list[str]:
    """Return the files that say how many rows copied files hold, if readers of the format look for them.

    Args:
        format: The format of the files.
        paths: The files.

    Returns:
        One for each folder with files.
    """
    if format.counts_name is None:
        return []
    return list(dict.fromkeys(_beside(path, format.counts_name) for path in paths))


def write_counts(
    format: TableFormat, rows: Mapping[str, int], filesystem: AbstractFileSystem, folder: str
) -> list[str]:
    """Write how many rows each copied file holds, if readers of the format look for it.

    Args:
        format: The format of the files.
        rows: Rows of each file, by its path below `folder`.
        filesystem: The storage.
        folder: Where the files are.

    Returns:
        The files that were written, by their paths below `folder`; see `counts_names`.
    """
    names = counts_names(format, rows)
    counts: dict[str, dict[str, int]] = {name: {} for name in names}
    for path, count in rows.items() if names else ():
        counts[_beside(path, str(format.counts_name))][path.rpartition("/")[2]] = count
    for path, held in counts.items():
        write_whole(filesystem, f"{folder}/{path}", json.dumps(held, indent=0).encode())
    return names


def _beside(path: str, name: str) -> str:
    below, slash, _ = path.rpartition("/")
    return f"{below}{slash}{name}"
