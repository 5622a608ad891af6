"""The candidates that a first stage has found: as a file of the results, and what is made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.common.row_ids import from_keys, keys_of
from pipeline.tables.rank_inputs.texts import Candidates, RankTexts


@dataclass(frozen=True)
class NearestPairs:
    """Texts and their nearest images.

    Attributes:
        texts: int64 (pairs,), positions of the texts.
        images: The keys of the images' ids.
        similarity: float32 (pairs,).
    """

    texts: np.ndarray
    images: pa.Array
    similarity: np.ndarray

    def to_arrow(self, texts: RankTexts, image_type: pa.DataType) -> pa.Table:
        """Return the pairs as rows: text_id and image_id, as a table of candidates has them, and similarity."""
        return pa.table(
            {
                "text_id": texts.ids.take(pa.array(self.texts)),
                "image_id": from_keys(self.images, image_type),
                "similarity": pa.array(self.similarity, pa.float32()),
            }
        )

    @classmethod
    def from_arrow(cls, table: pa.Table, texts: RankTexts) -> NearestPairs:
        """Return the pairs of rows that `to_arrow` has made."""
        positions = pc.index_in(keys_of(table["text_id"]).combine_chunks(), keys_of(texts.ids))
        images = keys_of(table["image_id"]).combine_chunks()
        return cls(positions.to_numpy().astype(np.int64), images, table["similarity"].to_numpy())

    def candidates(self) -> Candidates:
        """Return which texts each image is read with."""
        return Candidates.of_pairs(self.images, self.texts)

    def recall(self, exact: dict[int, pa.Array]) -> tuple[int, int]:
        """Return how many of the best images of some texts are among these pairs, and how many they are.

        Args:
            exact: The position of a text -> the keys of its best images among all.
        """
        found = 0
        for text, best in exact.items():
            found += pc.sum(pc.is_in(best, self.images.filter(pa.array(self.texts == text)))).as_py() or 0
        return found, sum(map(len, exact.values()))
