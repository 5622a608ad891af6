"""Read the results of a finished job: its Parquet files, or those that its Delta table lists, and its summary."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import pyarrow as pa
from fsspec import AbstractFileSystem

from pipeline.common.columns import ROW_SOURCE
from pipeline.common.errors import ConfigError, first_line
from pipeline.common.parsers import PARSER_ERRORS, parser_fault
from pipeline.common.tasks import SCORE_COLUMNS, TASK_NAMES, added_columns
from pipeline.config.storage import StorageConfig
from pipeline.results.delta.table import ResultTable
from pipeline.results.file_footer import FOOTER, ResultFile
from pipeline.results.output_folder import nested_results
from pipeline.results.shard_folders import shards_in
from pipeline.results.untrusted import MOST_SUMMARY_BYTES, check_links, check_summary, check_written
from pipeline.results.work_folder import SUMMARY, WorkFolder, each
from pipeline.storage.filesystem import THREADS, arrow_filesystem, open_fsspec, patiently, storage_errors
from pipeline.storage.parquet.footer import read_metadata
from pipeline.storage.parquet.reading import guarded_batches
from pipeline.tables.formats.parquet.format import joined
from pipeline.tables.schemas import conform, plain, unify
from vilt.common.counts import counted
from vilt.common.json_text import read_json


class NoSummaryError(ConfigError):
    """A folder holds no summary: another program wrote it, or the job has not finished."""


@dataclass(frozen=True)
class Results:
    """The Parquet files directly in a folder, or those of a Delta table.

    Attributes:
        uri: The folder.
        filesystem: Where it is.
        paths: The files, sorted.
        fingerprint: A hash of their names, sizes and versions.
        schema: The columns of all files together.
        metadata: The keys and values of each file's footer.
        is_delta: Whether they are a Delta table of ours, whose rows say in `row_source` what they were made from.
        key: What names them in the config or on the command line, for messages.
    """

    uri: str
    filesystem: AbstractFileSystem
    paths: list[str]
    fingerprint: str
    schema: pa.Schema
    metadata: list[dict[str, str]]
    is_delta: bool = False
    key: str = "scores"

    def read(self, names: Sequence[str], rows: int) -> Iterator[pa.Table]:
        """Yield columns of all files as one table, at most `rows` rows at a time.

        Raises:
            OSError: The storage failed.
            ConfigError: A file is damaged, or is not to be decoded.
        """
        arrow, columns = arrow_filesystem(self.filesystem), pa.schema([self.schema.field(name) for name in names])
        for path in self.paths:
            batches = partial(guarded_batches, path, arrow, names, rows, self.key, lenient=True)
            try:
                for table in joined(patiently(batches, path), rows):
                    yield conform(table, columns, {}, path)
            except storage_errors() as error:
                if type(error) is OSError and error.errno is None:  # pyarrow's, about data
                    raise self._damaged(path, error) from None
                raise
            except ConfigError:
                raise
            except PARSER_ERRORS as error:
                raise self._damaged(path, error) from None

    def _damaged(self, path: str, error: Exception) -> ConfigError:
        return ConfigError(f"{self.key}: {path!r} cannot be read, it is damaged: {parser_fault(error)}")

    @property
    def lineage(self) -> dict[str, str]:
        """Return what the first footer says of how the results were made."""
        first = self.metadata[0] if self.metadata else {}
        return {key: value for key, value in first.items() if key.startswith("vilt.") and key != FOOTER}

    @cached_property
    def written(self) -> list[ResultFile]:
        """Return what each file holds, without the files that other programs wrote."""
        return written_in([values.get(FOOTER) for values in self.metadata], self.uri)

    @property
    def tasks(self) -> list[str] | None:
        """Return the tasks of the job that made the results; None if the files do not say, as other programs'."""
        tasks = self.lineage.get("vilt.task")
        return None if tasks is None else tasks.split(",")

    @property
    def made_columns(self) -> list[str]:
        """Return the columns that the job made; the others are the user's own, whatever their names."""
        return made_columns(self.tasks, self.schema)

    @property
    def score_column(self) -> str | None:
        """Return the column that ranks the rows; None if there is none."""
        return score_column(self.tasks, self.schema)


