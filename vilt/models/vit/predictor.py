"""`ViTPredictor`: images -> classes and vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from PIL import Image
from torch import nn

from vilt.common.scores import sigmoid, softmax
from vilt.inference.embeddings import PixelProjection
from vilt.inference.engine import WINDOW, Engine
from vilt.inference.heads import TaskHead
from vilt.inference.pairs import Pairs
from vilt.models.vit.configuration import ViTConfig
from vilt.models.vit.fast import FastViT
from vilt.models.vit.modeling import ViTModel
from vilt.models.vit.preprocessor import ViTPreprocessor
from vilt.processing.image_files.decoding import ImageInput


def class_scores(logits: np.ndarray, config: ViTConfig) -> np.ndarray:
    """Return probabilities: of one class each or, for a model of several labels an image, of each class alone."""
    return sigmoid(logits) if config.problem_type == "multi_label_classification" else softmax(logits)


class ViTPredictor(Engine[ViTModel, ViTConfig, ViTPreprocessor]):
    """A ViT checkpoint with every head that it holds. See `Engine`.

    Images are pictures, encoded bytes or uint8 arrays, one or several; one that cannot be read raises `ImageError`.
    """

    config_class = ViTConfig
    model_class = ViTModel
    preprocessor_class = ViTPreprocessor

    task_heads: ClassVar[dict[str, TaskHead]] = {
        "classify": TaskHead(
            "classifier",
            lambda config: nn.Linear(config.hidden_size, config.num_labels),
            reads="cls",
            scores=class_scores,
            needs_pooler=False,
            architecture="ViTForImageClassification",
        )
    }
    embeds_without_pooler = True

    @classmethod
    def build(cls, model: ViTModel) -> FastViT:
        """Build the fast model from a published one."""
        return FastViT(model)

    @staticmethod
    def make_projection(model: ViTModel, preprocessor: ViTPreprocessor) -> PixelProjection:
        """Make the projection of raw pixels."""
        return PixelProjection(model.embeddings.patch_embeddings.projection, *preprocessor.images.affine())

    def classify(self, images: ImageInput | Sequence[ImageInput], top_k: int = 1) -> list[list[tuple[str, float]]]:
        """Return the `top_k` classes of each image, as (class, probability), best first."""
        self.require("classify")
        parts = (self.scores("classify", self.of_pairs("classify", pairs)) for pairs in self._windows(images))
        return [row for scores in parts for row in self._best(scores, top_k)]

    def embed(self, images: ImageInput | Sequence[ImageInput]) -> np.ndarray:
        """Return the vector of each image, float32 (n, D): [CLS], pooled when the checkpoint has a pooler."""
        parts = [self.of_pairs("embed", pairs) for pairs in self._windows(images)]
        return np.concatenate(parts) if parts else np.empty((0, self.config.hidden_size), np.float32)

    def _windows(self, images: ImageInput | Sequence[ImageInput]) -> Iterator[Pairs]:
        many: Sequence[ImageInput] = [images] if isinstance(images, Image.Image | np.ndarray | bytes) else images
        for begin in range(0, len(many), WINDOW):
            yield self.preprocessor.image_pairs(many[begin : begin + WINDOW])
