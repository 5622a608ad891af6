"""Write results to a Lance dataset, and commit them once: columns of its own rows, or rows of a new table.

What is written before the commit no reader sees. Each fragment that is written is noted, so that a run that resumes
does not write it again. The commit carries the identity of the job, by which the next run knows that it was made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError, first_line
from pipeline.config.storage import StorageConfig
from pipeline.results.work_folder import WorkFolder
from pipeline.storage.filesystem import arrow_filesystem, full_uri, make_folder
from pipeline.storage.parquet.reading import guarded_batches
from pipeline.tables.formats.lance.format import load_lance, storage_options

EMBEDDING = "embedding"  # the column of `embed`
JOB_KEY = "vilt.job"  # of a commit: the identity of the job
WRITTEN = "fragments"  # folder of the unfinished job: a small file for each fragment that is written
WRITERS = 4  # fragments that are written at the same time
BATCH_ROWS = 2**13
NEEDS = "output.format: 'lance'"


@dataclass(frozen=True)
class LanceTarget:
    """A Lance dataset that results are written to.

    Attributes:
        uri: The dataset.
        options: How pylance reaches it.
    """

    uri: str
    options: dict[str, str]

    @classmethod
    def at(cls, filesystem: AbstractFileSystem, path: str, storage: StorageConfig) -> LanceTarget:
        """Return the dataset in a folder, which need not be there yet. Raises ConfigError if pylance is missing."""
        load_lance(NEEDS)
        uri = full_uri(filesystem, path.rstrip("/"))
        return cls(uri, storage_options(uri, storage))

    def latest(self) -> int:
        """Return the number of the latest version; 0 if there is no dataset."""
        dataset = self._dataset()
        return 0 if dataset is None else int(dataset.version)

    def columns(self) -> list[str]:
        """Return the names of the columns of the latest version; none if there is no dataset."""
        dataset = self._dataset()
        return [] if dataset is None else list(dataset.schema.names)

    def committed(self, since: int, job: str) -> int | None:
        """Return the version after `since` that a job committed; None if it has not.

        Args:
            since: A version.
            job: The identity of the job.
        """
        dataset = self._dataset()
        if dataset is None:
            return None
        for version in range(since + 1, dataset.version + 1):
            try:
                transaction = dataset.read_transaction(version)
            except (OSError, ValueError):  # it was cleaned up
                continue
            if transaction and (transaction.transaction_properties or {}).get(JOB_KEY) == job:
                return version
        return None

    def add_columns(self, version: int, files: Sequence[tuple[int, str | None]], writer: ResultsWriter) -> int:
        """Add columns to the rows of a version, which must be the latest, and commit.

        Args:
            version: The version.
            files: The number of each fragment, and the file with the results of its rows, in order; None: it has none.
            writer: Reads the files.

        Returns:
            The new version.

        Raises:
            ConfigError: The dataset was changed meanwhile.
        """
        lance = load_lance(NEEDS)
        dataset = lance.dataset(self.uri, version, storage_options=self.options)
        schemas = list[Any]()

        def write(number: int, path: str | None) -> list[Any]:
            metadata, schema = dataset.get_fragment(number).merge_columns(writer.reader(path))
            schemas.append(schema)
            return [metadata]

        fragments = writer.write_all(files, write)
        if not schemas:  # all were written by the run before, and none says what columns there are then
            write(*files[0])
        return self._commit(lance.LanceOperation.Merge(fragments, schemas[0]), version, writer.job)

    def overwrite(self, version: int, files: Sequence[tuple[int, str | None]], writer: ResultsWriter) -> int:
        """Make files of results the rows of the dataset, and commit.

        Args:
            version: The latest version; 0 if there is no dataset.
            files: Numbers, and the files.
            writer: Reads the files.

        Returns:
            The new version.

        Raises:
            ConfigError: The dataset was changed meanwhile.
        """
        lance = load_lance(NEEDS)

        def write(number: int, path: str | None) -> list[Any]:
            del number
            return list(
                lance.fragment.write_fragments(
                    writer.reader(path), self.uri, mode="overwrite", storage_options=self.options
                )
            )

        fragments = writer.write_all(files, write)
        return self._commit(lance.LanceOperation.Overwrite(writer.schema, fragments), version, writer.job)

    def _commit(self, operation: Any, version: int, job: str) -> int:
        lance = load_lance(NEEDS)
        transaction = lance.Transaction(version, operation, transaction_properties={JOB_KEY: job})
        if self.latest() != version:
            raise self.moved_on(version)
        try:
            found = lance.LanceDataset.commit(self.uri, transaction, storage_options=self.options)
        except lance.commit.CommitConflictError:
            raise self.moved_on(version) from None
        return int(found.version)

    def moved_on(self, version: int) -> ConfigError:
        """Return the error of a dataset that is not at a version any more."""
        return ConfigError(
            f"output.path: {self.uri!r} is at version {self.latest()}, and the job began at version {version}: nothing "
            "was committed; set output.overwrite=true to begin anew with the table as it is, or choose another "
            "output.path"
        )

    def _dataset(self) -> Any:
        lance = load_lance(NEEDS)
        try:
            return lance.dataset(self.uri, storage_options=self.options)
        except (ValueError, FileNotFoundError) as error:
            if "not found" in str(error).lower():
                return None
            raise ConfigError(f"output.path: cannot read the Lance dataset {self.uri!r}: {first_line(error)}") from None


@dataclass
class ResultsWriter:
    """Reads files of results for a dataset, and notes which of them are written.

    Attributes:
        work: The folder of the unfinished job.
        job: The identity of the job.
        digest: Of what the results are from: fragments of others are written anew.
        schema: The columns to write; see `with_vectors`.
    """

    work: WorkFolder
    job: str
    digest: str
    schema: pa.Schema

    def reader(self, path: str | None) -> pa.RecordBatchReader:
        """Return the rows of a file of results; none if there is no file."""

        def batches() -> Iterator[pa.RecordBatch]:
            if path is None:
                return
            for batch in guarded_batches(path, arrow_filesystem(self.work.filesystem), self.schema.names, BATCH_ROWS):
                columns = map(_of_type, batch.columns, self.schema.types)
                yield pa.RecordBatch.from_arrays(list(columns), schema=self.schema)

        return pa.RecordBatchReader.from_batches(self.schema, batches())

    def write_all(
        self, files: Sequence[tuple[int, str | None]], write: Callable[[int, str | None], list[Any]]
    ) -> list[Any]:
        """Write files, some at a time; return the metadata of all fragments, in order.

        Args:
            files: Numbers, and the files.
            write: Writes one; returns the metadata of its fragments.
        """
        lance = load_lance(NEEDS)
        notes = WorkFolder(self.work.filesystem, f"{self.work.path}/{WRITTEN}")
        make_folder(notes.filesystem, notes.path)
        done = notes.names()

        def once(file: tuple[int, str | None]) -> list[Any]:
            name = f"{file[0]:08d}.json"
            if name in done and (noted := notes.read(name)) and noted["results"] == self.digest:
                return [lance.FragmentMetadata.from_json(json.dumps(one)) for one in noted["fragments"]]
            found = write(*file)
            notes.write(name, {"results": self.digest, "fragments": [one.to_json() for one in found]})
            return found

        with ThreadPoolExecutor(WRITERS) as pool:
            return [one for found in pool.map(once, files) for one in found]


def with_vectors(columns: pa.Schema, work: WorkFolder, paths: Sequence[str]) -> pa.Schema:
    """Return the columns with embeddings of a fixed size, as an index of vectors needs them.

    Args:
        columns: The columns of files of results, where embeddings are lists.
        work: The folder of the unfinished job.
        paths: The files.
    """
    at = columns.get_field_index(EMBEDDING)
    length = None if at < 0 else _vector_length(work, paths)
    return columns if length is None else columns.set(at, pa.field(EMBEDDING, pa.list_(pa.float32(), length)))


def _vector_length(work: WorkFolder, paths: Sequence[str]) -> int | None:
    """Return how many numbers an embedding has; None if no row has one."""
    for path in paths:
        for batch in guarded_batches(path, arrow_filesystem(work.filesystem), [EMBEDDING], BATCH_ROWS):
            if lengths := pc.list_value_length(batch.column(0)).drop_null():
                return int(lengths[0].as_py())
    return None


def _of_type(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return a column as it is, or lists of one length as lists of fixed size."""
    if not pa.types.is_fixed_size_list(kind) or column.type == kind:
        return column
    there = column.is_valid().to_numpy(zero_copy_only=False)
    values = np.zeros((len(column), kind.list_size), np.float32)
    values[there] = column.flatten().to_numpy().reshape(-1, kind.list_size)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=kind, mask=pa.array(~there))
