"""VisualBERT that tells which region of an image each phrase of a text is about."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vilt.common.model_outputs import SequenceClassifierOutput
from vilt.models.visual_bert.configuration import VisualBertConfig
from vilt.models.visual_bert.heads import VisualBertPreTrainingHeads, VisualBertWithHead, given, mask_of, words_of
from vilt.models.visual_bert.modeling import VisualBertModel


class VisualBertRegionToPhraseAttention(nn.Module):
    """The attention of each token to each region: one head's scores, before their softmax."""

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__()
        size = config.hidden_size // config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, size)
        self.key = nn.Linear(config.hidden_size, size)
        self.value = nn.Linear(config.hidden_size, size)  # in checkpoints, and read by nothing
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(self, query: Tensor, key: Tensor, attention_mask: Tensor) -> Tensor:
        """Tokens (B, P, D), regions (B, R, D), mask (B, R) -> (B, P, R); the least number where the mask is 0."""
        scores: Tensor = self.query(query) @ self.key(key).mT / self.query.out_features**0.5
        return scores + (1.0 - attention_mask.to(scores))[:, None] * torch.finfo(scores.dtype).min


class VisualBertForRegionToPhraseAlignment(VisualBertWithHead):
    """VisualBERT that names the region of each phrase: logits (B, P, R), for P places in text and regions.

    `region_to_phrase_position`: int64 (B, P), the place of each phrase's token, -1 for none. `labels`: float (B, P, R),
    how much of a phrase is about each region; the loss is the Kullback-Leibler divergence, mean over the batch. The
    heads of the pretraining are in the checkpoint, and read by nothing.
    """

    _tied_weights_keys: ClassVar[list[str]] = ["cls.predictions.decoder.bias"]

    def __init__(self, config: VisualBertConfig) -> None:
        super().__init__(config)
        self.visual_bert = VisualBertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.cls = VisualBertPreTrainingHeads(config)
        self.attention = VisualBertRegionToPhraseAttention(config)
        self.post_init()

    def forward(  # type: ignore[override]
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
        region_to_phrase_position: Tensor | None = None,
        labels: Tensor | None = None,
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
        if region_to_phrase_position is None:
            raise ValueError("region_to_phrase_position: missing")
        if visual_embeds is None:
            raise ValueError("visual_embeds: missing")
        encoded = self.visual_bert(
            **inputs, output_attentions=output_attentions, output_hidden_states=output_hidden_states, return_dict=True
        )
        hidden = encoded.last_hidden_state
        places = region_to_phrase_position.long().clamp(min=0)[..., None].expand(-1, -1, hidden.shape[-1])
        regions = hidden[:, words_of(inputs).shape[1] :]
        mask = mask_of(inputs, "visual_attention_mask", regions)
        logits = self.attention(hidden.gather(1, places), regions, mask)
        loss = None if labels is None else F.kl_div(logits.log_softmax(-1), labels, reduction="batchmean")
        return self.finish(
            SequenceClassifierOutput(loss, logits, encoded.hidden_states, encoded.attentions), return_dict
        )
