"""The half of a checkpoint that needs no weights: pictures -> patches, features -> regions, texts -> token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from typing_extensions import Self

from vilt.common.errors import CheckpointError
from vilt.common.folder import Folder
from vilt.common.patch_config import PatchConfig, both
from vilt.common.storage import Source
from vilt.inference.pairs import ImageRows, Pairs
from vilt.processing import resample
from vilt.processing.grids import Grid
from vilt.processing.image_files.decoding import MAX_PIXELS, ImageInput, decode_pixels, read_size
from vilt.processing.images import PillowProcessor
from vilt.processing.limits import DECODE_SECONDS
from vilt.processing.tokenizer.file_checks import check_words
from vilt.processing.tokenizer.tokenizer import ViltTokenizer

COLOURS = 3

Decode = Literal["exact", "fast"]


class AnyPreprocessor(Protocol):
    """The preprocessor of any family: turns an image, as it is stored, into rows on a grid, and texts into tokens."""

    @property
    def rows(self) -> ImageRows:
        """Return the kind of rows that the model reads of an image."""
        ...

    @classmethod
    def from_pretrained(cls, source: Source, config: Any = None, tokenizer: Source | None = None) -> Self:
        """Read the preprocessor's files from a checkpoint.

        Args:
            source: The checkpoint's folder.
            config: Its config, when it is read already.
            tokenizer: A folder whose tokenizer takes the place of the checkpoint's.
        """
        ...

    def settings(self) -> tuple[object, ...]:
        """Return all that decides rows and tokens: equal for two checkpoints that preprocess alike."""
        ...

    def tokens(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the token ids of all texts end to end, the length of each, int64, and which lost their end, bool."""
        ...

    def grid_of_bytes(self, data: bytes, max_pixels: int = MAX_PIXELS) -> Grid:
        """Return the grid of a stored image, without decoding it. Raises `ImageError`."""
        ...

    def patches_of_bytes(self, data: bytes, max_pixels: int = MAX_PIXELS, seconds: float | None = None) -> np.ndarray:
        """Return the rows of a stored image, (rows * cols, width).

        Args:
            data: The image.
            max_pixels: Most pixels.
            seconds: Most seconds to decode it, see `vilt.processing.image_files.decoding.decode_pixels`.

        Raises:
            ImageError: It is damaged, or exceeds a limit.
        """
        ...


@dataclass
class ImagePreprocessor:
    """The image half of families that read patches.

    Attributes:
        images: How a picture is resized and normalised.
        patch_size: Pixels of a patch's side.
        decode: "exact", as published; or "fast": JPEGs whose sides are twice those of the patch grid and more are
            decoded at a half, a quarter or an eighth of their size, in less time, to slightly other pixels.
    """

    images_class: ClassVar[type[PillowProcessor]]

    images: PillowProcessor
    patch_size: int
    decode: Decode = field(default="exact", kw_only=True)

    @property
    def rows(self) -> ImageRows:
        """Return the kind of rows that the model reads of an image: patches."""
        return ImageRows(COLOURS * self.patch_size**2)

    def settings(self) -> tuple[object, ...]:
        """Return all that decides the patches: equal for two checkpoints that preprocess alike."""
        return self.images.to_dict(), self.patch_size, self.decode  # a file's lists are equal to a class's tuples

    def tokens(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return no token for any text."""
        return np.empty(0, np.int64), np.zeros(len(texts), np.int64), np.zeros(len(texts), bool)

    def grid(self, height: int, width: int) -> Grid:
        """Return the grid of an image of this size in pixels. Raises `ImageError` when none fits."""
        height, width = self.images.resized(height, width)
        return Grid(height // self.patch_size, width // self.patch_size)

    def grid_of_bytes(self, data: bytes, max_pixels: int = MAX_PIXELS) -> Grid:
        """Return the grid of an encoded image, from its header alone. Raises `ImageError`."""
        return self.grid(*read_size(data, max_pixels, self.images.exif_orientation))

    def patches_of_bytes(self, data: bytes, max_pixels: int = MAX_PIXELS, seconds: float | None = None) -> np.ndarray:
        """Return the patches of an encoded image, uint8 (rows * cols, 3 * patch_size ** 2). Raises `ImageError`."""
        return self._patches_of_bytes(data, max_pixels, seconds)[0]

    def patches(self, image: ImageInput) -> tuple[np.ndarray, Grid]:
        """Return an image's patches, uint8 (rows * cols, 3 * patch_size ** 2), and its grid. Raises `ImageError`.

        Encoded bytes have `DECODE_SECONDS`, as `patches_of_bytes` says.
        """
        if isinstance(image, bytes):
            return self._patches_of_bytes(image, seconds=DECODE_SECONDS)
        pixels = self.images.resize(image)
        height, width = pixels.shape[:2]
        return resample.patchify(pixels, self.patch_size), Grid(height // self.patch_size, width // self.patch_size)

    def _patches_of_bytes(
        self, data: bytes, max_pixels: int = MAX_PIXELS, seconds: float | None = None
    ) -> tuple[np.ndarray, Grid]:
        """Return an encoded image's patches, as `decode` says, and its grid."""
        upright, smallest = self.images.exif_orientation, None
        if self.decode == "fast":
            # Of the whole picture's size: that of a shrunk one would be rounded elsewhere.
            smallest = self.images.resized(*read_size(data, max_pixels, upright))
        pixels = decode_pixels(data, max_pixels, upright, smallest=smallest, seconds=seconds)
        height, width = smallest or self.images.resized(*resample.sides(pixels))
        grid = Grid(height // self.patch_size, width // self.patch_size)
        return resample.resize_to_patches(pixels, height, width, self.images.resample, self.patch_size), grid

    def image_pairs(self, images: Sequence[ImageInput]) -> Pairs:
        """Return every image as a pair, with a text that has no tokens."""
        patches, grids = zip(*(self.patches(image) for image in images), strict=True)
        ids, lengths, _ = self.tokens([""] * len(images))
        return Pairs(ids, lengths, np.concatenate(patches), grids, np.arange(len(images)))


def patch_side(config: PatchConfig) -> int:
    """Return the side of a model's patches.

    Raises:
        CheckpointError: Patches are not square, or not of three colours, so that predictors cannot cut them.
    """
    height, width = both(config.patch_size)
    if height != width:
        raise CheckpointError(
            f"patch_size {height}x{width}: predictors read square patches; use the model's own forward"
        )
    if config.num_channels != COLOURS:
        raise CheckpointError(
            f"num_channels is {config.num_channels}: predictors read {COLOURS}; use the model's own forward"
        )
    return height


def tokenizer_of(folder: Folder, config: Any) -> ViltTokenizer:
    """Read the tokenizer of a model.

    Raises:
        CheckpointError: Its files are of no use, or the model has no row for one of its tokens.
    """
    tokenizer = ViltTokenizer.from_pretrained(folder, config.max_position_embeddings)
    check_words(tokenizer.tokenizer, config.vocab_size, config.max_position_embeddings, folder.uri)
    return tokenizer


def tokenizer_settings(tokenizer: ViltTokenizer) -> tuple[object, ...]:
    """Return all that decides the tokens of a text."""
    return tokenizer.max_length, tokenizer.tokenizer.to_str()
