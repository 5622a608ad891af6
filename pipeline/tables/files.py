"""Which files a table is made of, and what format they have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.storage.filesystem import STORAGE_ERRORS, full_uri
from pipeline.tables import registry
from pipeline.tables.format import InputFile, Listing, TableFormat

_GLOB = re.compile(r"[*?\[]")
LEVELS_ABOVE = 3  # folders above the table's own that are searched for the log of a table format


def list_files(filesystem: AbstractFileSystem, path: str, spec: InputConfig, storage: StorageConfig) -> Listing:
    """Return the files of one format at a file, folder or glob, sorted.

    A path that exists is taken as it stands, also if it has the characters of a glob in it. Hidden files (`_` or `.`
    in front) are left out.

    Raises:
        ConfigError: There are no files of a table, or the files are of several formats.
    """
    marked = _marked_at(filesystem, path.rstrip("/"))
    if marked is not None:
        _check_format(marked, spec)
        return marked.list_marked(filesystem, path.rstrip("/"), spec, storage)
    found, folder = _find(filesystem, path, spec)
    alone = list(found) == [path]
    if not alone:
        _refuse_within(filesystem, folder, found, spec)
    seen = sorted(file for file in found if alone or not _hidden(file.removeprefix(folder)))
    by_format = {known: list(known.list(seen)) for known in registry.FORMATS}
    if spec.format is not None:
        chosen = registry.format_named(spec.format)
        paths = by_format[chosen] or seen  # names without an extension, as some writers give them
        if paths:
            return _listing(filesystem, folder, chosen, paths, found)
    present = [known for known, paths in by_format.items() if paths]
    if len(present) == 1:
        return _listing(filesystem, folder, present[0], by_format[present[0]], found)
    if present:
        held = ", ".join(f"{len(by_format[known])} {known.name}" for known in present)
        raise ConfigError(f"input.path: {spec.path!r} holds files of several formats ({held}); choose in input.format")
    known_ends = [known.extensions[0] for known in registry.FORMATS if known.extensions]
    others = Counter(f".{file.rpartition('/')[2].partition('.')[2]}" for file in seen).most_common(3)
    held = ", ".join(f"{count} {end}" for end, count in others) or "no file at all"
    raise ConfigError(
        f"input.path: {spec.path!r} holds no {', '.join(known_ends[:-1])} or {known_ends[-1]} files; it holds {held}"
    )


def _find(filesystem: AbstractFileSystem, path: str, spec: InputConfig) -> tuple[dict[str, Any], str]:
    """Return what is at a path, by path, and the folder above all of it."""
    if filesystem.isfile(path):
        return {path: filesystem.info(path)}, path.rpartition("/")[0]
    if filesystem.exists(path):
        return filesystem.find(path, detail=True), path.rstrip("/")
    if _GLOB.search(path):
        return filesystem.glob(path, detail=True), _GLOB.split(path, maxsplit=1)[0].rpartition("/")[0]
    raise ConfigError(f"input.path: {spec.path!r} does not exist")


def _marked_at(filesystem: AbstractFileSystem, folder: str) -> TableFormat | None:
    """Return the format whose marker is in a folder."""
    for known in registry.FORMATS:
        if known.marker is not None:
            try:
                held = filesystem.find(f"{folder}/{known.marker_folder}", maxdepth=1)
            except STORAGE_ERRORS:  # a folder that this user may not list
                held = []
            if any(known.marker.search(path.removeprefix(folder)) for path in held):
                return known
    return None


def _check_format(marked: TableFormat, spec: InputConfig) -> None:
    """Refuse another `input.format` than that of the log of the table: it would read rows that were deleted."""
    if spec.format not in (None, marked.name):
        raise ConfigError(
            f"input.format: {spec.format!r}, but {spec.path!r} is {marked.title}, and its log says which of its files "
            "are the table: leave the key out"
        )


def _refuse_within(filesystem: AbstractFileSystem, folder: str, found: Mapping[str, Any], spec: InputConfig) -> None:
    """Refuse files of a table with a log, or folders of such tables: which of them are a table the log alone says."""
    for known in registry.FORMATS:
        if known.marker is not None:
            for path in found:
                if match := known.marker.search(path.removeprefix(folder)):
                    root = f"{folder}{path.removeprefix(folder)[: match.start()]}"
                    raise ConfigError(
                        f"input.path: {spec.path!r} holds {known.title}, {full_uri(filesystem, root)!r}: name the "
                        "table's folder"
                    )
    above = folder
    for _ in range(LEVELS_ABOVE):
        if marked := _marked_at(filesystem, above):
            raise ConfigError(
                f"input.path: {spec.path!r} is within {full_uri(filesystem, above)!r}, {marked.title}, whose log says "
                "which of its files are the table: name the table's folder, and choose rows with input.filter"
            )
        above = above.rpartition("/")[0]
        if not above.strip("/"):
            break


def _listing(
    filesystem: AbstractFileSystem, folder: str, chosen: TableFormat, paths: list[str], found: Mapping[str, Any]
) -> Listing:
    files = []
    for path in paths:
        info, name = found[path], path.removeprefix(folder).lstrip("/")
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
            raise ConfigError(f"input.path: the name of the file '{shown}' is not UTF-8; rename it") from None
        etag = str(info.get("ETag") or info.get("LastModified") or info.get("mtime")).strip('"')
        files.append(InputFile(path, name, info["size"], etag))
    return Listing(filesystem, files, folder, chosen, paths)


def _hidden(relative: str) -> bool:
    return any(part.startswith(("_", ".")) for part in relative.split("/"))
