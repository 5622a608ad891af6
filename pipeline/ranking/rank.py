"""`rank`: a job over the table of images, and from what its files say the best images of each text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.common.columns import ROW_ID
from pipeline.common.errors import StorageFailedError, first_line
from pipeline.common.summary import Summary
from pipeline.config.job import JobConfig
from pipeline.monitoring.progress_reporter import LINE_EVERY
from pipeline.results.work_folder import write_parquet
from pipeline.scoring.run import run
from pipeline.stages.ranker import best_images
from pipeline.storage.filesystem import STORAGE_ERRORS, arrow_filesystem, make_folder, open_fsspec
from pipeline.tables.rank_texts_reader import read_texts
from pipeline.tables.table import open_table

IMAGES, TEXTS = "images", "texts"  # folders of the results


def rank(config: JobConfig, retry_errors: bool = False, every: float = LINE_EVERY) -> Summary:
    """Run the job over the images, then write the best images of each text: OUT/images/ and OUT/texts/.

    Resumes, and raises, as `pipeline.scoring.run`.
    """
    out = config.output.path.rstrip("/")
    images = config.model_copy(update={"output": config.output.model_copy(update={"path": f"{out}/{IMAGES}"})})
    summary = run(images, retry_errors, every)
    texts = read_texts(config, open_table(config))
    filesystem, path = open_fsspec(out, "output.path", config.storage)
    files = [f"{path}/{IMAGES}/{name}" for name in summary.files]
    try:
        table = best_images(_candidates(filesystem, files), texts, config.top_k)
        make_folder(filesystem, f"{path}/{TEXTS}")
        write_parquet(filesystem, f"{path}/{TEXTS}/part-0.parquet", [table], summary.lineage)
    except STORAGE_ERRORS as error:
        raise StorageFailedError(
            f"the storage failed: {first_line(error)}; the images are done, and the same command goes on"
        ) from None
    return replace(summary, output=config.output.path)


def _candidates(filesystem: AbstractFileSystem, files: list[str]) -> Iterator[tuple[np.ndarray, pa.ListArray]]:
    for file in files:
        table = pq.read_table(file, columns=[ROW_ID, "candidates"], filesystem=arrow_filesystem(filesystem))
        yield table[ROW_ID].to_numpy(), table["candidates"].combine_chunks()
