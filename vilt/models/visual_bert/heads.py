"""VisualBERT's tasks: one small head each, and the published classes that put a head on `VisualBertModel`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vilt.checkpoints.pretrained import PretrainedModel
from vilt.common.outputs import EncoderOutput, HeadOutput, ModelOutput, PreTrainingOutput
from vilt.inference.heads import Head, MaskedWordHead, cross_entropy
from vilt.models.visual_bert.configuration import VisualBertConfig
from vilt.models.visual_bert.modeling import VisualBertModel

Inputs = dict[str, Tensor]


class LinearHead(Head, nn.Linear):
    """A logit for every class, from one vector of each pair, with dropout before it in training."""

    name = "cls"

    def __init__(self, config: VisualBertConfig, classes: int | None = None) -> None:
        super().__init__(config.hidden_size, config.num_labels if classes is None else classes)
        self.dropout = config.hidden_dropout_prob

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., classes)."""
        return super().forward(F.dropout(x, self.dropout, self.training))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy, labels int64 (B,)."""
        return cross_entropy(logits, labels)


class AnswerHead(LinearHead):
    """A logit for every answer; reads the last word of the question."""

    reads = "last_word"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """logits as log-probabilities, labels float (B, answers): Kullback-Leibler divergence, mean over the batch."""
        return F.kl_div(logits, labels, reduction="batchmean")


class PreTrainingHeads(Head):
    """A logit for every word of the vocabulary for every token, and two for whether text and image belong together."""

    name = "cls"

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__()
        self.predictions = MaskedWordHead(config)
        self.seq_relationship = nn.Linear(config.hidden_size, 2)


class RegionAttention(nn.Module):
    """How much each token attends to each region: one head's scores, before their softmax."""

    name = "attention"

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__()
        size = config.hidden_size // config.num_attention_heads
        self.query, self.key, self.value = (nn.Linear(config.hidden_size, size) for _ in range(3))  # value: unused

    def forward(self, tokens: Tensor, regions: Tensor, mask: Tensor) -> Tensor:
        """tokens (B, P, D), regions (B, R, D), mask (B, R) -> (B, P, R); the least float where mask is 0."""
        scores = self.query(tokens) @ self.key(regions).mT / self.query.out_features**0.5
        return scores + (1.0 - mask.to(scores))[:, None] * torch.finfo(scores.dtype).min


class VisualBertWithHead(PretrainedModel):
    """`VisualBertModel` and a head: the base of the published classes, which say what the head reads."""

    config: VisualBertConfig
    config_class = VisualBertConfig
    head_class: ClassVar[type[Head]] = LinearHead

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__(config)
        self.visual_bert = VisualBertModel(config)
        self.head = self.make_head(config)

    def make_head(self, config: VisualBertConfig) -> Head:
        """A fresh head."""
        return self.head_class(config)

    def parts(self) -> tuple[VisualBertModel, dict[str, nn.Module]]:
        """The model and its one head."""
        return self.visual_bert, {self.head.name: self.head}

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        visual_embeds: Tensor | None = None,
        visual_attention_mask: Tensor | None = None,
        visual_token_type_ids: Tensor | None = None,
        image_text_alignment: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        labels: Tensor | None = None,
        *,
        head_mask: Tensor | None = None,
        **own: Tensor | None,
    ) -> Any:
        """Inputs as `VisualBertModel.forward`; `labels`, and arguments of a class's own, as its `read`."""
        inputs = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "position_ids": position_ids,
            "inputs_embeds": inputs_embeds,
            "visual_embeds": visual_embeds,
            "visual_attention_mask": visual_attention_mask,
            "visual_token_type_ids": visual_token_type_ids,
            "image_text_alignment": image_text_alignment,
            "head_mask": head_mask,
        }
        given = {name: value for name, value in inputs.items() if value is not None}
        asked = {"output_attentions": output_attentions, "output_hidden_states": output_hidden_states}
        encoded = self.visual_bert(**self.rows(given), **asked, return_dict=True)
        return self.finish(self.read(encoded, given, labels, **own), return_dict)

    def rows(self, inputs: Inputs) -> Inputs:
        """The inputs as the model takes them."""
        return inputs

    def read(self, encoded: EncoderOutput, inputs: Inputs, labels: Tensor | None) -> ModelOutput:
        """What the model has made of the inputs that were given -> the class's output."""
        del inputs
        return self.judged(self.head(encoded.pooler_output), encoded, labels)

    def judged(self, logits: Tensor, encoded: EncoderOutput, labels: Tensor | None) -> HeadOutput:
        """Logits with their loss."""
        loss = None if labels is None else self.head.loss(logits, labels)
        return HeadOutput(loss, logits, encoded.hidden_states, encoded.attentions)


class VisualBertForVisualReasoning(VisualBertWithHead):
    """VisualBERT with `LinearHead` on the pooled [CLS]: logits (B, classes), labels int64 (B,)."""


class VisualBertForMultipleChoice(VisualBertWithHead):
    """One logit for each choice: inputs have a dimension of choices after the batch's, (B, choices, ...); logits
    (B, choices), labels int64 (B,)."""

    def make_head(self, config: VisualBertConfig) -> Head:
        """One logit."""
        return LinearHead(config, 1)

    def rows(self, inputs: Inputs) -> Inputs:
        """Each choice a row of its own."""
        # An alignment may come flat already, as the published class takes it.
        flat = {
            name: value.flatten(0, 1)
            for name, value in inputs.items()
            if name != "head_mask" and not (name == "image_text_alignment" and value.ndim == 3)
        }
        return {**inputs, **flat}

    def read(self, encoded: EncoderOutput, inputs: Inputs, labels: Tensor | None) -> ModelOutput:
        """The choices side by side."""
        logits = self.head(encoded.pooler_output).view(_text(inputs).shape[:2])
        return self.judged(logits, encoded, labels)


