"""List a folder of very many files folder by folder, and keep columns of them, not what fsspec tells of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from fsspec import AbstractFileSystem

from pipeline.storage.filesystem import in_threads
from pipeline.tables.file_columns import MANY_FILES, ListedFiles
from pipeline.tables.input_file import etag_of

MANY_FOLDERS = 16  # from which on a folder is listed by its folders


def find_below(filesystem: AbstractFileSystem, folder: str) -> dict[str, Any] | ListedFiles:
    """Return all files below a folder, as `fsspec.find` does; as columns if there are very many in many folders."""
    top = {info["name"]: info for info in filesystem.ls(folder, detail=True) if info["name"].rstrip("/") != folder}
    folders = sorted(name for name, info in top.items() if info["type"] == "directory")

    def listed(below: str) -> pa.Table:
        found = filesystem.find(below, detail=True)
        filesystem.invalidate_cache()  # which holds what was found for ever
        return _columns(found)

    try:
        if len(folders) >= MANY_FOLDERS:
            files = _in_order(folder, pa.concat_tables([_columns(top), *in_threads(listed, folders)]))
            return files if len(files) >= MANY_FILES else as_found(files)
    except UnicodeEncodeError:  # of a name that is not UTF-8: the message that names the file is that of `listed_file`
        pass
    found: dict[str, Any] = filesystem.find(folder, detail=True)
    return found


def _in_order(folder: str, columns: pa.Table) -> ListedFiles:
    paths = columns["path"]
    if not pc.all(pc.less(paths.slice(0, len(paths) - 1), paths.slice(1))).as_py():
        columns = columns.take(pc.sort_indices(paths))
    return ListedFiles(folder, columns)


def _columns(found: Mapping[str, Any]) -> pa.Table:
    text, infos = pa.large_string(), {path: info for path, info in found.items() if info["type"] != "directory"}
    columns = {
        "path": pa.array(list(infos), text),
        "size": pa.array([info["size"] for info in infos.values()], pa.int64()),
        "etag": pa.array([etag_of(info) for info in infos.values()], text),
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
