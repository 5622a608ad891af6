"""Retrieval: recall of texts by images and of images by texts, over every pair of a split.

All scores are written to OUT/retrieval/scores, one Parquet file for some images with all texts, and measured from
there: a run that was stopped goes on with the next file, and scores of any other origin are measured in the same way.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.common.error_codes import Failure
from pipeline.common.errors import ConfigError
from pipeline.config.evaluate import BootstrapConfig, EvaluateConfig
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.benchmarks import Split, read_split
from pipeline.evaluation.files import Measured, Output, absolute, read_columns
from pipeline.evaluation.metrics import Block, Metric, Ranks, ranks, share
from pipeline.images.fetch import Fetched, Fetcher
from pipeline.results.work_folder import write_parquet
from pipeline.stages.checkpoints import check_models
from pipeline.storage.filesystem import arrow_filesystem, make_folder, model_folder
from vilt.inference.packing import Pairs
from vilt.models.vilt.predictor import Predictor
from vilt.processing.decoding import ImageError

RECALL_AT = (1, 5, 10)
IMAGES_PER_FILE = 64
SCORES = pa.schema([("imgid", pa.int64()), ("sentid", pa.int64()), ("score", pa.float32()), ("error", pa.string())])
FOLDER = "retrieval/scores"


class Retrieval:
    """A split of Karpathy and Fei-Fei. The model and all files are checked when it is made. Raises ConfigError."""

    def __init__(self, config: EvaluateConfig, output: Output) -> None:
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
        """Score every pair where a model is given, then measure."""
        path, key = self.section.results, "retrieval.results"
        if path is None:
            path, key = f"{self.output.uri}/{FOLDER}", "output.path"
            self._score()
        table = ScoreTable(path, key, self.split, self.config.storage)
        found = ranks(table.blocks, np.array(self.split.image_of), len(self.split.images))
        metrics = retrieval_metrics(self.split, found, self.config.bootstrap)
        return Measured("retrieval", metrics, table.rejected(), 0, self.lineage, [path])

    def _score(self) -> None:
        """Write the scores that are not there yet."""
        work = _Work(self.output, self._identity(), self.config.output.overwrite)
        todo = [first for first in range(0, len(self.split.images), IMAGES_PER_FILE) if not work.has(first)]
        if not todo:
            return
        folder = model_folder(self.job.model, self.config.storage)  # type: ignore[arg-type]
        predictor = Predictor.from_pretrained(folder, precision=self.config.precision)
        sentids = pa.array(self.split.sentids, pa.int64())
        for first in todo:
            names = self.split.images[first : first + IMAGES_PER_FILE]
            found = scores(predictor, self.split.texts, self.fetcher.fetch(names), self.config.limits.image_pixels)
            work.write(
                first,
                [
                    _rows(imgid, sentids, row)
                    for imgid, row in zip(self.split.imgids[first : first + len(names)], found, strict=True)
                ],
            )
            print(
                f"retrieval: {first + len(names):,} of {len(self.split.images):,} images", file=sys.stderr, flush=True
            )

    def _identity(self) -> dict[str, str]:
        """What makes the scores the same: the weights, their precision as it was asked for, and the split."""
        split = hashlib.sha256(json.dumps(self.split).encode()).hexdigest()
        own = {"vilt.split_sha256": split, "vilt.precision": self.config.precision}
        return {key: value for key, value in {**self.lineage, **own}.items() if key != "vilt.config_sha256"}


def scores(
    predictor: Predictor, texts: list[str], images: Iterable[Fetched], max_pixels: int
) -> Iterator[np.ndarray | Failure]:
    """The matrix of images and texts, a row at a time: float32 (texts,) for each image, or why it has none.

    Each image is decoded and embedded once, each text tokenized once.
    """
    ids, lengths = predictor.preprocessor.tokenizer.ragged(texts)
    for image in images:
        if isinstance(image, Failure):
            yield image
            continue
        try:
            grid = predictor.preprocessor.grid_of_bytes(image, max_pixels)
            patches = predictor.preprocessor.patches_of_bytes(image, max_pixels)
        except ImageError as error:
            yield Failure(error.reason, error.detail)
            continue
        pairs = Pairs(ids, lengths, patches, [grid], np.zeros(len(texts), np.int64))
        yield predictor.logits("score", predictor.pooled(pairs))[:, 0]


@dataclass(frozen=True)
class ScoreTable:
    """Parquet files with the columns imgid, sentid, score, and perhaps error, that hold every pair of a split once."""

    path: str
    key: str
    split: Split
    storage: StorageConfig

    def blocks(self) -> Iterator[Block]:
        """All pairs. Raises ConfigError where a pair is not of the split, or pairs are missing."""
        imgids, sentids = np.array(self.split.imgids), np.array(self.split.sentids)
        pairs = 0
        for table in read_columns(self.path, self.key, ("imgid", "sentid", "score"), self.storage):
            images = self._places(table["imgid"].to_numpy(), imgids, "imgid")
            texts = self._places(table["sentid"].to_numpy(), sentids, "sentid")
            pairs += table.num_rows
            yield Block(images, texts, table["score"].to_numpy().astype(np.float32))  # a null becomes NaN
        if pairs != len(imgids) * len(sentids):
            raise ConfigError(
                f"{self.key}: {self.path!r} holds {pairs:,} pairs; expected {len(imgids) * len(sentids):,}, each of "
                f"the {len(imgids):,} images with each of the {len(sentids):,} texts once"
            )

    def rejected(self) -> dict[str, int]:
        """Reason -> number of images that have no scores."""
        reason: dict[int, str] = {}
        for table in read_columns(self.path, self.key, ("imgid", "score"), self.storage, ["error"]):
            table = table.filter(table["score"].is_null())
            reason.update(zip(table["imgid"].to_pylist(), table["error"].to_pylist(), strict=True))
        return dict(Counter(error or "no score" for error in reason.values()).most_common())

    def _places(self, ids: np.ndarray, known: np.ndarray, name: str) -> np.ndarray:
        places = np.searchsorted(known, ids).clip(max=len(known) - 1)
        strange = ids[known[places] != ids]
        if len(strange):
            raise ConfigError(f"{self.key}: {self.path!r} has {name} {strange[0]}, which is not in the split")
        return places


def retrieval_metrics(split: Split, found: Ranks, bootstrap: BootstrapConfig) -> list[Metric]:
    """Recall at 1, 5 and 10: the share of images one of whose texts, and of texts whose image, is ranked so high.
    Intervals: by image.
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


