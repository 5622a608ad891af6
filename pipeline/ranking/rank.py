"""Rank: score every text of one table with every image of another, and keep the best of each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from pipeline.common.columns import ROW_ID
from pipeline.common.row_ids import key_type, keys_of
from pipeline.common.summary import Summary
from pipeline.config.job import JobConfig
from pipeline.monitoring.progress_reporter import LOG_EVERY
from pipeline.ranking.best_images import BestPairs, best_images, best_pairs
from pipeline.ranking.nearest import find_nearest
from pipeline.ranking.nearest_pairs import NearestPairs
from pipeline.results.work_folder import write_parquet
from pipeline.scoring.parquet_output import ParquetOutput
from pipeline.scoring.prepare import PreparedJob, prepared
from pipeline.scoring.run import run_job
from pipeline.stages.preprocessors import preprocessor_of
from pipeline.storage.filesystem import arrow_filesystem, make_folder
from pipeline.storage.parquet.reading import guarded_table
from pipeline.tables.rank_inputs.texts import RankTexts
from pipeline.tables.reading import read_columns
from pipeline.tables.row_id_column import row_id_type, with_row_id

IMAGES, TEXTS, CANDIDATES = "images", "texts", "candidates"  # folders of the results
PART = "part-0.parquet"
MADE_OF = b"vilt.made_of"  # key in the footer of the candidates
WINDOW_ROWS = 2**17  # whose ids are read at a time


def rank(config: JobConfig, retry_errors: bool = False, log_every: float = LOG_EVERY) -> Summary:
    """Run a rank job: OUT/images/ holds the best texts of each image, OUT/texts/ the best images of each text.

    Resumes, and raises, as `pipeline.run`.
    """
    with prepared(config) as job:
        return run_job(job, RankOutput(job, retry_errors), log_every)


class RankOutput(ParquetOutput):
    """The tables of a rank job, published together: the third, of candidates, if a first stage has found them."""

    def __init__(self, job: PreparedJob, retry_errors: bool) -> None:
        """Describe the output."""
        super().__init__(job, retry_errors, subfolder=IMAGES, folders=("", IMAGES, TEXTS, CANDIDATES))

    def before_reading(self, job: PreparedJob) -> PreparedJob:
        """Find the candidates, if a first stage is to find them."""
        if job.texts is None or job.texts.first_stage is None:
            return job
        return replace(job, texts=replace(job.texts, candidates=self._nearest(job.texts).candidates()))

    def _nearest(self, texts: RankTexts) -> NearestPairs:
        """Return the candidates that were found before, or find them and write their table into the work folder.

        A run that resumes on another machine would not find quite the same ones: sums are rounded otherwise there.
        """
        folder, arrow = self.folder, arrow_filesystem(self.folder.filesystem)
        for above in (folder.work.path, folder.path):
            path = f"{above}/{CANDIDATES}/{PART}"
            if folder.filesystem.exists(path):
                table = guarded_table(path, arrow)
                if (table.schema.metadata or {}).get(MADE_OF) == self._made_of(texts):
                    return NearestPairs.from_arrow(table, texts)
        table, id_column = self.job.table, self.job.config.input.id
        rows = read_columns(table, [id_column] if id_column else [], WINDOW_ROWS)
        kind = row_id_type(table.schema, id_column)
        keys = [keys_of(with_row_id(some, id_column)[ROW_ID]).combine_chunks() for some in rows]
        found = find_nearest(texts, pa.concat_arrays([pa.array([], key_type(kind)), *keys]))
        make_folder(folder.filesystem, f"{folder.work.path}/{CANDIDATES}")
        metadata = {MADE_OF.decode(): self._made_of(texts).decode()}
        write_parquet(
            folder.filesystem, f"{folder.work.path}/{CANDIDATES}/{PART}", [found.to_arrow(texts, kind)], metadata
        )
        return found

    def _made_of(self, texts: RankTexts) -> bytes:
        """Return a hash of what the candidates were found from."""
        assert self.job.config.texts is not None
        said = (self.job.table.fingerprint, texts.fingerprint, self.job.config.texts.model_dump_json())
        return hashlib.sha256("".join(said).encode()).hexdigest().encode()

    def write_more(self, summary: Summary) -> tuple[Summary, list[str]]:
        """Write the table of the best images of each text, and measure the recall of the candidates."""
        texts, folder, name = self.job.texts, self.folder, f"{TEXTS}/{PART}"
        assert texts is not None
        kind = row_id_type(self.job.table.schema, self.job.config.input.id)
        *_, truncated = preprocessor_of(self.job.config).tokens(texts.strings)
        self.texts_truncated = int(truncated.sum())
        best = best_pairs(self._candidates(), self.job.config.top_k, kind)
        table, names = best_images(best, texts, truncated, kind), [name]
        make_folder(folder.filesystem, f"{folder.work.path}/{TEXTS}")
        write_parquet(folder.filesystem, f"{folder.work.path}/{name}", [table], summary.lineage)
        old = [old for old in folder.results() if old.startswith((f"{TEXTS}/", f"{CANDIDATES}/"))]
        if texts.first_stage:
            summary = replace(summary, candidates=_recall(self._nearest(texts), best, texts))
            names.append(f"{CANDIDATES}/{PART}")  # perhaps there already, if errors are retried
        folder.replaced = sorted({*folder.replaced, *old})
        return summary, names

    def _candidates(self) -> Iterator[tuple[pa.Array, pa.ListArray]]:
        """Yield the row ids and the candidates of every file of images."""
        folder = self.folder
        kept = [f"{folder.path}/{IMAGES}/{part.name}" for part in self.parts.kept]
        for file in [*kept, *(f"{self.parts.folder}/{part.name}" for part in self.parts.parts)]:
            table = guarded_table(file, arrow_filesystem(folder.filesystem), [ROW_ID, "candidates"])
            yield table[ROW_ID].combine_chunks(), table["candidates"].combine_chunks()


def _recall(nearest: NearestPairs, best: BestPairs, texts: RankTexts) -> dict[str, int]:
    """Return what `Summary.candidates` says."""
    assert texts.first_stage is not None
    exact = {text: best.images_of(len(texts.ids) + i) for i, text in enumerate(texts.exact.tolist())}
    found, count = nearest.recall(exact)
    return {"n": texts.first_stage.n, "texts": len(exact), "best": count, "found": found}
