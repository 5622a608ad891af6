"""The files of results as a table to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.results.delta.table import ResultTable
from pipeline.results.file_footer import FOOTER
from pipeline.results.reader import files_in, is_result
from pipeline.results.untrusted import check_links
from pipeline.results.work_folder import RESULTS
from pipeline.storage.filesystem import open_fsspec
from pipeline.tables.format import Listing, OpenOptions
from pipeline.tables.input_file import InputFile, listed_file
from pipeline.tables.registry import format_named
from pipeline.tables.table import TableFiles, list_table, open_listed


@contextmanager
def results_named(key: str = "OUT") -> Iterator[None]:
    """While it is open, results that are read as a table are called `key` in messages, not input.path."""
    try:
        yield
    except ConfigError as error:
        if not str(error).startswith("input.path: "):
            raise
        raise type(error)(f"{key}: {str(error).removeprefix('input.path: ')}") from None


@results_named()
def result_files(uri: str, storage: StorageConfig) -> TableFiles:
    """Return the files of results as a table to read.

    Raises:
        ConfigError: There are none, or they cannot be read.
    """
    spec = InputConfig(path=uri, format="parquet")
    table = ResultTable(uri, storage)
    filesystem, path = open_fsspec(uri, "OUT", storage)
    if not table.exists:
        folder = f"{path.rstrip('/')}/{RESULTS}"
        if filesystem.exists(folder):  # beside tars, or in a Lance dataset
            infos = {name: info for name, info in filesystem.find(folder, detail=True).items() if is_result(name)}
            return _open_parquet(uri, filesystem, folder, [listed_file(folder, *one) for one in infos.items()])
        images = files_in(filesystem, f"{path.rstrip('/')}/images")
        spec = spec.model_copy(update={"path": f"{uri.rstrip('/')}/images"}) if images else spec
        found_table = open_listed(list_table(spec, storage), OpenOptions(footer_key=FOOTER))
        found_table.check_readable()
        return found_table
    found = [InputFile(f"{path.rstrip('/')}/{file.path}", file.path, file.size, "") for file in table.files()]
    return _open_parquet(uri, filesystem, path.rstrip("/"), found)


def _open_parquet(uri: str, filesystem: AbstractFileSystem, folder: str, files: Sequence[InputFile]) -> TableFiles:
    """Return Parquet files below a folder as a table to read."""
    found = sorted(files, key=lambda file: file.name)
    check_links(filesystem, folder, [file.path for file in found], f"OUT: {uri!r}")
    listing = Listing(filesystem, found, folder, format_named("parquet"), [file.path for file in found])
    return open_listed(listing, OpenOptions(footer_key=FOOTER))
