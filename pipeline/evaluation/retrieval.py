"""Retrieval: recall of texts by images and of images by texts, over every pair of a split.

All scores are written to OUT/retrieval/scores, one Parquet file for some images with all texts, and measured from
there: an evaluation that was stopped resumes with the next file, and scores of other programs are measured alike.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from pipeline.common.errors import TooManyErrorsError
from pipeline.config.evaluate import BootstrapConfig, EvaluateConfig
from pipeline.evaluation.karpathy import Split, read_split
from pipeline.evaluation.metrics import Metric, Ranks, ranks, share
from pipeline.evaluation.output import Measured, Output, absolute
from pipeline.evaluation.retrieval_scores import FOLDER, ScoreFiles, ScoreTable, score_images, score_rows
from pipeline.images.fetch import Fetcher
from pipeline.monitoring.error_budget import verdict_line
from pipeline.monitoring.events import emit
from pipeline.stages.checkpoints import check_models
from pipeline.storage.filesystem import model_folder
from vilt.models.vilt.predictor import Predictor

RECALL_AT = (1, 5, 10)
IMAGES_PER_FILE = 64


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
        self.lineage: Mapping[str, str] = {"results": self.section.results or ""}
        if self.section.model is not None:
            assert self.section.images is not None
            images = absolute(self.section.images, "retrieval.images", config.storage)
            inputs = {"path": self.section.annotations, "allow": [images]}
            self.job = config.job("score", self.section.model, f"{output.uri}/{FOLDER}", **inputs)
            self.lineage = check_models(self.job).lineage
            self.fetcher = Fetcher(images, self.job)

    def measure(self) -> Measured:
        """Score every pair if a model is given, then measure."""
        path, key = self.section.results, "retrieval.results"
        if path is None:
            path, key = f"{self.output.uri}/{FOLDER}", "output.path"
            self._score()
        table = ScoreTable(path, key, self.split, self.config.storage)
        found = ranks(table.blocks, np.array(self.split.image_of), len(self.split.images))
        metrics = retrieval_metrics(self.split, found, self.config.bootstrap)
        rejected = table.rejected()
        if self.section.model is not None:
            self._judge(rejected)
        return Measured("retrieval", metrics, rejected, 0, self.lineage, [path])

    def _judge(self, rejected: Mapping[str, int]) -> None:
        """Check that no more images are rejected than may be; if so, the next run tries those again that may pass.

        Raises:
            TooManyErrorsError: More are rejected.
        """
        count, errors = len(self.split.images), Counter(rejected)
        if errors.total() > self.config.max_error_rate * count:
            ScoreFiles(self.output, self._identity(), False).remove_retryable()
            raise TooManyErrorsError(verdict_line(f"{count:,} images", errors, self.config.max_error_rate, ()))

    def _score(self) -> None:
        """Write the scores that are not there yet, and emit `progress` after each file."""
        files = ScoreFiles(self.output, self._identity(), self.config.output.overwrite)
        images = len(self.split.images)
        todo = [first for first in range(0, images, IMAGES_PER_FILE) if not files.has(first)]
        if not todo:
            return
        folder = model_folder(self.job.model, self.config.storage)  # type: ignore[arg-type]
        predictor = Predictor.from_pretrained(folder, precision=self.config.precision)
        sentids = pa.array(self.split.sentids, pa.int64())
        for first in todo:
            names = self.split.images[first : first + IMAGES_PER_FILE]
            imgids = self.split.imgids[first : first + len(names)]
            fetched = self.fetcher.fetch(names)
            found = score_images(predictor, self.split.texts, fetched, self.config.limits)
            files.write(first, [score_rows(imgid, sentids, row) for imgid, row in zip(imgids, found, strict=True)])
            done = first + len(names)
            emit("progress", f"retrieval: {done:,} of {images:,} images", tasks=["evaluate"], images=done, of=images)

    def _identity(self) -> dict[str, str]:
        """Return what makes scores the same: the weights, the precision in the config, and the split."""
        split = hashlib.sha256(json.dumps(self.split).encode()).hexdigest()
        identity = {**self.lineage, "vilt.split_sha256": split, "vilt.precision": self.config.precision}
        return {key: value for key, value in identity.items() if key != "vilt.config_sha256"}


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
