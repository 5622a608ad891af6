"""The texts of `rank`, and which images each is read with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import Self

from pipeline.common.error_codes import Failure
from pipeline.common.row_ids import keys_of, shown_id

if TYPE_CHECKING:
    from pipeline.tables.id_checks import IdCounts
    from pipeline.tables.rank_inputs.first_stage import FirstStage


@dataclass(frozen=True)
class Candidates:
    """Which texts each image is read with.

    Attributes:
        images: The keys of the images' ids, sorted; see `pipeline.common.row_ids`.
        begins: int64 (images + 1,), where the texts of each image begin in `texts`.
        texts: int64, positions in the table of texts.
        id_counts: The ids of all images that do not tell them apart; None if they were not counted.
    """

    images: pa.Array
    begins: np.ndarray
    texts: np.ndarray
    id_counts: IdCounts | None = None

    @classmethod
    def of_pairs(cls, images: pa.Array, texts: np.ndarray) -> Self:
        """Return the candidates that some pairs name, each once.

        Args:
            images: The key of each pair's image.
            texts: int64, the position of each pair's text.
        """
        distinct = pc.unique(images)
        distinct = distinct.take(pc.sort_indices(distinct))
        numbers = pc.index_in(images, distinct).to_numpy().astype(np.int64)
        many = int(texts.max(initial=0)) + 1
        image, text = np.divmod(np.unique(numbers * many + texts), many)
        return cls(distinct, np.searchsorted(image, np.arange(len(distinct) + 1)).astype(np.int64), text)

    def of(self, images: pa.Array) -> list[np.ndarray]:
        """Return the positions of the texts that each image is read with, int64; images: their ids."""
        found = pc.index_in(keys_of(images), self.images).to_pylist()
        return [self.texts[:0] if at is None else self.texts[self.begins[at] : self.begins[at + 1]] for at in found]


@dataclass(frozen=True)
class RankTexts:
    """The texts of a rank job.

    Attributes:
        ids: The ids, of any type of `pipeline.common.row_ids`.
        texts: The texts; None if one is null, a failure if it is not UTF-8.
        candidates: Which texts each image is read with; None: all, or `first_stage` is still to find them.
        all_scores: Whether every score of an image is kept, of empty texts too, and not only the best; for measuring.
        first_stage: What finds the candidates, by vectors; None: nothing need be found.
    """

    ids: pa.Array
    texts: list[str | Failure | None]
    candidates: Candidates | None
    all_scores: bool = False
    first_stage: FirstStage | None = field(default=None, kw_only=True)

    def failure(self, number: int) -> Failure | None:
        """Return why a text cannot be read; None if it can."""
        text = self.texts[number]
        if isinstance(text, Failure):
            return text
        if text is None:
            return Failure("text_null", "the text is null")
        return None if text.strip() or self.all_scores else Failure("text_empty", f"the text is {text!r}")

    @property
    def strings(self) -> list[str]:
        """Return the texts, with "" in place of those that are null or not UTF-8."""
        return [text if isinstance(text, str) else "" for text in self.texts]

    @property
    def readable(self) -> np.ndarray:
        """Return the positions of the texts that can be read, int64."""
        return np.array([i for i in range(len(self.texts)) if self.failure(i) is None], np.int64)

    @property
    def exact(self) -> np.ndarray:
        """Return the positions of the texts that are read with all images beside their candidates, int64.

        The i-th of them has the number len(ids) + i there: so its best images are found twice, among the candidates
        and among all.
        """
        return self.first_stage.recall_texts if self.first_stage else np.empty(0, np.int64)

    def pairs(self, images: int) -> int:
        """Return how many pairs there are to read with so many images, if no image is broken."""
        more = len(self.exact) * images
        if self.candidates is not None:
            return int(np.isin(self.candidates.texts, self.readable).sum()) + more
        each = min(self.first_stage.n, images) if self.first_stage else images
        return len(self.readable) * each + more

    @property
    def fingerprint(self) -> str:
        """Return a hash of all texts, ids and candidates, or of the tables that these are found in."""
        found = hashlib.sha256(_bytes(self.ids) + repr(self.texts).encode())
        if self.first_stage:
            found.update(self.first_stage.fingerprint.encode())
        elif self.candidates:
            found.update(_bytes(self.candidates.images))
            found.update(self.candidates.begins.tobytes())
            found.update(self.candidates.texts.tobytes())
        if self.all_scores:
            found.update(b"all scores")
        return found.hexdigest()


def _bytes(ids: pa.Array) -> bytes:
    """Return ids as bytes: other ids give other bytes."""
    if pa.types.is_integer(ids.type):
        numbers: np.ndarray = ids.cast(pa.int64(), safe=False).to_numpy()
        return numbers.tobytes()
    return repr([str(ids.type), *map(shown_id, ids)]).encode()
