"""The matrix of images and texts: how it is scored, and the Parquet files that hold it."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.common.error_codes import TRIED_BY_NEXT_RUN, Failure
from pipeline.common.errors import ConfigError
from pipeline.config.limits import LimitsConfig
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.karpathy import Split
from pipeline.evaluation.metrics import Block
from pipeline.evaluation.output import Output
from pipeline.evaluation.parquet_columns import read_columns
from pipeline.images.fetch import Fetched
from pipeline.results.work_folder import write_parquet
from pipeline.storage.filesystem import arrow_filesystem, make_folder
from vilt.inference.pairs import Pairs
from vilt.models.vilt.predictor import Predictor
from vilt.processing.errors import ImageError

SCORES = pa.schema([("imgid", pa.int64()), ("sentid", pa.int64()), ("score", pa.float32()), ("error", pa.string())])
FOLDER = "retrieval/scores"
Scores = npt.NDArray[np.float32]


def score_images(
    predictor: Predictor, texts: list[str], images: Iterable[Fetched], limits: LimitsConfig
) -> Iterator[Scores | Failure]:
    """Score every text with every image: each image is decoded and embedded once, each text tokenized once.

    Args:
        predictor: The model.
        texts: The texts.
        images: The encoded images, or why they could not be fetched.
        limits: What an image may cost.

    Yields:
        The scores of an image with all texts, float32 (texts,), or why it has none.
    """
    ids, lengths = predictor.preprocessor.tokenizer.ragged(texts)
    for image in images:
        if isinstance(image, Failure):
            yield image
            continue
        try:
            grid = predictor.preprocessor.grid_of_bytes(image, limits.image_pixels)
            patches = predictor.preprocessor.patches_of_bytes(image, limits.image_pixels, limits.decode_seconds)
        except ImageError as error:
            yield Failure(error.reason, error.detail)
            continue
        pairs = Pairs(ids, lengths, patches, [grid], np.zeros(len(texts), np.int64))
        yield predictor.logits("score", predictor.pooled(pairs))[:, 0]


@dataclass(frozen=True)
class ScoreTable:
    """Parquet files with the columns imgid, sentid, score, and perhaps error, that hold every pair of a split once.

    Attributes:
        path: A file or folder.
        key: The config key that names it.
        split: The images and texts.
        storage: How to reach s3://.
    """

    path: str
    key: str
    split: Split
    storage: StorageConfig

    def blocks(self) -> Iterator[Block]:
        """Yield all pairs.

        Raises:
            ConfigError: A pair is not of the split, or pairs are missing.
        """
        imgids, sentids = np.array(self.split.imgids), np.array(self.split.sentids)
        pairs = 0
        for table in read_columns(self.path, self.key, ("imgid", "sentid", "score"), self.storage):
            images = self._indices(table["imgid"].to_numpy(), imgids, "imgid")
            texts = self._indices(table["sentid"].to_numpy(), sentids, "sentid")
            pairs += table.num_rows
            yield Block(images, texts, table["score"].to_numpy().astype(np.float32))  # a null becomes NaN
        if pairs != len(imgids) * len(sentids):
            raise ConfigError(
                f"{self.key}: {self.path!r} holds {pairs:,} pairs; expected {len(imgids) * len(sentids):,}, each of "
                f"the {len(imgids):,} images with each of the {len(sentids):,} texts once"
            )

    def rejected(self) -> dict[str, int]:
        """Return reason -> number of images that have no scores."""
        reason: dict[int, str] = {}
        for table in read_columns(self.path, self.key, ("imgid", "score"), self.storage, ["error"]):
            table = table.filter(table["score"].is_null())
            reason.update(zip(table["imgid"].to_pylist(), table["error"].to_pylist(), strict=True))
        return dict(Counter(error or "no score" for error in reason.values()).most_common())

    def _indices(self, ids: npt.NDArray[np.int64], known: npt.NDArray[np.int64], name: str) -> npt.NDArray[np.int64]:
        """Return the index of each id among the known ones, which are sorted; int64 (n,)."""
        indices = np.searchsorted(known, ids).clip(max=len(known) - 1)
        unknown = ids[known[indices] != ids]
        if len(unknown):
            raise ConfigError(f"{self.key}: {self.path!r} has {name} {unknown[0]}, which is not in the split")
        return indices


class ScoreFiles:
    """The files of scores in the output, one for each run of images, from which a stopped evaluation resumes."""

    def __init__(self, output: Output, identity: dict[str, str], overwrite: bool) -> None:
        """Find the files that are there.

        Args:
            output: The output of the evaluation.
            identity: What makes scores the same: key -> value, as in the footers.
            overwrite: Whether to remove scores of another model or split.

        Raises:
            ConfigError: They are of another model or split.
        """
        self._filesystem, self._folder, self._identity = output.filesystem, f"{output.path}/{FOLDER}", identity
        make_folder(self._filesystem, self._folder)
        self._names: set[str] = set()
        self._filesystem.invalidate_cache()
        for path in self._filesystem.glob(f"{glob.escape(self._folder)}/part-*.parquet"):
            metadata = pq.read_metadata(path, filesystem=arrow_filesystem(self._filesystem)).metadata or {}
            differs = [key for key, value in identity.items() if metadata.get(key.encode()) != value.encode()]
            if not differs:
                self._names.add(path.rpartition("/")[2])
            elif overwrite:
                self._filesystem.rm_file(path)
            else:
                raise ConfigError(
                    f"output.path: {output.uri}/{FOLDER} holds scores of another {differs[0].removeprefix('vilt.')}; "
                    "choose another folder, or set output.overwrite=true to replace them"
                )

    def has(self, first: int) -> bool:
        """Return whether the file that begins with this image is there."""
        return _name(first) in self._names

    def remove_retryable(self) -> None:
        """Remove the files with images whose error may pass."""
        arrow = arrow_filesystem(self._filesystem)
        for name in sorted(self._names):
            path = f"{self._folder}/{name}"
            errors = pq.read_table(path, columns=["error"], filesystem=arrow, partitioning=None)["error"]
            if TRIED_BY_NEXT_RUN & set(errors.unique().to_pylist()):
                self._filesystem.rm_file(path)

    def write(self, first: int, tables: list[pa.Table]) -> None:
        """Write the file that begins with this image."""
        write_parquet(self._filesystem, f"{self._folder}/{_name(first)}", tables, self._identity)


def _name(first: int) -> str:
    """Return the name of the file that begins with this image."""
    return f"part-{first:07d}.parquet"


def score_rows(imgid: int, sentids: pa.Array, row: Scores | Failure) -> pa.Table:
    """Return the rows of one image with all texts, of the schema `SCORES`."""
    count = len(sentids)
    if isinstance(row, Failure):
        values, error = pa.nulls(count, pa.float32()), pa.repeat(pa.scalar(row.reason), count)
    else:
        finite = np.isfinite(row)
        values = pa.array(row, pa.float32(), mask=~finite)
        error = pa.array(np.full(count, "not_finite"), pa.string(), mask=finite)
    return pa.table([pa.repeat(pa.scalar(imgid, pa.int64()), count), sentids, values, error], schema=SCORES)
