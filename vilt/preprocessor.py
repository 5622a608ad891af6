"""The half of a checkpoint that needs no weights: pictures -> patches, texts -> token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vilt.configuration import ViltConfig
from vilt.decoding import MAX_PIXELS, ImageInput, decode, read_size
from vilt.fast_images import ViltImageProcessorFast
from vilt.grids import Grid
from vilt.images import ViltImageProcessor, patchify
from vilt.packing import Pairs
from vilt.storage import Source
from vilt.text import ViltTokenizer

RESIZERS: dict[str, type[ViltImageProcessor] | type[ViltImageProcessorFast]] = {
    "pillow": ViltImageProcessor,
    "torch": ViltImageProcessorFast,
}


@dataclass
class Preprocessor:
    """The processor of a checkpoint: what workers without a model need."""

    images: ViltImageProcessor | ViltImageProcessorFast
    tokenizer: ViltTokenizer
    patch_size: int

    @classmethod
    def from_pretrained(cls, uri: Source, config: ViltConfig | None = None, resize: str = "pillow") -> Preprocessor:
        """Read the processor's and tokenizer's files from a checkpoint folder or URI.

        resize: "pillow", the pixels of the published preprocessing, or "torch": twice the speed and, on photographs,
        within two levels of 255.
        """
        if resize not in RESIZERS:
            raise ValueError(f"resize {resize!r} is not one of {', '.join(RESIZERS)}")
        config = config or ViltConfig.from_pretrained(uri)
        tokenizer = ViltTokenizer.from_pretrained(uri, config.max_position_embeddings)
        return cls(RESIZERS[resize].from_pretrained(uri), tokenizer, config.patch_size)

    def settings(self) -> tuple[object, ...]:
        """All that decides the patches and tokens: equal for two checkpoints that preprocess alike."""
        return self.images, self.patch_size, self.tokenizer.max_length, self.tokenizer.tokenizer.to_str()

    def grid(self, height: int, width: int) -> Grid:
        """The grid of an image of this size in pixels. Raises `ImageError` where none fits."""
        height, width = self.images.resized(height, width)
        return Grid(height // self.patch_size, width // self.patch_size)

    def grid_of_bytes(self, data: bytes, max_pixels: int = MAX_PIXELS) -> Grid:
        """The grid of an encoded image, from its header alone. Raises `ImageError`."""
        return self.grid(*read_size(data, max_pixels, self.images.exif_orientation))

    def patches_of_bytes(self, data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """The patches of an encoded image, uint8 (rows * cols, 3 * patch_size ** 2). Raises `ImageError`."""
        return self.patches(decode(data, max_pixels, self.images.exif_orientation))[0]

    def patches(self, image: ImageInput) -> tuple[np.ndarray, Grid]:
        """An image -> uint8 (rows * cols, 3 * patch_size ** 2) and its grid. Raises `ImageError`."""
        pixels = self.images.resize(image)  # (height, width, 3)
        return patchify(pixels, self.patch_size), Grid(
            pixels.shape[0] // self.patch_size, pixels.shape[1] // self.patch_size
        )

    def pairs(
        self, images: Sequence[ImageInput], texts: Sequence[str], image_types: Sequence[int] | None = None
    ) -> Pairs:
        """Image i, of modality `image_types[i]` (1 where not given), with text i, for every i.

        An object that stands in `images` several times with one modality is decoded once.
        """
        keys = [(id(image), kind) for image, kind in zip(images, image_types or [1] * len(images), strict=True)]
        distinct = dict(zip(keys, images, strict=True))
        place = {key: i for i, key in enumerate(distinct)}
        patches, grids = zip(*(self.patches(image) for image in distinct.values()), strict=True)
        token_ids, lengths = self.tokenizer.ragged(texts)
        index = np.array([place[key] for key in keys], dtype=np.int64)
        types = np.array([kind for _, kind in distinct], dtype=np.int64)
        return Pairs(token_ids, lengths, np.concatenate(patches), grids, index, types)
