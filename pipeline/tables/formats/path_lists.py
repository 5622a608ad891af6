"""Lists of paths: lists in a config, braces, and `.txt` files."""

from __future__ import annotations

import io
import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError
from pipeline.config.input import common_folder
from pipeline.tables.format import OpenOptions
from pipeline.tables.formats.pictures import IMAGE, is_picture
from pipeline.tables.formats.row_format import OpenFile, RowFormat, Scan
from vilt.common.counts import counted

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_GLOB = re.compile(r"[*?\[]")
MOST = 100_000  # files of a pattern of braces
BLOCK_ROWS = 2**16
LIST_BYTES = 2**28  # of a `.txt` of paths of files


def expand_braces(pattern: str) -> list[str]:
    """Return the paths that `{00000..00041}` and `{a,b}` in a pattern mean; the pattern alone if it has none.

    Raises:
        ConfigError: There are too many.
    """
    found = _BRACES.search(pattern)
    if found is None:
        return [pattern]
    span = _RANGE.fullmatch(found[1])
    if span is None and "," not in found[1]:
        return [pattern]
    if span is None:
        parts: Sequence[str] = found[1].split(",")
    else:
        first, last, width = int(span[1]), int(span[2]), len(span[1])
        if abs(last - first) >= MOST:
            raise ConfigError(f"input.path: {pattern!r} means more than {MOST:,} files")
        step = 1 if last >= first else -1
        parts = [f"{number:0{width}}" for number in range(first, last + step, step)]
    out = []
    for part in parts:
        out += expand_braces(f"{pattern[: found.start()]}{part}{pattern[found.end() :]}")
        if len(out) > MOST:
            raise ConfigError(f"input.path: {pattern!r} means more than {MOST:,} files")
    return out


def find_listed(filesystem: AbstractFileSystem, paths: Sequence[str]) -> dict[str, Any]:
    """Return what is at each of some paths, which may have braces or be globs.

    Raises:
        ConfigError: One does not exist, or is named twice.
    """
    out: dict[str, Any] = {}
    listings: dict[str, dict[str, Any]] = {}
    is_local = "file" in filesystem.protocol
    for given in paths:
        pattern = posixpath.normpath(given) if is_local else given  # one spelling of a file; keys have but one
        for path in [pattern] if filesystem.exists(pattern) else expand_braces(pattern):
            if _GLOB.search(path) and not filesystem.exists(path):
                found = filesystem.glob(path, detail=True)
            else:
                found = _find_one(filesystem, path, listings)
            if not found:
                raise ConfigError(f"input.path: {path!r} does not exist, though it is one of the files that are listed")
            for name, info in found.items():
                if name in out:
                    raise ConfigError(f"input.path: {name!r} is listed twice; its rows would be read twice")
                out[name] = info
    return out


def _find_one(filesystem: AbstractFileSystem, path: str, listings: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what is at a path; a folder is listed once for all of its files."""
    folder = path.rpartition("/")[0]
    if folder not in listings:
        try:
            listings[folder] = {one["name"]: one for one in filesystem.ls(folder, detail=True)}
        except (FileNotFoundError, NotADirectoryError):
            listings[folder] = {}
        except PermissionError:  # reading may be allowed, and listing not
            return {path: filesystem.info(path)} if filesystem.isfile(path) else {}
    info = listings[folder].get(path)
    return {path: info} if info is not None and info["type"] == "file" else {}


def read_path_list(filesystem: AbstractFileSystem, path: str, ends: tuple[str, ...]) -> list[str] | None:
    """Return the files of tables that a `.txt` names, one a line; None if it names pictures.

    Args:
        filesystem: Where it is.
        path: The `.txt`.
        ends: Extensions of tables.

    Raises:
        ConfigError: A line names neither, or it names both.
    """
    if filesystem.size(path) > LIST_BYTES:
        return None
    lines = [(number, line.strip()) for number, line in enumerate(_lines(filesystem.cat_file(path)), 1) if line.strip()]
    tables = []
    pictures = 0
    for number, line in lines:
        if line.lower().endswith(ends):
            tables.append(_absolute(line, path))
        elif is_picture(line.partition("?")[0]) or "://" in line:
            pictures += 1
        else:
            raise ConfigError(
                f"input.path: {path!r}, line {number:,}: {line[:100]!r} is no path of a picture or of a file of a "
                "table; a .txt as a table is a list of paths, one a line"
            )
    if tables and pictures:
        raise ConfigError(
            f"input.path: {path!r} names {counted(pictures, 'picture')} and {counted(len(tables), 'file')} of tables"
        )
    return tables or None


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8-sig", errors="replace").splitlines()


def _absolute(line: str, path: str) -> str:
    return line if "://" in line or line.startswith("/") else f"{path.rpartition('/')[0]}/{line}"


class PathListFormat(RowFormat):
    """A `.txt` of paths or URIs of pictures, one a line.

    Column: `image`; a path that is not absolute is relative to the folder of the `.txt`. A `.txt` that names files of
    tables, one a line, is the table of these files.
    """

    name = "paths"
    extensions = (".txt",)
    fallback = True

    def list(self, paths: Sequence[str]) -> Sequence[str]:
        """Return the file, if it is named itself: a `.txt` among other files belongs to these."""
        return paths if len(paths) == 1 and paths[0].lower().endswith(self.extensions) else []

    def scan(self, file: OpenFile, options: OpenOptions) -> Scan:
        """Count the lines. See `RowFormat`."""
        del options
        with file() as opened:
            return Scan(pa.schema([(IMAGE, pa.string())]), sum(table.num_rows for table in _tables(opened)))

    def unify(self, paths: Sequence[str], scans: Sequence[Scan]) -> tuple[pa.Schema, dict[str, str]]:
        """Return the one column."""
        del paths
        return scans[0].schema, {}

    def parse(self, file: IO[bytes], columns: pa.Schema, options: OpenOptions) -> Iterator[pa.Table]:
        """Read some lines at a time. See `RowFormat`."""
        del columns, options
        yield from _tables(file)


def _tables(file: IO[bytes]) -> Iterator[pa.Table]:
    held: list[bytes] = []
    for number, line in enumerate(io.BufferedReader(file) if isinstance(file, io.RawIOBase) else file):
        text = (line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line).strip()
        held += [text] if text else []
        if len(held) == BLOCK_ROWS:
            yield pa.table({IMAGE: pa.array(held, pa.binary()).view(pa.string())})
            held = []
    yield pa.table({IMAGE: pa.array(held, pa.binary()).view(pa.string())})


def folder_of(paths: Sequence[str]) -> str:
    """Return the folder above all of some paths. Raises ConfigError if there is none below the root."""
    try:
        return common_folder(paths)
    except ValueError as error:
        raise ConfigError(f"input.path: {error}") from None
