"""Which files a table is made of, and what format they have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow.compute as pc
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError, NoFilesError
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import full_uri, is_object_store, open_fsspec
from pipeline.tables import registry
from pipeline.tables.file_columns import ListedFiles
from pipeline.tables.format import Listing, TableFormat
from pipeline.tables.formats.path_lists import PathListFormat, expand_braces, find_listed, folder_of, read_path_list
from pipeline.tables.input_file import check_distinct
from pipeline.tables.listing.find_many import as_found, ends_alike, find_below, visible_files
from pipeline.tables.side_files import lists_of_tars, without_side_files

_GLOB = re.compile(r"[*?\[]")
LEVELS_ABOVE = 3  # folders above the table's own that are searched for the log of a table format


def list_files(filesystem: AbstractFileSystem, path: str, spec: InputConfig, storage: StorageConfig) -> Listing:
    """Return the files of one format at a file, folder or glob, sorted.

    A path that exists is taken as it stands, also if it has the characters of a glob in it. Hidden files (`_` or `.`
    in front) are left out.

    Raises:
        ConfigError: There are no files of a table, or the files are of several formats.
    """
    marked = None if spec.files else marked_at(filesystem, path.rstrip("/"))
    if marked is not None:
        _check_format(marked, spec)
        return marked.list_marked(filesystem, path.rstrip("/"), spec, storage)
    found, folder = _find(filesystem, path, spec)
    if isinstance(found, ListedFiles):
        if (parquet := _parquet_alone(filesystem, found, spec)) is not None:
            return parquet
        found = as_found(found)
    alone = list(found) == [path]
    if not alone:
        _refuse_within(filesystem, folder, found, spec.path)
    chosen, paths = _choose(found, folder, alone or spec.files is not None, spec)
    if isinstance(chosen, PathListFormat):
        ends = tuple(end for known in registry.FORMATS if not known.fallback for end in known.extensions)
        if listed := read_path_list(filesystem, path, ends):
            return _list_named(listed, f"{full_uri(filesystem, folder)}/", spec, storage)
    return chosen.listing(filesystem, folder, paths, found)


def _list_named(listed: list[str], base: str, spec: InputConfig, storage: StorageConfig) -> Listing:
    """Return the files that a `.txt` names. base: URI of the folder of the `.txt`."""
    filesystem, _ = open_fsspec(listed[0], "input.path", storage)
    found = find_listed(filesystem, [filesystem._strip_protocol(one) for one in listed])
    below = all(full_uri(filesystem, path).startswith(base) for path in found)
    folder = filesystem._strip_protocol(base).rstrip("/") if below else folder_of([*found])
    chosen, paths = _choose(found, folder, True, spec)
    return chosen.listing(filesystem, folder, paths, found)


def _choose(
    found: Mapping[str, Any], folder: str, as_named: bool, spec: InputConfig
) -> tuple[TableFormat, Sequence[str]]:
    """Return the format of a table and its files, sorted. as_named: hidden files count, since they were named."""
    seen = sorted(file for file in found if as_named or not _hidden(file.removeprefix(folder)))
    seen = seen if as_named else without_side_files(seen)
    by_format = {known: list(known.list(seen)) for known in registry.FORMATS}
    if not as_named:  # a `.txt` in a folder is no list of paths
        by_format = {known: [] if isinstance(known, PathListFormat) else files for known, files in by_format.items()}
    if spec.format is not None:
        chosen = registry.format_named(spec.format)
        if chosen.marker is not None:
            raise ConfigError(f"input.format: {spec.format!r}, but {spec.path!r} has no {chosen.marker_folder}/")
        paths = by_format[chosen] or seen  # names without an extension, as some writers give them
        if paths:
            return chosen, paths
    claimed = {path for known, paths in by_format.items() if known.claims for path in paths}
    for known, paths in by_format.items():
        if not known.claims:
            by_format[known] = [path for path in paths if path not in claimed]
    present = [known for known, paths in by_format.items() if paths and not known.fallback]
    present = present or [known for known, paths in by_format.items() if paths]
    if len(present) == 1:
        return present[0], by_format[present[0]]
    if present:
        held = ", ".join(f"{len(by_format[known])} {known.name}" for known in present)
        advice = f"choose in input.format, as in input.format={present[0].name}"
        if lists_of_tars(seen):
            advice = "the tars hold the pictures, the Parquet files of their names a list: set input.format=webdataset"
        raise ConfigError(f"input.path: {spec.path!r} holds files of several formats ({held}); {advice}")
    ends = [known.extensions[0] for known in registry.FORMATS if known.extensions and not known.fallback]
    *most, last = [end for end in ends if end.startswith(".")]
    others = Counter(f".{file.rpartition('/')[2].partition('.')[2]}" for file in seen).most_common(3)
    held = ", ".join(f"{count} {end}" for end, count in others) or "no file at all"
    raise (ConfigError if seen else NoFilesError)(
        f"input.path: {spec.path!r} holds no {', '.join(most)} or {last} files and no pictures; it holds {held}"
    )


def check_plain(filesystem: AbstractFileSystem, folder: str, found: Mapping[str, Any], key: str) -> None:
    """Check that the files of a folder are all there is to a table: that no log says which of them count.

    Args:
        filesystem: The storage.
        folder: The folder.
        found: The files below it, by path.
        key: The key of the config that names it.

    Raises:
        ConfigError: A log does.
    """
    try:
        _refuse_within(filesystem, folder.rstrip("/"), found, full_uri(filesystem, folder))
    except ConfigError as error:
        raise ConfigError(str(error).replace("input.path", key, 1)) from None


def _parquet_alone(filesystem: AbstractFileSystem, found: ListedFiles, spec: InputConfig) -> Listing | None:
    """Return the listing of a folder of very many files that are all Parquet or hidden; None if it is another table."""
    if spec.format not in (None, "parquet"):
        return None
    visible = visible_files(found)
    parquet = registry.format_named("parquet")
    if not len(visible) or not ends_alike(visible, parquet.extensions):
        return None
    _refuse_within(filesystem, found.folder, found.paths(), spec.path)
    if pc.any(pc.match_substring(visible.columns["path"], "//")).as_py():
        check_distinct(file.name for file in visible)
    return Listing(filesystem, visible, found.folder, parquet, visible.paths())


def _find(filesystem: AbstractFileSystem, path: str, spec: InputConfig) -> tuple[dict[str, Any] | ListedFiles, str]:
    """Return what is at a path, by path, and the folder above all of it; of very many files as columns."""
    if spec.files is not None:
        folder = path.rstrip("/")
        return find_listed(filesystem, [f"{folder}/{one}" for one in spec.files]), folder
    if filesystem.isfile(path):
        return {path: filesystem.info(path)}, path.rpartition("/")[0]
    if filesystem.exists(path):
        return find_below(filesystem, path.rstrip("/")), path.rstrip("/")
    if (listed := expand_braces(path)) != [path]:
        return find_listed(filesystem, listed), path.partition("{")[0].rpartition("/")[0]
    if _GLOB.search(path):
        return filesystem.glob(path, detail=True), _GLOB.split(path, maxsplit=1)[0].rpartition("/")[0]
    # A folder of an object store is there while it has files.
    missing = NoFilesError if is_object_store(filesystem) else ConfigError
    raise missing(f"input.path: {spec.path!r} does not exist")


def marked_at(filesystem: AbstractFileSystem, folder: str) -> TableFormat | None:
    """Return the format that a folder is a table of by what stands beside its files."""
    return next((known for known in registry.FORMATS if known.marks(filesystem, folder)), None)


def _check_format(marked: TableFormat, spec: InputConfig) -> None:
    """Refuse another `input.format` than that of the log of the table: it would read rows that were deleted."""
    if spec.format not in (None, marked.name):
        raise ConfigError(
            f"input.format: {spec.format!r}, but {spec.path!r} is {marked.title}, and its log says which of its files "
            "are the table: leave the key out"
        )


def _refuse_within(filesystem: AbstractFileSystem, folder: str, found: Iterable[str], path: str) -> None:
    """Refuse files of a table with a log, or folders of such tables: which of them are a table the log alone says."""
    for known in registry.FORMATS:
        if known.marker is not None:
            for file in found:
                if match := known.marker.search(file.removeprefix(folder)):
                    root = f"{folder}{file.removeprefix(folder)[: match.start()]}"
                    raise ConfigError(
                        f"input.path: {path!r} holds {known.title}, {full_uri(filesystem, root)!r}: name the "
                        "table's folder"
                    )
    above = folder
    for _ in range(LEVELS_ABOVE):
        marked = marked_at(filesystem, above)
        if marked is not None and (marked.marker is not None or above == folder):
            raise ConfigError(
                f"input.path: {path!r} is within {full_uri(filesystem, above)!r}, {marked.title}, whose log says "
                "which of its files are the table: name the table's folder, and choose rows with input.filter"
            )
        above = above.rpartition("/")[0]
        if not above.strip("/"):
            break


def _hidden(relative: str) -> bool:
    return any(part.startswith(("_", ".")) for part in relative.split("/"))
