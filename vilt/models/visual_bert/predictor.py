"""`VisualBertPredictor`: texts and the features of regions -> answers and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn

from vilt.inference.engine import WINDOW, Engine
from vilt.models.visual_bert.configuration import VisualBertConfig
from vilt.models.visual_bert.heads import visual_bert_heads_in
from vilt.models.visual_bert.modeling import VisualBertModel
from vilt.models.visual_bert.preprocessor import RegionPreprocessor


class VisualBertPredictor(Engine):
    """A VisualBERT checkpoint with every head that it holds. See `Engine`.

    features: of each text its regions', float (regions, config.visual_embedding_dim); of how many regions may differ.
    """

    config_class = VisualBertConfig
    model_class = VisualBertModel
    preprocessor_class = RegionPreprocessor

    @classmethod
    def heads_in(cls, tensors: Mapping[str, Tensor], config: VisualBertConfig) -> dict[str, nn.Module]:
        """See `vilt.models.visual_bert.heads`."""
        return visual_bert_heads_in(tensors, config)

    @staticmethod
    def make_projection(model: VisualBertModel, preprocessor: RegionPreprocessor) -> nn.Module:
        """The model's own, in a box: `replace` works on what is in one."""
        del preprocessor
        return nn.Sequential(model.visual.projection)

    def answer(
        self, features: Sequence[np.ndarray], questions: Sequence[str], top_k: int = 1
    ) -> list[list[tuple[str, float]]]:
        """The `top_k` answers to each question, as (answer, probability), best first."""
        return self._classes("answer", features, questions, top_k)

    def reason(self, features: Sequence[np.ndarray], texts: Sequence[str]) -> list[list[tuple[str, float]]]:
        """The classes of each text about its regions, as (class, probability), best first."""
        return self._classes("reason", features, texts, len(self.labels))

    def _classes(
        self, task: str, features: Sequence[np.ndarray], texts: Sequence[str], top_k: int
    ) -> list[list[tuple[str, float]]]:
        self.require(task)
        if len(features) != len(texts):
            raise ValueError(f"features of {len(features)} rows and {len(texts)} texts do not pair up")
        out = []
        for begin in range(0, len(texts), WINDOW):
            part = slice(begin, begin + WINDOW)
            pairs = self.preprocessor.pairs(features[part], texts[part])
            out += self._best(self.scores(task, self.of_pairs(task, pairs)), top_k)
        return out
