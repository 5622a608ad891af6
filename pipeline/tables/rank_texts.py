"""The texts of `rank`, and which images each is read with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from pipeline.common.error_codes import Failure


@dataclass(frozen=True)
class Candidates:
    """Which texts each image is read with. images: int64, sorted ids. begins: int64 (images + 1,), the first of each
    one's places in `texts`, int64, which holds places in the table of texts."""

    images: np.ndarray
    begins: np.ndarray
    texts: np.ndarray

    def of(self, image: int) -> np.ndarray:
        """The texts that an image is read with, int64."""
        at = int(np.searchsorted(self.images, image))
        if at == len(self.images) or self.images[at] != image:
            return self.texts[:0]
        return self.texts[self.begins[at] : self.begins[at + 1]]


@dataclass(frozen=True)
class RankTexts:
    """ids: int64 (n,). texts: their values, None where null. candidates: None: every text with every image."""

    ids: np.ndarray
    texts: list[str | None]
    candidates: Candidates | None

    def failure(self, place: int) -> Failure | None:
        """Why a text cannot be read."""
        text = self.texts[place]
        if text is None:
            return Failure("text_null", "the text is null")
        return None if text.strip() else Failure("text_empty", f"the text is {text!r}")

    @property
    def readable(self) -> np.ndarray:
        """The places of the texts that can be read, int64."""
        return np.array([i for i in range(len(self.texts)) if self.failure(i) is None], np.int64)

    def pairs(self, images: int) -> int:
        """How many pairs there are to read with so many images; of broken ones none will be."""
        return len(self.readable) * images if self.candidates is None else len(self.candidates.texts)

    @property
    def fingerprint(self) -> str:
        """Hash of all of it."""
        found = hashlib.sha256(self.ids.tobytes() + repr(self.texts).encode())
        for array in vars(self.candidates).values() if self.candidates else ():
            found.update(array.tobytes())
        return found.hexdigest()
