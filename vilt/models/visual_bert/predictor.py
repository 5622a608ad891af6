"""`VisualBertPredictor`: texts and the features of regions -> answers and classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from torch import nn

from vilt.common.counts import counted
from vilt.inference.embeddings import RegionProjection
from vilt.inference.engine import WINDOW, Engine
from vilt.inference.heads import TaskHead
from vilt.models.visual_bert.configuration import VisualBertConfig
from vilt.models.visual_bert.fast import FastVisualBert
from vilt.models.visual_bert.modeling import VisualBertModel
from vilt.models.visual_bert.preprocessor import RegionPreprocessor


def _classifier(config: VisualBertConfig) -> nn.Linear:
    return nn.Linear(config.hidden_size, config.num_labels)


class VisualBertPredictor(Engine[VisualBertModel, VisualBertConfig, RegionPreprocessor]):
    """A VisualBERT checkpoint with every head that it holds. See `Engine`.

    features: of each text its regions', float (regions, config.visual_embedding_dim); of how many regions may differ.
    """

    config_class = VisualBertConfig
    model_class = VisualBertModel
    preprocessor_class = RegionPreprocessor

    task_heads: ClassVar[dict[str, TaskHead]] = {
        "answer": TaskHead(
            "cls", _classifier, reads="last_word", needs_pooler=False, architecture="VisualBertForQuestionAnswering"
        ),
        "reason": TaskHead("cls", _classifier, architecture="VisualBertForVisualReasoning"),
    }

    @classmethod
    def may_have(cls, task: str, config: VisualBertConfig) -> bool:
        """Tell whether a checkpoint may have a task's head.

        Both heads look alike, so `architectures` in the config decides when it names one of them.
        """
        named = {task for task, head in cls.task_heads.items() if head.architecture in (config.architectures or ())}
        return task in (named or cls.task_heads)

    @classmethod
    def build(cls, model: VisualBertModel) -> FastVisualBert:
        """Build the fast model from a published one."""
        return FastVisualBert(model)

    @staticmethod
    def make_projection(model: VisualBertModel, preprocessor: RegionPreprocessor) -> RegionProjection:
        """Make the projection of regions' features."""
        del preprocessor
        return RegionProjection(model.embeddings.visual_projection)

    def answer(
        self, features: Sequence[np.ndarray], questions: Sequence[str], top_k: int = 1
    ) -> list[list[tuple[str, float]]]:
        """Return the `top_k` answers to each question, as (answer, probability), best first."""
        return self._classes("answer", features, questions, top_k)

    def reason(self, features: Sequence[np.ndarray], texts: Sequence[str]) -> list[list[tuple[str, float]]]:
        """Return the classes of each text about its regions, as (class, probability), best first."""
        return self._classes("reason", features, texts, len(self.labels))

    def _classes(
        self, task: str, features: Sequence[np.ndarray], texts: Sequence[str], top_k: int
    ) -> list[list[tuple[str, float]]]:
        self.require(task)
        if len(features) != len(texts):
            raise ValueError(
                f"features of {counted(len(features), 'row')} and {counted(len(texts), 'text')} do not pair up"
            )
        out = []
        for begin in range(0, len(texts), WINDOW):
            part = slice(begin, begin + WINDOW)
            pairs = self.preprocessor.pairs(features[part], texts[part])
            out += self._best(self.scores(task, self.of_pairs(task, pairs)), top_k)
        return out
