"""The tasks: one small head each, and the published classes that put a head on `ViltModel`.

A head reads features, gives logits, and knows its loss. The `Predictor` hosts heads by their checkpoint name.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vilt.configuration import ViltConfig
from vilt.encoder import activation
from vilt.model import ViltModel
from vilt.outputs import EncoderOutput, HeadOutput
from vilt.pretrained import PretrainedModel


class RetrievalHead(nn.Linear):
    """One logit a pair: how well text and image match. Trained with a softmax over candidates, so logits rank."""

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config.hidden_size, 1)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """As in the published code, no loss is defined."""
        raise NotImplementedError("ViltForImageAndTextRetrieval defines no loss: labels must be None")


class AnswerHead(nn.Sequential):
    """A logit for every answer; trained with soft targets, so a sigmoid makes it that answer's score."""

    def __init__(self, config: ViltConfig) -> None:
        wide = config.hidden_size * 2
        super().__init__(
            nn.Linear(config.hidden_size, wide), nn.LayerNorm(wide), nn.GELU(), nn.Linear(wide, config.num_labels)
        )

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """logits, soft labels (B, answers): binary cross entropy, summed over answers, mean over the batch."""
        return F.binary_cross_entropy_with_logits(logits, labels) * labels.shape[1]


class MaskedWordHead(nn.Module):
    """A logit for every word of the vocabulary, for every text token."""

    def __init__(self, config: ViltConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.act = activation(config.hidden_act)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., vocabulary)."""
        return self.decoder(self.norm(self.act(self.dense(x))))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """logits (..., V), labels int64 (...,), -100 where none: cross entropy, mean over the labelled tokens."""
        return F.cross_entropy(logits.flatten(0, -2), labels.flatten())


HEADS: dict[str, type[nn.Module]] = {  # by the name that published checkpoints give the head's tensors
    "rank_output": RetrievalHead,
    "classifier": AnswerHead,
    "mlm_score": MaskedWordHead,
}


class ViltWithHead(PretrainedModel):
    """`ViltModel` and one head: the base of the published classes."""

    head_name: ClassVar[str]

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config)
        self.vilt = ViltModel(config)
        self.head = HEADS[self.head_name](config)

    def parts(self) -> tuple[ViltModel, dict[str, nn.Module]]:
        """The model and its one head."""
        return self.vilt, {self.head_name: self.head}

    def features(self, encoded: EncoderOutput, text_length: int) -> Tensor:  # noqa: ARG002
        """What the head reads; the pooled [CLS] unless a class says otherwise."""
        return encoded.pooler_output

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        pixel_mask: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> HeadOutput:
        """Inputs as `ViltModel.forward`; `labels` and the logits' shape as the head documents."""
        encoded = self.vilt(input_ids, attention_mask, token_type_ids, pixel_values, pixel_mask)
        logits = self.head(self.features(encoded, input_ids.shape[1]))
        return HeadOutput(None if labels is None else self.head.loss(logits, labels), logits)  # type: ignore[operator]


class ViltForImageAndTextRetrieval(ViltWithHead):
    """ViLT with `RetrievalHead`: logits (B, 1)."""

    head_name = "rank_output"


class ViltForQuestionAnswering(ViltWithHead):
    """ViLT with `AnswerHead`: logits (B, answers), labels float (B, answers)."""

    head_name = "classifier"


class ViltForMaskedLM(ViltWithHead):
    """ViLT with `MaskedWordHead`: logits (B, T, vocabulary), labels int64 (B, T)."""

    head_name = "mlm_score"

    def features(self, encoded: EncoderOutput, text_length: int) -> Tensor:
        """The text tokens' hidden states, (B, T, D)."""
        return encoded.last_hidden_state[:, :text_length]


def initialise(model: nn.Module, config: ViltConfig, generator: torch.Generator) -> None:
    """Fresh weights for training: normal with `initializer_range`, biases 0, norms 1."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=config.initializer_range, generator=generator)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
