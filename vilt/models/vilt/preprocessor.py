"""ViLT's preprocessor: pictures -> patches, texts -> token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import Self

from vilt.common.storage import Source, as_folder
from vilt.inference.pairs import Pairs
from vilt.inference.preprocessor import ImagePreprocessor, patch_side, tokenizer_of, tokenizer_settings
from vilt.models.vilt.configuration import ViltConfig
from vilt.processing.image_files.decoding import ImageInput
from vilt.processing.images import PillowProcessor, ViltImageProcessor
from vilt.processing.tokenizer.tokenizer import ViltTokenizer


@dataclass
class Preprocessor(ImagePreprocessor):
    """Images and texts."""

    images_class: ClassVar[type[PillowProcessor]] = ViltImageProcessor

    tokenizer: ViltTokenizer

    def __init__(self, images: PillowProcessor, tokenizer: ViltTokenizer, patch_size: int) -> None:
        super().__init__(images, patch_size)
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, source: Source, config: ViltConfig | None = None, tokenizer: Source | None = None) -> Self:
        """See `AnyPreprocessor`."""
        folder = as_folder(source)
        config = config or ViltConfig.from_pretrained(folder)
        words = tokenizer_of(as_folder(tokenizer or folder), config)
        return cls(cls.images_class.from_pretrained(folder), words, patch_side(config))

    def settings(self) -> tuple[object, ...]:
        """Return all that decides the patches and tokens: equal for two checkpoints that preprocess alike."""
        return (*super().settings(), *tokenizer_settings(self.tokenizer))

    def tokens(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return [CLS] ... [SEP] of each text; see `AnyPreprocessor`."""
        return self.tokenizer.ragged_and_cut(texts)

    def pairs(
        self, images: Sequence[ImageInput], texts: Sequence[str], image_types: Sequence[int] | None = None
    ) -> Pairs:
        """Return image i, of modality `image_types[i]` (1 when not given), with text i, for every i.

        An object that occurs several times in `images` with one modality is decoded once.
        """
        keys = [(id(image), kind) for image, kind in zip(images, image_types or [1] * len(images), strict=True)]
        distinct = dict(zip(keys, images, strict=True))
        number = {key: i for i, key in enumerate(distinct)}
        patches, grids = zip(*(self.patches(image) for image in distinct.values()), strict=True)
        token_ids, lengths = self.tokenizer.ragged(texts)
        index = np.array([number[key] for key in keys], dtype=np.int64)
        types = np.array([kind for _, kind in distinct], dtype=np.int64)
        return Pairs(token_ids, lengths, np.concatenate(patches), grids, index, types)
