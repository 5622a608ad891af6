"""List a folder of very many files by folders and pages, and keep columns of them, not what fsspec tells of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from fsspec import AbstractFileSystem

from pipeline.storage.filesystem import in_threads
from pipeline.storage.pages import has_pages, list_pages
from pipeline.tables.file_columns import MANY_FILES, ListedFiles
from pipeline.tables.input_file import etag_of

MANY_FOLDERS = 16  # from which on a folder is listed by its folders


def find_below(filesystem: AbstractFileSystem, folder: str) -> dict[str, Any] | ListedFiles:
    """Return all files below a folder, as `fsspec.find` does; as columns if there are very many."""
    try:
        files = _by_pages(filesystem, folder) if has_pages(filesystem) else _by_folders(filesystem, folder)
        if files is not None:
            return files if len(files) >= MANY_FILES else as_found(files)
    except UnicodeEncodeError:  # of a name that is not UTF-8: the message that names the file is that of `listed_file`
        pass
    found: dict[str, Any] = filesystem.find(folder, detail=True)
    return found


def _by_pages(filesystem: AbstractFileSystem, folder: str) -> ListedFiles:
    """List a folder page by page, and the folders in it at the same time."""
    parts, folders = list[pa.Table](), list[str]()
    for page in list_pages(filesystem, folder, deep=False):
        parts.append(_columns(page.files))
        folders += page.folders

    def listed(below: str) -> pa.Table:
        return pa.concat_tables(_columns(page.files) for page in list_pages(filesystem, below, deep=True))

    return _in_order(folder, pa.concat_tables([*parts, *in_threads(listed, folders)]))


def _by_folders(filesystem: AbstractFileSystem, folder: str) -> ListedFiles | None:
    """List the folders in a folder at the same time; return None if there are few."""
    top = [info for info in filesystem.ls(folder, detail=True) if info["name"].rstrip("/") != folder]
    folders = sorted(info["name"] for info in top if info["type"] == "directory")
    if len(folders) < MANY_FOLDERS and len(top) < MANY_FILES:
        return None

    def listed(below: str) -> pa.Table:
        found = filesystem.find(below, detail=True)
        filesystem.invalidate_cache()  # which holds what was found for ever
        return _columns(found.values())

    columns = _columns(top)
    del top
    return _in_order(folder, pa.concat_tables([columns, *in_threads(listed, folders)]))


def _in_order(folder: str, columns: pa.Table) -> ListedFiles:
    paths = columns["path"]
    if not pc.all(pc.less(paths.slice(0, len(paths) - 1), paths.slice(1))).as_py():
        columns = columns.take(pc.sort_indices(paths))
    return ListedFiles(folder, columns)


def _columns(found: Iterable[Mapping[str, Any]]) -> pa.Table:
    text, infos = pa.large_string(), [info for info in found if info["type"] != "directory"]
    columns = {
        "path": pa.array([info["name"] for info in infos], text),
        "size": pa.array([info["size"] for info in infos], pa.int64()),
        "etag": pa.array([etag_of(info) for info in infos], text),
    }
    return pa.table(columns).sort_by("path")


def as_found(files: ListedFiles) -> dict[str, Any]:
    """Return files as `fsspec.find` tells of them."""
    return {file.path: {"name": file.path, "size": file.size, "type": "file", "etag": file.etag} for file in files}


def visible_files(files: ListedFiles) -> ListedFiles:
    """Return the files without those that are hidden, or in a folder that is: `_` or `.` in front."""
    below = pc.utf8_slice_codeunits(files.columns["path"], len(files.folder))
    hidden = pc.match_substring_regex(below, r"(^|/)[_.]")
    return ListedFiles(
        files.folder, files.columns.filter(pc.invert(hidden)) if pc.any(hidden).as_py() else files.columns
    )


def ends_alike(files: ListedFiles, extensions: Sequence[str]) -> bool:
    """Return whether the names of all files end in one of these, in lower case."""
    (extension,) = extensions
    return bool(pc.all(pc.ends_with(files.columns["path"], extension)).as_py())
