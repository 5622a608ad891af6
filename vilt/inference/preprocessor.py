"""The half of a checkpoint that needs no weights: pictures -> patches, features -> regions, texts -> token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from typing_extensions import Self

from vilt.common.configuration import Config, ViltConfig, VisualBertConfig, ViTConfig
from vilt.common.storage import Source, as_folder
from vilt.inference.packing import ImageRows, Pairs
from vilt.processing.decoding import MAX_PIXELS, ImageInput, decode_pixels, read_size
from vilt.processing.grids import Grid
from vilt.processing.images import PillowProcessor, ViltImageProcessor, ViTImageProcessor, patchify
from vilt.processing.text import ViltTokenizer

KINDS: dict[type[Config], type[PillowProcessor]] = {ViltConfig: ViltImageProcessor, ViTConfig: ViTImageProcessor}


class AnyPreprocessor(Protocol):
    """What a pipeline needs of every kind: an image, as it is stored, as rows on a grid, and texts as tokens."""

    @property
    def rows(self) -> ImageRows:
        """What the model reads of an image."""
        ...

    @classmethod
    def from_pretrained(cls, uri: Source, config: Any = None, tokenizer: Source | None = None) -> Self:
        """Read its files from a checkpoint folder or URI, and those of the tokenizer from its own where given."""
        ...

    def settings(self) -> tuple[object, ...]:
        """All that decides rows and tokens: equal for two checkpoints that preprocess alike."""
        ...

    def tokens(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Texts -> (ids of all texts end to end, the length of each), int64."""
        ...

    def grid_of_bytes(self, data: bytes, max_pixels: int = MAX_PIXELS) -> Grid:
        """The grid of a stored image, without decoding it. Raises `ImageError`."""
        ...

    def patches_of_bytes(self, data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """The rows of a stored image, (rows * cols, width). Raises `ImageError`."""
        ...


@dataclass
class ImagePreprocessor:
    """ViT's: images alone."""

    images: PillowProcessor
    patch_size: int

    @classmethod
    def from_pretrained(cls, uri: Source, config: Any = None, tokenizer: Source | None = None) -> ImagePreprocessor:
        """See `AnyPreprocessor`."""
        del tokenizer
        config = config or ViTConfig.from_pretrained(uri)
        return cls(KINDS[type(config)].from_pretrained(uri), config.patch_size)

    @property
    def rows(self) -> ImageRows:
        """Patches."""
        return ImageRows(3 * self.patch_size**2)

    def settings(self) -> tuple[object, ...]:
        """All that decides the patches and tokens: equal for two checkpoints that preprocess alike."""
        return self.images, self.patch_size

    def tokens(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """None of any text."""
        return np.empty(0, np.int64), np.zeros(len(texts), np.int64)

    def grid(self, height: int, width: int) -> Grid:
        """The grid of an image of this size in pixels. Raises `ImageError` where none fits."""
        height, width = self.images.resized(height, width)
        return Grid(height // self.patch_size, width // self.patch_size)

    def grid_of_bytes(self, data: bytes, max_pixels: int = MAX_PIXELS) -> Grid:
        """The grid of an encoded image, from its header alone. Raises `ImageError`."""
        return self.grid(*read_size(data, max_pixels, self.images.exif_orientation))

    def patches_of_bytes(self, data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """The patches of an encoded image, uint8 (rows * cols, 3 * patch_size ** 2). Raises `ImageError`."""
        return self.patches(decode_pixels(data, max_pixels, self.images.exif_orientation))[0]

    def patches(self, image: ImageInput) -> tuple[np.ndarray, Grid]:
        """An image -> uint8 (rows * cols, 3 * patch_size ** 2) and its grid. Raises `ImageError`."""
        pixels = self.images.resize(image)  # (height, width, 3)
        return patchify(pixels, self.patch_size), Grid(
            pixels.shape[0] // self.patch_size, pixels.shape[1] // self.patch_size
        )

    def image_pairs(self, images: Sequence[ImageInput]) -> Pairs:
        """Every image, with a text that has no tokens."""
        patches, grids = zip(*(self.patches(image) for image in images), strict=True)
        ids, lengths = self.tokens([""] * len(images))
        return Pairs(ids, lengths, np.concatenate(patches), grids, np.arange(len(images)))


@dataclass
class Preprocessor(ImagePreprocessor):
    """ViLT's: images and texts."""

    tokenizer: ViltTokenizer

    def __init__(self, images: PillowProcessor, tokenizer: ViltTokenizer, patch_size: int) -> None:
        super().__init__(images, patch_size)
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, uri: Source, config: Any = None, tokenizer: Source | None = None) -> Preprocessor:
        """See `AnyPreprocessor`."""
        config = config or ViltConfig.from_pretrained(uri)
        words = ViltTokenizer.from_pretrained(tokenizer or uri, config.max_position_embeddings)
        return cls(KINDS[type(config)].from_pretrained(uri), words, config.patch_size)

    def settings(self) -> tuple[object, ...]:
        """All that decides the patches and tokens: equal for two checkpoints that preprocess alike."""
        return (*super().settings(), *_of(self.tokenizer))

    def tokens(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """[CLS] ... [SEP] of each."""
        return self.tokenizer.ragged(texts)

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


@dataclass
class RegionPreprocessor:
    """VisualBERT's: texts, and regions that are stored as the bytes of their features, float32 (regions, width)."""

    tokenizer: ViltTokenizer
    width: int

    @classmethod
    def from_pretrained(cls, uri: Source, config: Any = None, tokenizer: Source | None = None) -> RegionPreprocessor:
        """See `AnyPreprocessor`. Published checkpoints have no tokenizer: they use bert-base-uncased's."""
        config = config or VisualBertConfig.from_pretrained(uri)
        folder = as_folder(tokenizer or uri)
        if not any(folder.exists(name) for name in ("tokenizer.json", "vocab.txt")):
            hint = "name a tokenizer, as hf://google-bert/bert-base-uncased"
            raise FileNotFoundError(f"no vocab.txt in {str(folder)!r}; {hint}")
        return cls(ViltTokenizer.from_pretrained(folder, config.max_position_embeddings), config.visual_embedding_dim)

    @property
    def rows(self) -> ImageRows:
        """The features of regions."""
        return ImageRows(self.width, np.float32, cls=False)

    def settings(self) -> tuple[object, ...]:
        """All that decides the tokens and the width of features."""
        return (self.width, *_of(self.tokenizer))

    def tokens(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """[CLS] ... [SEP] of each."""
        return self.tokenizer.ragged(texts)

    def grid_of_bytes(self, data: bytes, max_pixels: int = MAX_PIXELS) -> Grid:
        """One row of as many columns as there are regions."""
        del max_pixels
        return Grid(1, len(data) // self.rows.bytes)

    def patches_of_bytes(self, data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """float32 (regions, width)."""
        del max_pixels
        return np.frombuffer(data, np.float32).reshape(-1, self.width)

    def pairs(self, features: Sequence[np.ndarray], texts: Sequence[str]) -> Pairs:
        """features: of each text, float (regions, width)."""
        for i, own in enumerate(features):
            if own.ndim != 2 or own.shape[1] != self.width:
                raise ValueError(f"features {i} are {own.shape}; the model reads (regions, {self.width})")
        token_ids, lengths = self.tokenizer.ragged(texts)
        grids = [Grid(1, len(own)) for own in features]
        rows = np.concatenate(features).astype(np.float32)
        return Pairs(token_ids, lengths, rows, grids, np.arange(len(texts)), image_cls=False)


def _of(tokenizer: ViltTokenizer) -> tuple[object, ...]:
    """All that decides the tokens."""
    return tokenizer.max_length, tokenizer.tokenizer.to_str()
