"""The scores of every image with every text, in Parquet files of a rank job or of another program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.common.errors import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.karpathy import Split
from pipeline.evaluation.metrics import Block
from pipeline.evaluation.parquet_columns import BATCH_ROWS, first_columns, read_columns
from vilt.common.counts import counted

BEST_TEXTS = "best_texts"  # of a rank job that keeps all scores: list<struct<text_id, score>>
BLOCK_PAIRS = 2**20  # of a rank job's rows, held at a time


@dataclass(frozen=True)
class ScoreTable:
    """Parquet files that hold every pair of a split once: a row for each pair, or for each image.

    The columns are imgid, sentid, score and perhaps error; or, as a rank job writes them, imgid, best_texts and error.

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
        """Yield the pairs, but for those of images that a rank job could not read.

        Raises:
            ConfigError: A pair is not of the split, or pairs are missing.
        """
        imgids, sentids = np.array(self.split.imgids), np.array(self.split.sentids)
        pairs = 0
        for table, missing in self._read_pairs():
            pairs += table.num_rows + missing
            images = self._indices(table["imgid"].to_numpy(), imgids, "imgid")
            texts = self._indices(table["sentid"].to_numpy(), sentids, "sentid")
            yield Block(images, texts, table["score"].to_numpy().astype(np.float32))  # a null becomes NaN
        if pairs != len(imgids) * len(sentids):
            raise ConfigError(
                f"{self.key}: {self.path!r} holds {counted(pairs, 'pair')}; expected {len(imgids) * len(sentids):,}, "
                f"each of "
                f"the {counted(len(imgids), 'image')} with each of the {counted(len(sentids), 'text')} once"
            )

    def rejected(self) -> dict[str, int]:
        """Return reason -> number of images that have no scores."""
        name, rows = (BEST_TEXTS, self._images_a_block) if self._of_images else ("score", BATCH_ROWS)
        reason: dict[int, str] = {}
        for table in read_columns(self.path, self.key, ("imgid", name), self.storage, ["error"], rows):
            table = table.filter(table[name].is_null())
            reason.update(zip(table["imgid"].to_pylist(), table["error"].to_pylist(), strict=True))
        return dict(Counter(error or "no score" for error in reason.values()).most_common())

    @cached_property
    def _of_images(self) -> bool:
        """Return whether there is a row for each image."""
        names = first_columns(self.path, self.key, self.storage)
        return BEST_TEXTS in names and "sentid" not in names

    @property
    def _images_a_block(self) -> int:
        return max(1, BLOCK_PAIRS // len(self.split.sentids))

    def _read_pairs(self) -> Iterator[tuple[pa.Table, int]]:
        """Yield imgid, sentid and score of some pairs, and how many more there are of images without scores."""
        if not self._of_images:
            for table in read_columns(self.path, self.key, ("imgid", "sentid", "score"), self.storage):
                yield table, 0
            return
        for table in read_columns(
            self.path, self.key, ("imgid", BEST_TEXTS), self.storage, batch_rows=self._images_a_block
        ):
            lists = table[BEST_TEXTS].combine_chunks()
            counts = lists.value_lengths().fill_null(0).to_numpy()
            pairs, scored = lists.flatten(), np.repeat(table["imgid"].to_numpy(), counts)
            found = pa.table([scored, pairs.field("text_id"), pairs.field("score")], ["imgid", "sentid", "score"])
            yield found, lists.null_count * len(self.split.sentids)

    def _indices(self, ids: npt.NDArray[np.int64], known: npt.NDArray[np.int64], name: str) -> npt.NDArray[np.int64]:
        """Return the index of each id among the known ones, which are sorted; int64 (n,)."""
        indices = np.searchsorted(known, ids).clip(max=len(known) - 1)
        unknown = ids[known[indices] != ids]
        if len(unknown):
            raise ConfigError(f"{self.key}: {self.path!r} has {name} {unknown[0]}, which is not in the split")
        return indices
