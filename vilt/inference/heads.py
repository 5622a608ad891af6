"""What the heads of the family have in common. A head reads features, gives logits, and knows its loss and the name of
its tensors in a checkpoint."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vilt.common.scores import softmax
from vilt.inference.linear import activation

# The vectors that a head reads of each sequence: the pooled [CLS], [CLS] as it is, or the last word before [SEP].
Reads = Literal["pooled", "cls", "last_word"]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """logits (..., classes), labels int64 (...,), -100 where none: cross entropy, mean over what is labelled."""
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten())


class Head(nn.Module):
    """What every head tells."""

    name: ClassVar[str]  # of its tensors in a checkpoint
    reads: ClassVar[Reads] = "pooled"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """As each head documents."""
        raise NotImplementedError

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Logits (n, classes) -> what is told of each class: its probability, unless a head says otherwise."""
        return softmax(logits)


class MaskedWordHead(Head):
    """A logit for every word of the vocabulary, for every token."""

    name = "mlm_score"

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.act = activation(config.hidden_act)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., vocabulary)."""
        return self.decoder(self.norm(self.act(self.dense(x))))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy, mean over what is labelled."""
        return cross_entropy(logits, labels)


def initialise(model: nn.Module, config: Any, generator: torch.Generator) -> None:
    """Fresh weights for training: normal with `initializer_range`, biases 0, norms 1."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=config.initializer_range, generator=generator)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
