"""ViLT's published classes: one head each on `ViltModel`."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vilt.common.model_outputs import (
    BaseModelOutputWithPooling,
    HeadOutput,
    MaskedLMOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
    ViltForImagesAndTextClassificationOutput,
)
from vilt.models.layers import MaskedWordHead, cross_entropy
from vilt.models.vilt.configuration import ViltConfig
from vilt.models.vilt.modeling import ViltModel, ViltPreTrainedModel


def wide_classifier(width: int, inner: int, classes: int) -> nn.Sequential:
    """Make the classifier of VQA and NLVR2: two linear layers with a norm and GELU between them."""
    return nn.Sequential(nn.Linear(width, inner), nn.LayerNorm(inner), nn.GELU(), nn.Linear(inner, classes))


def answer_classifier(config: ViltConfig) -> nn.Sequential:
    """Make the classifier of answers."""
    return wide_classifier(config.hidden_size, config.hidden_size * 2, config.num_labels)


def images_classifier(config: ViltConfig) -> nn.Sequential:
    """Make the classifier of a text and its images, whose pooled vectors it reads side by side."""
    width = config.hidden_size * config.num_images
    return wide_classifier(width, width, config.num_labels)


class ViltWithHead(ViltPreTrainedModel):
    """The base of the classes with a head: `forward`, in which each class puts its head and its loss."""

    vilt: ViltModel
    output_class: ClassVar[type[HeadOutput]] = SequenceClassifierOutput

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
    ) -> Any:
        """Read padded texts and images; inputs as `ViltModel.forward`, labels and logits as the class documents."""
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
        words = inputs_embeds if input_ids is None else input_ids
        assert words is not None  # or `encode` has raised
        logits = self.logits(encoded, words.shape[1])
        loss = None if labels is None else self.loss(logits, labels.to(logits.device))
        return self.finish(self.output_class(loss, logits, encoded.hidden_states, encoded.attentions), return_dict)

    def encode(self, **inputs: Any) -> BaseModelOutputWithPooling:
        """Run the model below the head."""
        return self.vilt(**inputs, return_dict=True)

    def logits(self, encoded: BaseModelOutputWithPooling, text_length: int) -> Tensor:
        """Run the head; the text is the first `text_length` tokens."""
        raise NotImplementedError

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss: the mean cross entropy unless a class says otherwise."""
        return cross_entropy(logits, labels)


class ViltForMaskedLM(ViltWithHead):
    """ViLT that fills masked words: logits (B, T, vocabulary), labels int64 (B, T), -100 where there is none."""

    _tied_weights_keys: ClassVar[list[str]] = ["mlm_score.decoder.weight", "mlm_score.decoder.bias"]
    output_class = MaskedLMOutput

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config)
        self.vilt = ViltModel(config)
        self.mlm_score = MaskedWordHead(config)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        """Return the decoder of words."""
        return self.mlm_score.decoder

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the decoder of words."""
        self.mlm_score.decoder, self.mlm_score.bias = new_embeddings, new_embeddings.bias

    def logits(self, encoded: BaseModelOutputWithPooling, text_length: int) -> Tensor:
        """Read every token of the text."""
        assert encoded.last_hidden_state is not None
        return self.mlm_score(encoded.last_hidden_state[:, :text_length])


class ViltForQuestionAnswering(ViltWithHead):
    """ViLT that answers questions: logits (B, answers), labels soft scores, float (B, answers)."""

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.vilt = ViltModel(config)
        self.classifier = answer_classifier(config)
        self.post_init()

    def logits(self, encoded: BaseModelOutputWithPooling, text_length: int) -> Tensor:
        """Read the pooled [CLS]."""
        del text_length
        return self.classifier(encoded.pooler_output)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the binary cross entropy, summed over answers, mean over the batch."""
        return F.binary_cross_entropy_with_logits(logits, labels) * labels.shape[1]


class ViltForImageAndTextRetrieval(ViltWithHead):
    """ViLT that tells how well a text fits an image: logits (B, 1). No loss is defined, as published."""

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config)
        self.vilt = ViltModel(config)
        self.rank_output = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def logits(self, encoded: BaseModelOutputWithPooling, text_length: int) -> Tensor:
        """Read the pooled [CLS]."""
        del text_length
        return self.rank_output(encoded.pooler_output)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Refuse labels."""
        raise NotImplementedError("ViltForImageAndTextRetrieval defines no loss: labels must be None")


class ViltForImagesAndTextClassification(ViltWithHead):
    """ViLT that classifies a text about several images: logits (B, classes), labels int64 (B,).

    pixel_values (B, images, C, H, W), pixel_mask (B, images, H, W) and image_embeds (B, images, N, D) hold
    `config.num_images` images for each text; for one image the dimension may be left out.
    """

    output_class = ViltForImagesAndTextClassificationOutput

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.vilt = ViltModel(config)
        self.classifier = images_classifier(config)
        self.post_init()

    def encode(self, **inputs: Any) -> BaseModelOutputWithPooling:
        """Read the text with each image in turn; pooled vectors come side by side, (B, images * D)."""
        stacks = {"pixel_values": 5, "pixel_mask": 4, "image_embeds": 4}
        given = {name: value for name in stacks if (value := inputs.pop(name)) is not None}
        given = {name: value if value.ndim >= stacks[name] else value[:, None] for name, value in given.items()}
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
        return BaseModelOutputWithPooling(
            each[0].last_hidden_state,
            torch.cat([out.pooler_output for out in each], -1),
            [out.hidden_states for out in each] if each[0].hidden_states is not None else None,  # type: ignore[arg-type]
            [out.attentions for out in each] if each[0].attentions is not None else None,  # type: ignore[arg-type]
        )

    def logits(self, encoded: BaseModelOutputWithPooling, text_length: int) -> Tensor:
        """Read the pooled [CLS] of every image."""
        del text_length
        return self.classifier(encoded.pooler_output)


class ViltForTokenClassification(ViltWithHead):
    """ViLT that classifies every token of the text: logits (B, T, classes), labels int64 (B, T)."""

    output_class = TokenClassifierOutput

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.vilt = ViltModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def logits(self, encoded: BaseModelOutputWithPooling, text_length: int) -> Tensor:
        """Read every token of the text."""
        assert encoded.last_hidden_state is not None
        return self.classifier(self.dropout(encoded.last_hidden_state)[:, :text_length])