def written_in(footers: Sequence[str | bytes | None], uri: str) -> list[ResultFile]:
    """Return what files of results hold, without the files that other programs wrote.

    Args:
        footers: The value of `FOOTER` in the footer of each.
        uri: The folder, for messages.

    Raises:
        ConfigError: A footer is damaged.
    """
    try:
        parts = [ResultFile.from_json(footer) for footer in footers if footer is not None]
        for part in parts:
            check_written(part)
        return parts
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{uri!r}: a file's footer is damaged: {first_line(error)}") from None


def made_columns(tasks: Sequence[str] | None, schema: pa.Schema) -> list[str]:
    """Return the columns of `schema` that a job of these tasks made.

    Args:
        tasks: Those that the footer or the summary names. If None, the names of the columns decide.
        schema: The columns of results.
    """
    follows = ROW_SOURCE in schema.names  # a table that may follow its images, too
    made = set(added_columns([task for task in TASK_NAMES if tasks is None or task in tasks], True, follows))
    return [name for name in schema.names if name in made]


def score_column(tasks: Sequence[str] | None, schema: pa.Schema) -> str | None:
    """Return the column by which results of these tasks are ranked; see `made_columns`."""
    made = made_columns(tasks, schema)
    return next((name for name in SCORE_COLUMNS if name in made), None)


def open_results(uri: str, key: str, storage: StorageConfig) -> Results:
    """Find the files of results and read their footers.

    Raises:
        ConfigError: There are none, or they cannot be read; it names the config's `key`.
    """
    filesystem, path = open_fsspec(uri, key, storage)
    try:
        filesystem.invalidate_cache()
        found = [info for info in filesystem.ls(path, detail=True) if info["type"] == "file"]
    except FileNotFoundError:
        raise ConfigError(f"{key}: {uri!r} does not exist") from None
    except storage_errors() as error:
        raise ConfigError(f"{key}: cannot read {uri!r}: {first_line(error)}") from None
    infos = {info["name"]: info for info in found if is_result(info["name"])}
    try:
        infos |= _in_folders(filesystem, path, {info["name"].rpartition("/")[2] for info in found})
    except storage_errors() as error:
        raise ConfigError(f"{key}: cannot read {uri!r}: {first_line(error)}") from None
    if not infos:
        infos = files_in(filesystem, f"{path.rstrip('/')}/images")
    table = ResultTable(uri, storage, key)
    if table.exists:
        infos = {f"{path.rstrip('/')}/{file.path}": {"size": file.size} for file in table.files()}
    elif not infos and not any(info["name"].endswith(f"/{SUMMARY}") for info in found):
        raise ConfigError(f"{key}: {uri!r} holds no .parquet files; name the output folder of a job that has finished")
    paths = sorted(infos)
    check_links(filesystem, path, paths, f"{key}: {uri!r}")
    versions = [(name, infos[name]["size"], str(_version(infos[name]))) for name in paths]

    def footer(file: str) -> tuple[pa.Schema, dict[str, str]]:
        try:
            metadata = read_metadata(filesystem, file, infos[file]["size"])
        except (*storage_errors(), pa.ArrowException) as error:
            raise ConfigError(f"{key}: cannot read {file!r}: {first_line(error)}") from None
        values = metadata.metadata or {}
        schema = pa.schema([field.with_type(plain(field.type)) for field in metadata.schema.to_arrow_schema()])
        return schema, {k.decode(): v.decode(errors="replace") for k, v in values.items()}

    with ThreadPoolExecutor(THREADS) as pool:
        footers = list(pool.map(footer, paths))
    schema = unify(paths, [schema for schema, _ in footers]) if footers else pa.schema([])
    delta = table.exists and ROW_SOURCE in schema.names
    fingerprint = hashlib.sha256(json.dumps(versions).encode()).hexdigest()
    return Results(uri, filesystem, paths, fingerprint, schema, [metadata for _, metadata in footers], delta, key)