class _Work:
    """The files of scores that are there. Raises ConfigError where they are of another model or split."""

    def __init__(self, output: Output, identity: dict[str, str], overwrite: bool) -> None:
        self.filesystem, self.folder, self.identity = output.filesystem, f"{output.path}/{FOLDER}", identity
        make_folder(self.filesystem, self.folder)
        self.there: set[str] = set()
        self.filesystem.invalidate_cache()
        for path in self.filesystem.glob(f"{self.folder}/part-*.parquet"):
            metadata = pq.read_metadata(path, filesystem=arrow_filesystem(self.filesystem)).metadata or {}
            differs = [key for key, value in identity.items() if metadata.get(key.encode()) != value.encode()]
            if not differs:
                self.there.add(path.rpartition("/")[2])
            elif overwrite:
                self.filesystem.rm_file(path)
            else:
                raise ConfigError(
                    f"output.path: {output.uri}/{FOLDER} holds scores of another {differs[0].removeprefix('vilt.')}; "
                    "choose another folder, or set output.overwrite=true to replace them"
                )

    def has(self, first: int) -> bool:
        return _name(first) in self.there

    def write(self, first: int, tables: list[pa.Table]) -> None:
        write_parquet(self.filesystem, f"{self.folder}/{_name(first)}", tables, self.identity)


def _name(first: int) -> str:
    """Of the file that begins with this image."""
    return f"part-{first:07d}.parquet"


def _rows(imgid: int, sentids: pa.Array, row: np.ndarray | Failure) -> pa.Table:
    """One image with all texts."""
    count = len(sentids)
    if isinstance(row, Failure):
        values, error = pa.nulls(count, pa.float32()), pa.repeat(pa.scalar(row.reason), count)
    else:
        finite = np.isfinite(row)
        values = pa.array(row, pa.float32(), mask=~finite)
        error = pa.array(np.full(count, "not_finite"), pa.string(), mask=finite)
    return pa.table([pa.repeat(pa.scalar(imgid, pa.int64()), count), sentids, values, error], schema=SCORES)
