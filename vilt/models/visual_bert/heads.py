"""VisualBERT's published classes: one head each on `VisualBertModel`."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vilt.common.counts import counted
from vilt.common.model_outputs import (
    BaseModelOutputWithPooling,
    HeadOutput,
    ModelOutput,
    MultipleChoiceModelOutput,
    SequenceClassifierOutput,
    VisualBertForPreTrainingOutput,
)
from vilt.models.layers import MaskedWordHead, cross_entropy
from vilt.models.visual_bert.configuration import VisualBertConfig
from vilt.models.visual_bert.modeling import VisualBertModel, VisualBertPreTrainedModel

Inputs = dict[str, Tensor]


class VisualBertPreTrainingHeads(nn.Module):
    """A logit for every word of the vocabulary for every token, and two for whether text and image belong together."""

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__()
        self.predictions = MaskedWordHead(config)
        self.seq_relationship = nn.Linear(config.hidden_size, 2)

    def forward(self, sequence_output: Tensor, pooled_output: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L, D), (B, D) -> (B, L, vocabulary), (B, 2)."""
        return self.predictions(sequence_output), self.seq_relationship(pooled_output)


class VisualBertWithHead(VisualBertPreTrainedModel):
    """The base of the classes with a head: each says in `read` what its head makes of the hidden states."""

    visual_bert: VisualBertModel

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        visual_embeds: Tensor | None = None,
        visual_attention_mask: Tensor | None = None,
        visual_token_type_ids: Tensor | None = None,
        image_text_alignment: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        labels: Tensor | None = None,
    ) -> Any:
        """Read padded texts and regions; inputs as `VisualBertModel.forward`, labels and logits as the class says."""
        inputs = given(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            visual_embeds=visual_embeds,
            visual_attention_mask=visual_attention_mask,
            visual_token_type_ids=visual_token_type_ids,
            image_text_alignment=image_text_alignment,
        )
        asked = {"output_attentions": output_attentions, "output_hidden_states": output_hidden_states}
        encoded = self.visual_bert(**self.rows(inputs), **asked, return_dict=True)
        return self.finish(self.read(encoded, inputs, labels), return_dict)

    def rows(self, inputs: Inputs) -> Inputs:
        """Return the inputs as the model takes them."""
        return inputs

    def read(self, encoded: BaseModelOutputWithPooling, inputs: Inputs, labels: Tensor | None) -> ModelOutput:
        """Run the head on what the model has made of the inputs that were given."""
        raise NotImplementedError


