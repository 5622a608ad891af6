"""ViLT's tasks: one small head each, and the published classes that put a head on `ViltModel`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vilt.checkpoints import state_dict as checkpoint
from vilt.checkpoints.pretrained import PretrainedModel
from vilt.common.outputs import EncoderOutput, HeadOutput
from vilt.common.scores import sigmoid
from vilt.inference.heads import Head, MaskedWordHead, cross_entropy
from vilt.models.vilt.configuration import ViltConfig
from vilt.models.vilt.modeling import ViltModel
from vilt.models.vilt.original import ReadsOriginal


class RetrievalHead(Head, nn.Linear):
    """One logit a pair: how well text and image match. Trained with a softmax over candidates, so logits rank."""

    name = "rank_output"

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config.hidden_size, 1)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """As in the published code, no loss is defined."""
        raise NotImplementedError("ViltForImageAndTextRetrieval defines no loss: labels must be None")


class AnswerHead(Head, nn.Sequential):
    """A logit for every answer; trained with soft targets, so a sigmoid makes it that answer's score."""

    name = "classifier"

    def __init__(self, config: ViltConfig) -> None:
        wide = config.hidden_size * 2
        super().__init__(
            nn.Linear(config.hidden_size, wide), nn.LayerNorm(wide), nn.GELU(), nn.Linear(wide, config.num_labels)
        )

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """logits, soft labels (B, answers): binary cross entropy, summed over answers, mean over the batch."""
        return F.binary_cross_entropy_with_logits(logits, labels) * labels.shape[1]

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Of each answer by itself."""
        return sigmoid(logits)


class ImagesHead(Head, nn.Sequential):
    """A logit for every class of a text and several images, whose pooled vectors it reads side by side (NLVR2)."""

    name = "classifier"

    def __init__(self, config: ViltConfig) -> None:
        wide = config.hidden_size * config.num_images
        super().__init__(nn.Linear(wide, wide), nn.LayerNorm(wide), nn.GELU(), nn.Linear(wide, config.num_labels))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy, mean over what is labelled."""
        return cross_entropy(logits, labels)


class TokenHead(Head, nn.Linear):
    """A logit for every class of every text token."""

    name = "classifier"

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config.hidden_size, config.num_labels)
        self.dropout = config.hidden_dropout_prob

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., classes)."""
        return super().forward(F.dropout(x, self.dropout, self.training))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy, mean over what is labelled."""
        return cross_entropy(logits, labels)


POOLED_HEADS: dict[str, type[Head]] = {"score": RetrievalHead, "answer": AnswerHead, "reason": ImagesHead}
TEXT_HEADS: dict[str, type[Head]] = {"fill": MaskedWordHead, "tag": TokenHead}


def heads_in(tensors: Mapping[str, Tensor], config: ViltConfig) -> dict[str, nn.Module]:
    """Fresh heads, by task, for those whose tensors a checkpoint holds in the shape that `config` gives them.

    `embed`, which hands on the pooled vectors as they are, needs only a pooler.
    """
    pooler = "pooler.dense.weight" in tensors
    kinds = (POOLED_HEADS if pooler else {}) | TEXT_HEADS
    found: dict[str, nn.Module] = {"embed": nn.Identity()} if pooler else {}
    for task, kind in kinds.items():
        if task == "reason" and config.num_images < 1:
            continue
        with torch.device("meta"):
            head = kind(config)
        if checkpoint.holds(tensors, {f"{kind.name}.{key}": value for key, value in head.state_dict().items()}, "vilt"):
            found[task] = kind(config)
    return found


class ViltWithHead(ReadsOriginal, PretrainedModel):
    """`ViltModel` and one head: the base of the published classes."""

    config: ViltConfig
    config_class = ViltConfig
    head_class: ClassVar[type[Head]]
    reads_text: ClassVar[bool] = False  # the head reads every text token, (B, T, D), not the pooled [CLS], (B, D)
    pooling: ClassVar[bool] = True

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config)
        self.vilt = ViltModel(config, self.pooling)
        self.head = self.head_class(config)

    def parts(self) -> tuple[ViltModel, dict[str, nn.Module]]:
        """The model and its one head."""
        return self.vilt, {self.head_class.name: self.head}

    def encode(self, **inputs: Any) -> EncoderOutput:
        """The arguments of `ViltModel.forward` -> its output."""
        return self.vilt(**inputs, return_dict=True)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        pixel_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        image_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> HeadOutput | tuple[Any, ...]:
        """Inputs as `ViltModel.forward`; `labels` and the logits' shape as the head documents."""
        encoded = self.encode(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            pixel_values=pixel_values,
            pixel_mask=pixel_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            image_embeds=image_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        text = inputs_embeds if input_ids is None else input_ids
        assert text is not None  # or `encode` has raised
        text_states = encoded.last_hidden_state[:, : text.shape[1]]
        logits = self.head(text_states if self.reads_text else encoded.pooler_output)
        loss = None if labels is None else self.head.loss(logits, labels)
        return self.finish(HeadOutput(loss, logits, encoded.hidden_states, encoded.attentions), return_dict)


class ViltForImageAndTextRetrieval(ViltWithHead):
    """ViLT with `RetrievalHead`: logits (B, 1)."""

    head_class = RetrievalHead


class ViltForQuestionAnswering(ViltWithHead):
    """ViLT with `AnswerHead`: logits (B, answers), labels float (B, answers)."""

    head_class = AnswerHead


class ViltForMaskedLM(ViltWithHead):
    """ViLT with `MaskedWordHead`: logits (B, T, vocabulary), labels int64 (B, T)."""

    head_class, reads_text = MaskedWordHead, True


class ViltForTokenClassification(ViltWithHead):
    """ViLT with `TokenHead`: logits (B, T, classes), labels int64 (B, T)."""

    head_class, reads_text, pooling = TokenHead, True, False


class ViltForImagesAndTextClassification(ViltWithHead):
    """ViLT with `ImagesHead`: logits (B, classes), labels int64 (B,).

    pixel_values (B, images, 3, H, W), pixel_mask (B, images, H, W) and image_embeds (B, images, N, D) hold
    `config.num_images` images for each text; of one image the dimension may be left out.
    """

    head_class = ImagesHead

    def encode(self, **inputs: Any) -> EncoderOutput:
        """Read the text with each image in turn; the pooled vectors side by side, (B, images * D)."""
        stacks = {"pixel_values": 5, "pixel_mask": 4, "image_embeds": 4}
        given = {name: inputs.pop(name) for name in stacks}
        given = {
            name: value[:, None] if value.ndim < stacks[name] else value
            for name, value in given.items()
            if value is not None
        }
        counts = {value.shape[1] for value in given.values()}
        if counts != {self.config.num_images}:
            raise ValueError(f"{sorted(counts)} images for each text; the model reads {self.config.num_images}")
        each = [
            self.vilt(
                **inputs,
                **{name: value[:, i] for name, value in given.items()},
                image_token_type_idx=i + 1,
                return_dict=True,
            )
            for i in range(self.config.num_images)
        ]
        return EncoderOutput(
            each[0].last_hidden_state,
            torch.cat([out.pooler_output for out in each], -1),
            [out.hidden_states for out in each] if each[0].hidden_states is not None else None,
            [out.attentions for out in each] if each[0].attentions is not None else None,
        )