def _in_folders(filesystem: AbstractFileSystem, path: str, names: Collection[str]) -> dict[str, Any]:
    """Return the results that lie in folders: those of the input's files, or of merged shards.

    Args:
        filesystem: The storage.
        path: The folder of the results, whose summary names them; without one there are none.
        names: The files directly in it.
    """
    if SUMMARY not in names:
        return {}
    try:
        summary = read_json(filesystem.cat_file(f"{path.rstrip('/')}/{SUMMARY}", start=0, end=MOST_SUMMARY_BYTES))
        nested = nested_results(summary) if isinstance(summary, dict) else []
        nested = [name for name in nested if is_result(name)]
    except (ValueError, RecursionError, TypeError):  # a damaged summary is named by who asks for it
        return {}
    paths = [f"{path.rstrip('/')}/{name}" for name in nested]
    folders = sorted({file.rpartition("/")[0] for file in paths})
    listed = each(lambda folder: filesystem.ls(folder, detail=True), folders)  # one request for many files
    infos = {
        f"{folder}/{info['name'].rpartition('/')[2]}": info
        for folder, held in zip(folders, listed, strict=True)
        for info in held
    }
    for file in paths:
        if file not in infos:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file)
    return {infos[file]["name"]: infos[file] for file in paths}


def files_in(filesystem: AbstractFileSystem, folder: str) -> dict[str, Any]:
    """Return the files of results in a folder, as a rank job's table of images is; none if it does not exist."""
    try:
        found = filesystem.ls(folder, detail=True)
    except FileNotFoundError:
        return {}
    return {info["name"]: info for info in found if info["type"] == "file" and is_result(info["name"])}


def read_summary(uri: str, key: str, storage: StorageConfig) -> dict[str, Any]:
    """Return the `_summary.json` of a finished job, or what the last commit of its Delta table says.

    Raises:
        NoSummaryError: There is none.
        ConfigError: It is damaged, or cannot be read; the message names the config's `key`.
    """
    what = f"{key}: the {SUMMARY} of {uri!r}"
    try:
        if commit := ResultTable(uri, storage, key).latest():
            return check_summary(commit.summary(uri), f"{key}: the log of {uri!r}")
        filesystem, path = open_fsspec(uri, key, storage)
        filesystem.invalidate_cache()
        data = filesystem.cat_file(f"{path.rstrip('/')}/{SUMMARY}", start=0, end=MOST_SUMMARY_BYTES + 1)
        if len(data) > MOST_SUMMARY_BYTES:
            raise ConfigError(f"{what} has more than {MOST_SUMMARY_BYTES:,} bytes")
        return check_summary(read_json(data), what)
    except FileNotFoundError:
        shards = shards_in(WorkFolder(filesystem, path.rstrip("/")))
        if shards:
            raise NoSummaryError(
                f"{key}: {uri!r} holds {counted(len(shards), 'shard that is', 'shards that are')} not one result "
                f"yet: run `vilt merge {uri}` first"
            ) from None
        raise NoSummaryError(
            f"{key}: {uri!r} holds no {SUMMARY}; name the output folder of a job that has finished"
        ) from None
    except storage_errors() as error:
        raise ConfigError(f"{key}: cannot read {uri!r}: {first_line(error)}") from None
    except ConfigError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{what} is damaged: {first_line(error)}") from None


def is_result(path: str) -> bool:
    """Return whether a file is one of results, by its name."""
    name = path.rpartition("/")[2]
    return name.endswith(".parquet") and not name.startswith(("_", "."))


def _version(info: dict[str, Any]) -> object:
    return info.get("ETag") or info.get("LastModified") or info.get("mtime")