class VisualBertForPreTraining(VisualBertWithHead):
    """VisualBERT with both heads of its pretraining.

    `labels`: int64 (B, T + R), the words, -100 where there is none. `sentence_image_labels`: int64 (B,), 0 where the
    text belongs to the image; they count only beside `labels`, as published.
    """

    _tied_weights_keys: ClassVar[list[str]] = ["cls.predictions.decoder.weight", "cls.predictions.decoder.bias"]

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__(config)
        self.visual_bert = VisualBertModel(config)
        self.cls = VisualBertPreTrainingHeads(config)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        """Return the decoder of words."""
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the decoder of words."""
        self.cls.predictions.decoder, self.cls.predictions.bias = new_embeddings, new_embeddings.bias

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        visual_embeds: Tensor | None = None,
        visual_attention_mask: Tensor | None = None,
        visual_token_type_ids: Tensor | None = None,
        image_text_alignment: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        labels: Tensor | None = None,
        sentence_image_labels: Tensor | None = None,
    ) -> Any:
        """Read padded texts and regions; inputs as `VisualBertModel.forward`."""
        inputs = given(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            visual_embeds=visual_embeds,
            visual_attention_mask=visual_attention_mask,
            visual_token_type_ids=visual_token_type_ids,
            image_text_alignment=image_text_alignment,
        )
        encoded = self.visual_bert(
            **inputs, output_attentions=output_attentions, output_hidden_states=output_hidden_states, return_dict=True
        )
        words, belongs = self.cls(encoded.last_hidden_state, encoded.pooler_output)
        loss = None
        if labels is not None:
            if labels.shape[1] != words.shape[1]:
                raise ValueError(
                    f"labels: of {counted(labels.shape[1], 'token')}; text and regions have {words.shape[1]}"
                )
            loss = cross_entropy(words, labels)
            if sentence_image_labels is not None:
                loss = loss + cross_entropy(belongs, sentence_image_labels)
        out = VisualBertForPreTrainingOutput(loss, words, belongs, encoded.hidden_states, encoded.attentions)
        return self.finish(out, return_dict)


class VisualBertForVisualReasoning(VisualBertWithHead):
    """VisualBERT with a classifier of the pooled [CLS]: logits (B, classes), labels int64 (B,)."""

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.visual_bert = VisualBertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.cls = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def read(self, encoded: BaseModelOutputWithPooling, inputs: Inputs, labels: Tensor | None) -> HeadOutput:
        """Read the pooled [CLS]."""
        del inputs
        logits = self.cls(self.dropout(encoded.pooler_output))
        loss = None if labels is None else cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss, logits, encoded.hidden_states, encoded.attentions)


class VisualBertForMultipleChoice(VisualBertWithHead):
    """One logit for each choice: inputs have a dimension of choices after the batch's, (B, choices, ...).

    Logits are (B, choices), labels int64 (B,).
    """

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__(config)
        self.visual_bert = VisualBertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.cls = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def rows(self, inputs: Inputs) -> Inputs:
        """Make a row of each choice; an alignment may come flat already, as the published class takes it."""
        flat = {
            name: value.flatten(0, 1)
            for name, value in inputs.items()
            if name != "head_mask" and not (name == "image_text_alignment" and value.ndim == 3)
        }
        return {**inputs, **flat}

    def read(self, encoded: BaseModelOutputWithPooling, inputs: Inputs, labels: Tensor | None) -> HeadOutput:
        """Put the choices side by side."""
        logits = self.cls(self.dropout(encoded.pooler_output)).view(words_of(inputs).shape[:2])
        loss = None if labels is None else cross_entropy(logits, labels)
        return MultipleChoiceModelOutput(loss, logits, encoded.hidden_states, encoded.attentions)


class VisualBertForQuestionAnswering(VisualBertWithHead):
    """VisualBERT that answers questions: logits (B, answers), labels float (B, answers).

    With labels, the logits are returned as their log-softmax, as published; the loss is the Kullback-Leibler
    divergence, mean over the batch.
    """

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.visual_bert = VisualBertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.cls = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def read(self, encoded: BaseModelOutputWithPooling, inputs: Inputs, labels: Tensor | None) -> HeadOutput:
        """Read the last word of each text: the token before [SEP]."""
        assert encoded.last_hidden_state is not None
        text = words_of(inputs)
        last = mask_of(inputs, "attention_mask", text).sum(1) - 2  # (B,)
        states = encoded.last_hidden_state[torch.arange(len(text), device=text.device), last.long()]
        logits, loss = self.cls(self.dropout(states)), None
        if labels is not None:
            logits = logits.log_softmax(-1)
            loss = F.kl_div(logits, labels.to(logits.device), reduction="batchmean")
        return SequenceClassifierOutput(loss, logits, encoded.hidden_states, encoded.attentions)


def given(**inputs: Tensor | None) -> Inputs:
    """Return the inputs that are not None."""
    return {name: value for name, value in inputs.items() if value is not None}


def words_of(inputs: Inputs) -> Tensor:
    """Return the ids, or the embeddings in their place."""
    return inputs["input_ids"] if "input_ids" in inputs else inputs["inputs_embeds"]


def mask_of(inputs: Inputs, name: str, rows: Tensor) -> Tensor:
    """Return a mask that was given, or one of ones for (B, L, ...)."""
    return inputs[name] if name in inputs else torch.ones(rows.shape[:2], dtype=torch.int64, device=rows.device)
