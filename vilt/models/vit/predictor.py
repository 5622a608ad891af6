"""`ViTPredictor`: images -> classes and vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image
from torch import Tensor, nn

from vilt.inference.embeddings import PixelProjection
from vilt.inference.engine import WINDOW, Engine
from vilt.inference.packing import Pairs
from vilt.models.vit.configuration import ViTConfig
from vilt.models.vit.modeling import ViTModel, vit_heads_in
from vilt.models.vit.preprocessor import ViTPreprocessor
from vilt.processing.decoding import ImageInput


class ViTPredictor(Engine):
    """A ViT checkpoint with every head that it holds. See `Engine`.

    Images are pictures, encoded bytes or uint8 arrays, one or several; one that cannot be read raises `ImageError`.
    """

    config_class = ViTConfig
    model_class = ViTModel
    preprocessor_class = ViTPreprocessor

    @classmethod
    def heads_in(cls, tensors: Mapping[str, Tensor], config: ViTConfig) -> dict[str, nn.Module]:
        """See `vilt.models.vit.modeling`."""
        return vit_heads_in(tensors, config)

    @staticmethod
    def make_projection(model: ViTModel, preprocessor: ViTPreprocessor) -> PixelProjection:
        """Of raw pixels."""
        return PixelProjection(model.image.projection, *preprocessor.images.affine())

    def classify(self, images: ImageInput | Sequence[ImageInput], top_k: int = 1) -> list[list[tuple[str, float]]]:
        """The `top_k` classes of each image, as (class, probability), best first."""
        self.require("classify")
        parts = (self.scores("classify", self.of_pairs("classify", pairs)) for pairs in self._windows(images))
        return [row for scores in parts for row in self._best(scores, top_k)]

    def embed(self, images: ImageInput | Sequence[ImageInput]) -> np.ndarray:
        """The vector of each image, float32 (n, D): [CLS], pooled where the checkpoint has a pooler."""
        parts = [self.of_pairs("embed", pairs) for pairs in self._windows(images)]
        return np.concatenate(parts) if parts else np.empty((0, self.config.hidden_size), np.float32)

    def _windows(self, images: ImageInput | Sequence[ImageInput]) -> Iterator[Pairs]:
        many: Sequence[ImageInput] = [images] if isinstance(images, Image.Image | np.ndarray | bytes) else images
        for begin in range(0, len(many), WINDOW):
            yield self.preprocessor.image_pairs(many[begin : begin + WINDOW])
