"""The texts of `rank`, and which images each is read with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from pipeline.common.error_codes import Failure


@dataclass(frozen=True)
class Candidates:
    """Which texts each image is read with.

    Attributes:
        images: int64 (images,), sorted ids.
        begins: int64 (images + 1,), where the texts of each image begin in `texts`.
        texts: int64, positions in the table of texts.
    """

    images: np.ndarray
    begins: np.ndarray
    texts: np.ndarray

    def of(self, image: int) -> np.ndarray:
        """Return the positions of the texts that an image is read with, int64."""
        at = int(np.searchsorted(self.images, image))
        if at == len(self.images) or self.images[at] != image:
            return self.texts[:0]
        return self.texts[self.begins[at] : self.begins[at + 1]]


@dataclass(frozen=True)
class RankTexts:
    """The texts of a rank job.

    Attributes:
        ids: int64 (n,).
        texts: The texts; None if one is null.
        candidates: Which texts each image is read with; None: all.
    """

    ids: np.ndarray
    texts: list[str | None]
    candidates: Candidates | None

    def failure(self, number: int) -> Failure | None:
        """Return why a text cannot be read; None if it can."""
        text = self.texts[number]
        if text is None:
            return Failure("text_null", "the text is null")
        return None if text.strip() else Failure("text_empty", f"the text is {text!r}")

    @property
    def readable(self) -> np.ndarray:
        """Return the positions of the texts that can be read, int64."""
        return np.array([i for i in range(len(self.texts)) if self.failure(i) is None], np.int64)

    def pairs(self, images: int) -> int:
        """Return how many pairs there are to read with so many images, if none of them is broken."""
        return len(self.readable) * images if self.candidates is None else len(self.candidates.texts)

    @property
    def fingerprint(self) -> str:
        """Return a hash of all texts, ids and candidates."""
        found = hashlib.sha256(self.ids.tobytes() + repr(self.texts).encode())
        for array in vars(self.candidates).values() if self.candidates else ():
            found.update(array.tobytes())
        return found.hexdigest()
