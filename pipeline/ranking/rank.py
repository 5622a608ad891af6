"""Rank: score every text of one table with every image of another, and keep the best of each."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.common.columns import ROW_ID
from pipeline.common.summary import Summary
from pipeline.config.job import JobConfig
from pipeline.monitoring.progress_reporter import LOG_EVERY
from pipeline.ranking.best_images import best_images
from pipeline.results.work_folder import write_parquet
from pipeline.scoring.parquet_output import ParquetOutput
from pipeline.scoring.prepare import PreparedJob, prepared
from pipeline.scoring.run import run_job
from pipeline.stages.preprocessors import preprocessor_of
from pipeline.storage.filesystem import arrow_filesystem, make_folder
from pipeline.tables.row_id_column import row_id_type

IMAGES, TEXTS = "images", "texts"  # folders of the results


def rank(config: JobConfig, retry_errors: bool = False, log_every: float = LOG_EVERY) -> Summary:
    """Run a rank job: OUT/images/ holds the best texts of each image, OUT/texts/ the best images of each text.

    Resumes, and raises, as `pipeline.run`.
    """
    with prepared(config) as job:
        return run_job(job, RankOutput(job, retry_errors), log_every)


class RankOutput(ParquetOutput):
    """The two tables of a rank job, published together."""

    def __init__(self, job: PreparedJob, retry_errors: bool) -> None:
        """Describe the output."""
        super().__init__(job, retry_errors, subfolder=IMAGES, folders=("", IMAGES, TEXTS))

    def write_more(self, summary: Summary) -> list[str]:
        """Write the table of the best images of each text; return its name."""
        texts, folder, name = self.job.texts, self.folder, f"{TEXTS}/part-0.parquet"
        assert texts is not None
        kind = row_id_type(self.job.table.schema, self.job.config.input.id)
        *_, truncated = preprocessor_of(self.job.config).tokens(texts.strings)
        self.texts_truncated = int(truncated.sum())
        table = best_images(self._candidates(), texts, truncated, self.job.config.top_k, kind)
        make_folder(folder.filesystem, f"{folder.work.path}/{TEXTS}")
        write_parquet(folder.filesystem, f"{folder.work.path}/{name}", [table], summary.lineage)
        folder.replaced = sorted({*folder.replaced, *(old for old in folder.results() if old.startswith(f"{TEXTS}/"))})
        return [name]

    def _candidates(self) -> Iterator[tuple[pa.Array, pa.ListArray]]:
        """Yield the row ids and the candidates of every file of images."""
        folder = self.folder
        kept = [f"{folder.path}/{IMAGES}/{part.name}" for part in self.parts.kept]
        for file in [*kept, *(f"{self.parts.folder}/{part.name}" for part in self.parts.parts)]:
            table = pq.read_table(file, columns=[ROW_ID, "candidates"], filesystem=arrow_filesystem(folder.filesystem))
            yield table[ROW_ID].combine_chunks(), table["candidates"].combine_chunks()
