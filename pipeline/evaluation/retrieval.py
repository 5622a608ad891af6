"""Retrieval: recall of texts by images and of images by texts, over every pair of a split.

A rank job that keeps all scores writes them to OUT/retrieval/scores, a row for each image, and recall is measured from
there: so a stopped evaluation resumes as any job does, ranks are those of the whole matrix, and scores of other
programs are measured alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from pipeline.common.summary import Summary
from pipeline.config.evaluate import BootstrapConfig, EvaluateConfig
from pipeline.evaluation.karpathy import Split, read_split
from pipeline.evaluation.metrics import Metric, Ranks, ranks, share
from pipeline.evaluation.output import Measured, Output, absolute
from pipeline.evaluation.retrieval_scores import ScoreTable
from pipeline.scoring.parquet_output import ParquetOutput
from pipeline.scoring.prepare import PreparedJob, prepare
from pipeline.scoring.run import run_job
from pipeline.stages.checkpoints import check_models, open_checkpoints

RECALL_AT = (1, 5, 10)
FOLDER = "retrieval/scores"


class Retrieval:
    """Recall on a split of Karpathy and Fei-Fei."""

    def __init__(self, config: EvaluateConfig, output: Output) -> None:
        """Read all files but the images, and check the model.

        Raises:
            ConfigError: Something is missing or does not fit.
        """
        assert config.retrieval
        self.config, self.section, self.output = config, config.retrieval, output
        self.split = read_split(self.section.annotations, self.section.split, config.storage)
        if self.section.model is not None:
            job = config.job("score", self.section.model, output.uri, path=self.section.annotations)
            check_models(job, open_checkpoints(job))

    def prepare(self) -> PreparedJob:
        """Write the tables of the split's images and texts, and return the rank job over them.

        Raises:
            ConfigError: See `pipeline.scoring.prepare`.
        """
        section, storage = self.section, self.config.storage
        assert section.model is not None
        assert section.images is not None
        folder = absolute(section.images, "retrieval.images", storage)
        images = pa.table({"imgid": self.split.imgids, "image": [f"{folder}/{name}" for name in self.split.images]})
        texts = pa.table({"sentid": self.split.sentids, "text": self.split.texts})
        config = self.config.rank_job(
            section.model,
            f"{self.output.uri}/{FOLDER}",
            texts={"path": self.output.write_table("retrieval/texts", texts), "id": "sentid"},
            path=self.output.write_table("retrieval/images", images),
            id="imgid",
            columns=["imgid"],
            allow=[folder],
        )
        job = prepare(config)
        assert job.texts is not None
        return replace(job, texts=replace(job.texts, all_scores=True))

    def measure(self) -> Measured:
        """Score every pair if a model is given, then measure.

        Raises:
            ConfigError: And what else a job raises; see `pipeline.run`.
        """
        path, key, summary = self.section.results, "retrieval.results", None
        if path is None:
            path, key, summary = f"{self.output.uri}/{FOLDER}", "output.path", self._score()
        table = ScoreTable(path, key, self.split, self.config.storage)
        found = ranks(table.blocks, np.array(self.split.image_of), len(self.split.images))
        metrics = retrieval_metrics(self.split, found, self.config.bootstrap)
        lineage: Mapping[str, str] = {"results": path} if summary is None else summary.lineage
        return Measured("retrieval", metrics, table.rejected(), 0, lineage, [path])

    def _score(self) -> Summary:
        job = self.prepare()
        return run_job(job, ParquetOutput(job))


def retrieval_metrics(split: Split, found: Ranks, bootstrap: BootstrapConfig) -> list[Metric]:
    """Return recall at 1, 5 and 10, with intervals by image.

    It is the share of images one of whose texts, and of texts whose image, is ranked at least so high.
    """
    both = (
        ("image to text", found.of_images, np.arange(len(split.images)), "images"),
        ("text to image", found.of_texts, np.array(split.image_of), "texts"),
    )
    return [
        share(f"{name} recall@{k}", (rank <= k).astype(float), units, of, bootstrap.resamples, bootstrap.seed)
        for name, rank, units, of in both
        for k in RECALL_AT
    ]
