"""VisualBERT's preprocessor: the features of regions -> rows, texts -> token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from vilt.common.storage import Source, as_folder
from vilt.inference.pairs import ImageRows, Pairs
from vilt.inference.preprocessor import tokenizer_of, tokenizer_settings
from vilt.models.visual_bert.configuration import VisualBertConfig
from vilt.processing.grids import Grid
from vilt.processing.image_files.decoding import MAX_PIXELS
from vilt.processing.tokenizer.tokenizer import ViltTokenizer


@dataclass
class RegionPreprocessor:
    """Texts, and regions that are stored as the bytes of their features, float32 (regions, width)."""

    tokenizer: ViltTokenizer
    width: int

    @classmethod
    def from_pretrained(
        cls, source: Source, config: VisualBertConfig | None = None, tokenizer: Source | None = None
    ) -> Self:
        """See `AnyPreprocessor`. Published checkpoints have no tokenizer: they use bert-base-uncased's."""
        config = config or VisualBertConfig.from_pretrained(source)
        folder = as_folder(tokenizer or source)
        if not any(folder.exists(name) for name in ("tokenizer.json", "vocab.txt")):
            hint = "name a tokenizer, as hf://google-bert/bert-base-uncased"
            raise FileNotFoundError(f"no vocab.txt in {str(folder)!r}; {hint}")
        return cls(tokenizer_of(folder, config), config.visual_embedding_dim)

    @property
    def rows(self) -> ImageRows:
        """Return the kind of rows that the model reads of an image: the features of its regions."""
        return ImageRows(self.width, np.float32, cls=False)

    def settings(self) -> tuple[object, ...]:
        """Return all that decides the tokens and the width of features."""
        return (self.width, *tokenizer_settings(self.tokenizer))

    def tokens(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return [CLS] ... [SEP] of each text; see `AnyPreprocessor`."""
        return self.tokenizer.ragged_and_cut(texts)

    def grid_of_bytes(self, data: bytes, max_pixels: int = MAX_PIXELS) -> Grid:
        """Return one row of as many columns as there are regions."""
        del max_pixels
        return Grid(1, len(data) // self.rows.bytes)

    def patches_of_bytes(self, data: bytes, max_pixels: int = MAX_PIXELS, seconds: float | None = None) -> np.ndarray:
        """Return the features, float32 (regions, width)."""
        del max_pixels, seconds
        return np.frombuffer(data, np.float32).reshape(-1, self.width)

    def pairs(self, features: Sequence[np.ndarray], texts: Sequence[str]) -> Pairs:
        """Return the regions of each text, float (regions, width), as pairs with their texts."""
        for i, regions in enumerate(features):
            if regions.ndim != 2 or regions.shape[1] != self.width:
                raise ValueError(f"features {i} are {regions.shape}; the model reads (regions, {self.width})")
        token_ids, lengths = self.tokenizer.ragged(texts)
        grids = [Grid(1, len(regions)) for regions in features]
        rows = np.concatenate(features).astype(np.float32)
        return Pairs(token_ids, lengths, rows, grids, np.arange(len(texts)), image_cls=False)