class VisualBertForQuestionAnswering(VisualBertWithHead):
    """VisualBERT with `AnswerHead`: logits (B, answers), labels float (B, answers).

    Without labels logits are as the head gives them; with labels, as published, their log-softmax.
    """

    head_class = AnswerHead

    def read(self, encoded: EncoderOutput, inputs: Inputs, labels: Tensor | None) -> ModelOutput:
        """From the last word of each text: the token before [SEP]."""
        text = _text(inputs)
        last = _mask(inputs, "attention_mask", text).sum(1) - 2  # (B,)
        logits = self.head(encoded.last_hidden_state[torch.arange(len(text), device=text.device), last.long()])
        return self.judged(logits if labels is None else logits.log_softmax(-1), encoded, labels)


class VisualBertForPreTraining(VisualBertWithHead):
    """VisualBERT with `PreTrainingHeads`; the decoder of words shares the table of words unless
    `config.tie_word_embeddings` is false."""

    head: PreTrainingHeads
    head_class = PreTrainingHeads

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__(config)
        if config.tie_word_embeddings:
            self.head.predictions.decoder.weight = self.visual_bert.text.word.weight

    def read(
        self,
        encoded: EncoderOutput,
        inputs: Inputs,
        labels: Tensor | None,
        sentence_image_labels: Tensor | None = None,
    ) -> ModelOutput:
        """labels: int64 (B, T + R), the words, -100 where none. sentence_image_labels: int64 (B,), 0 where the text
        belongs to the image; they count only beside `labels`, as published."""
        del inputs
        words = self.head.predictions(encoded.last_hidden_state)  # (B, T + R, vocabulary)
        belongs = self.head.seq_relationship(encoded.pooler_output)  # (B, 2)
        loss = None
        if labels is not None:
            if labels.shape[1] != words.shape[1]:
                raise ValueError(f"labels: of {labels.shape[1]} tokens; text and regions have {words.shape[1]}")
            loss = cross_entropy(words, labels)
            if sentence_image_labels is not None:
                loss = loss + cross_entropy(belongs, sentence_image_labels)
        return PreTrainingOutput(loss, words, belongs, encoded.hidden_states, encoded.attentions)


class VisualBertForRegionToPhraseAlignment(VisualBertWithHead):
    """Which region each phrase is about: logits (B, P, R), for P places in text and regions.

    The checkpoint's heads of the pretraining are kept, and read nothing.
    """

    head_class = PreTrainingHeads

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__(config)
        self.attention = RegionAttention(config)

    def parts(self) -> tuple[VisualBertModel, dict[str, nn.Module]]:
        """The model and both heads."""
        return self.visual_bert, {self.head.name: self.head, self.attention.name: self.attention}

    def read(
        self,
        encoded: EncoderOutput,
        inputs: Inputs,
        labels: Tensor | None,
        region_to_phrase_position: Tensor | None = None,
    ) -> ModelOutput:
        """region_to_phrase_position: int64 (B, P), the place of each phrase's token, -1 for none. labels: float
        (B, P, R), how much of a phrase is about each region: Kullback-Leibler divergence, mean over the batch."""
        if region_to_phrase_position is None:
            raise ValueError("region_to_phrase_position: missing")
        if "visual_embeds" not in inputs:
            raise ValueError("visual_embeds: missing")
        hidden = encoded.last_hidden_state
        places = region_to_phrase_position.long().clamp(min=0)[..., None].expand(-1, -1, hidden.shape[-1])
        regions = hidden[:, _text(inputs).shape[1] :]
        mask = _mask(inputs, "visual_attention_mask", regions)
        logits = self.attention(hidden.gather(1, places), regions, mask)
        loss = None if labels is None else F.kl_div(logits.log_softmax(-1), labels, reduction="batchmean")
        return HeadOutput(loss, logits, encoded.hidden_states, encoded.attentions)


def _text(inputs: Inputs) -> Tensor:
    """Ids, or the embeddings in their place."""
    return inputs["input_ids"] if "input_ids" in inputs else inputs["inputs_embeds"]


def _mask(inputs: Inputs, name: str, of: Tensor) -> Tensor:
    """A mask that was given, or one for all of (B, L, ...)."""
    return inputs[name] if name in inputs else torch.ones(of.shape[:2], dtype=torch.int64, device=of.device)


TASKS: dict[str, type[VisualBertWithHead]] = {
    "answer": VisualBertForQuestionAnswering,
    "reason": VisualBertForVisualReasoning,
}


def visual_bert_heads_in(tensors: Mapping[str, Tensor], config: VisualBertConfig) -> dict[str, nn.Module]:
    """Fresh heads, by task: `answer` and `reason` where the checkpoint holds a head of that shape, which both have
    alike, so that `architectures` in its config decides where it names one; and `embed`, which hands on the pooled
    vectors."""
    found: dict[str, nn.Module] = {"embed": nn.Identity()} if "pooler.dense.weight" in tensors else {}
    named = {task: kind for task, kind in TASKS.items() if kind.__name__ in (config.architectures or ())}
    weight = tensors.get("cls.weight")
    if weight is not None and weight.shape == (config.num_labels, config.hidden_size):
        found.update({task: kind.head_class(config) for task, kind in (named or TASKS).items()})
    return found
