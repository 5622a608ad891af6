"""Parquet files in a folder as the output of a job: begin, resume, publish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from typing_extensions import Self

from pipeline.cluster.session import ray_session
from pipeline.common.errors import ConfigError
from pipeline.common.summary import Summary
from pipeline.results.file_footer import ResultFile
from pipeline.results.input_files import InputFiles
from pipeline.results.moving import moved_in_tasks
from pipeline.results.output_folder import OutputFolder
from pipeline.results.result_parts import ResultParts
from pipeline.results.results_version import written_sha256
from pipeline.results.shard_folders import check_out_of_shards, withdraw_merged, write_part
from pipeline.results.untrusted import check_summary
from pipeline.results.work_folder import SUMMARY
from pipeline.scoring.judging import over_budget
from pipeline.storage.filesystem import open_fsspec
from vilt.common.counts import counted

if TYPE_CHECKING:
    from pipeline.scoring.prepare import PreparedJob


class ParquetOutput:
    """Parquet files in a folder.

    Attributes:
        parts: The part files.
        staged: The same, as `JobOutput` names it.
        texts_truncated: Texts that are no rows of the parts and of which the model read the beginning alone.
    """

    types: Mapping[str, pa.DataType] | None = None
    ends: tuple[str, ...] = (".parquet",)  # of the names of results directly in the output folder

    def __init__(
        self,
        job: PreparedJob,
        retry_errors: bool = False,
        subfolder: str = "",
        folders: tuple[str, ...] = ("",),
        targets: Iterable[str] = (),
    ) -> None:
        """Describe the output.

        Args:
            job: The job.
            retry_errors: Repeat the rows of finished results whose error may pass.
            subfolder: Below the output folder, for the part files.
            folders: All folders below the output folder that hold results.
            targets: Files, relative to the output folder, that the job is known to write beside the part files.

        Raises:
            ConfigError: The path is not one that a storage opens.
        """
        self.job, self.retry_errors = job, retry_errors
        filesystem, path = open_fsspec(job.config.output.path, "output.path", job.config.storage)
        version, written = job.table.version, written_sha256(job.config)
        targets = list(targets)
        if job.config.in_input_order:
            from pipeline.results.input_order import check_file_names, result_name

            check_file_names(job.table)
            targets += [f"{subfolder}/{result_name(job.table, file)}".lstrip("/") for file in job.table.files]
        self.folder = OutputFolder(filesystem, path, job.identity, folders, version, written, self.ends, targets)
        self.folder.config = job.config.stored()
        self.parts = self.staged = ResultParts(self.folder, subfolder, job.config.in_input_order)
        self.texts_truncated = 0

    def __enter__(self) -> Self:
        """Take the lock of the output."""
        self.folder.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """Release the lock."""
        self.folder.__exit__(*exception)

    def begin(self) -> Summary | None:
        """Find out where the job stands; return the summary if there is nothing left to do."""
        part, out = self.job.table.part, self.folder.path.rpartition("/")[0]
        if part is not None:
            check_out_of_shards(self.folder.filesystem, out, part.shard)
        finished = self.folder.begin(self.job.config.output.overwrite, self.retry_errors)
        if finished is None:
            if part is not None:
                withdraw_merged(self.folder.filesystem, out)
            self.parts.load()
            if self.retry_errors and not self.parts.keep_finished():
                finished = self.folder.out.read(SUMMARY)
            elif over_budget(self.judged(), self.job.config.max_error_rate):
                self.parts.drop_retryable()
        if not finished:
            return None
        check_summary(finished, f"output.path: the {SUMMARY} of {self.job.config.output.path!r}")
        self._check_written(finished)
        self._check_error_rate(finished)
        return replace(Summary(**finished), finished_before=True)

    def _check_error_rate(self, finished: dict[str, Any]) -> None:
        """Check that finished results keep the `max_error_rate` that the config gives.

        Raises:
            ConfigError: They do not.
        """
        config = self.job.config
        rejected = sum(finished["rejected"].values())
        rows = rejected + finished["scored"]
        if "max_error_rate" in config.model_fields_set and rejected > config.max_error_rate * rows:
            raise ConfigError(
                f"max_error_rate: {config.max_error_rate:g}, but {rejected:,} of {counted(rows, 'result')} in "
                f"{config.output.path!r}, which are finished, are rejected; they stay as they are: leave the key out, "
                "or try those again that may pass with --retry-errors"
            )

    def _check_written(self, finished: dict[str, Any]) -> None:
        """Check that finished results were not made with another value of a key of `output` that changes them.

        Raises:
            ConfigError: They were.
        """
        config, was = self.job.config, finished.get("written")
        if was == written_sha256(config):
            return
        for names in (("keep_image",), ("join",), ("keep_image", "join")):
            values = {name: not getattr(config.output, name) for name in names}
            output = config.output.model_copy(update=values)
            if was == written_sha256(config.model_copy(update={"output": output})):
                name = names[0]
                now, before = str(not values[name]).lower(), str(values[name]).lower()
                raise ConfigError(
                    f"output.{name}: {now}, but the results in {config.output.path!r} were made with {before}; choose "
                    "another folder, or set output.overwrite=true to make them anew"
                )
        stored = finished.get("config", {}).get("output", {})
        for name in ("format", "member"):
            before = stored.get(name, type(config.output).model_fields[name].default)
            if before != getattr(config.output, name):
                raise ConfigError(
                    f"output.{name}: {getattr(config.output, name) or 'not set'}, but the results in "
                    f"{config.output.path!r} were made with {before or 'the default'}; choose another folder, or set "
                    "output.overwrite=true to make them anew"
                )

    def before_reading(self, job: PreparedJob) -> PreparedJob:
        """Return the job: rows are read as they are."""
        return job

    def files(self) -> list[ResultFile]:
        """Return every part file that the results will have."""
        return self.parts.all()

    def judged(self) -> ResultFile:
        """Return the counts of all files."""
        return ResultFile.total(self.files())

    def audit(self) -> None:
        """Check that every row of the input came out once."""
        self.parts.audit(self.job.table.rows)

    def publish(self, summary: Summary) -> tuple[Summary, dict[str, Any]]:
        """Move the files to their place and write the summary."""
        output = self.job.config.output
        if self.job.config.in_input_order:
            self.parts.put_in_input_order(self.job.table)
        elif output.least_file_bytes:
            self.parts.join_small(output.least_file_bytes)
        summary, more = self.write_more(summary)
        truncated = summary.texts_truncated + self.texts_truncated
        summary = replace(self.complete(summary, more), texts_truncated=truncated)
        table, folder = self.job.table, self.folder
        files = InputFiles.of(table.fingerprint, table.read_files, table.version)
        files.write(folder.filesystem, folder.path)
        if table.part is not None:
            write_part(folder.filesystem, folder.path, table.part)
        names, address = [*self.parts.new_names(), *more], self.job.config.ray.address
        with ray_session(address) if address and moved_in_tasks(folder.filesystem, len(names)) else nullcontext():
            folder.publish(asdict(summary), names)
        return summary, {}

    def write_more(self, summary: Summary) -> tuple[Summary, list[str]]:
        """Write files that follow from the parts into the work folder.

        Returns:
            The summary with what they say, and the names of the files, relative to the work folder.
        """
        return summary, []

    def complete(self, summary: Summary, written: list[str]) -> Summary:
        """Return the summary with the names of all files of the results.

        Args:
            summary: The summary.
            written: The files that `write_more` has written.
        """
        return replace(summary, files=[*self.parts.names(), *written])
