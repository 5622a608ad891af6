"""Embeddings and `ViltModel`: text tokens and image patches, read together by one transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vilt.configuration import ViltConfig
from vilt.encoder import Dense, Encoder
from vilt.grids import Grid
from vilt.images import patchify_pixels
from vilt.linear import Linear
from vilt.outputs import EncoderOutput
from vilt.packing import Packed, Pairs, as_tensor
from vilt.pretrained import PretrainedModel

TEXT, IMAGE = 0, 1  # rows of the modality table
CPU_ROWS = 1024  # patches that are projected together on a CPU, whose caches hold their pixels as floats


class TextEmbeddings(nn.Module):
    """BERT's: word + token type + position, then a norm."""

    def __init__(self, config: ViltConfig) -> None:
        super().__init__()
        self.word = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, words: Tensor, positions: Tensor, token_types: Tensor | None = None) -> Tensor:
        """words: int64 ids (...,), or their embeddings (..., D); positions and token types int64 (...,) -> (..., D).

        Token types are 0 where not given.
        """
        embedded = words if words.is_floating_point() else self.word(words)
        types = self.token_type.weight[0] if token_types is None else self.token_type(token_types)
        return self.dropout(self.norm(embedded + types + self.position(positions)))


class ImageEmbeddings(nn.Module):
    """A linear map of each patch, an image [CLS], and a position table resized to the image's grid."""

    def __init__(self, config: ViltConfig) -> None:
        super().__init__()
        side = config.patches_per_side
        self.projection = nn.Linear(config.num_channels * config.patch_size**2, config.hidden_size)
        self.cls = nn.Parameter(torch.zeros(config.hidden_size))
        self.cls_position = nn.Parameter(torch.zeros(config.hidden_size))
        self.position = nn.Parameter(torch.zeros(side, side, config.hidden_size))

    def positions(self, grid: Grid) -> Tensor:
        """(rows * cols, D): the table resized to `grid`, bilinear with aligned corners."""
        table = self.position.permute(2, 0, 1)[None]  # (1, D, side, side)
        return F.interpolate(table, tuple(grid), mode="bilinear", align_corners=True)[0].flatten(1).T

    def first(self) -> Tensor:
        """(1, D): the image [CLS] with its position; the same for every image."""
        return (self.cls + self.cls_position)[None]


class PixelProjection(nn.Module):
    """The patch projection for raw uint8 pixels: rescaling and normalisation folded into its weights.

    ((x * rescale - mean) / std) W + b = (x - 127.5) W' + b'. Shifting by 127.5 keeps every pixel exact in bfloat16,
    and the folded weights as small as the trained ones.
    """

    def __init__(
        self, projection: nn.Linear, mean: Sequence[float], std: Sequence[float], rescale: float = 1 / 255
    ) -> None:
        super().__init__()
        weight = projection.weight  # (D, pixels * channels), channels last
        repeat = weight.shape[1] // len(mean)
        scale = weight.new_tensor([rescale / s for s in std]).repeat(repeat)  # (pixels * channels,)
        shift = weight.new_tensor([(127.5 * rescale - m) / s for m, s in zip(mean, std, strict=True)]).repeat(repeat)
        self.linear = Linear(*weight.T.shape)
        self.linear.weight.copy_(weight * scale)
        self.linear.bias.copy_(projection.bias + weight @ shift)

    def forward(self, patches: Tensor) -> Tensor:
        """uint8 (P, 3 * patch_size ** 2) -> (P, D)."""
        rows = CPU_ROWS if patches.device.type == "cpu" else max(1, len(patches))
        return torch.cat([self.linear(part.to(self.linear.bias.dtype).sub_(127.5)) for part in patches.split(rows)])


class Pooler(nn.Module):
    """tanh of a linear map of the text [CLS]."""

    def __init__(self, config: ViltConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, first: Tensor) -> Tensor:
        """(n, D) -> (n, D)."""
        return torch.tanh(self.dense(first))


class ViltModel(PretrainedModel):
    """ViLT without a head. `forward` is the published, padded API; `pooled` the packed path of the `Predictor`."""

    def __init__(self, config: ViltConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.text = TextEmbeddings(config)
        self.image = ImageEmbeddings(config)
        self.modality = nn.Embedding(config.modality_type_vocab_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.encoder = Encoder(config)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.pooler = Pooler(config) if add_pooling_layer else None

    def parts(self) -> tuple[ViltModel, dict[str, nn.Module]]:
        """The model itself, without heads."""
        return self, {}

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
        image_token_type_idx: int | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> EncoderOutput | tuple[Any, ...]:
        """Padded texts and images -> hidden states.

        input_ids, attention_mask, token_type_ids: int64 (B, T); inputs_embeds (B, T, D) in place of the ids.
        pixel_values: float (B, 3, H, W), normalised; pixel_mask: (B, H, W), 1 where a pixel is real, one rectangle from
        the top left corner. image_embeds: (B, N, D) in place of the pixels, pixel_mask then (B, N) or (B, rows, cols).
        head_mask: (heads,) or (layers, heads). image_token_type_idx: the modality, 1 unless it is a later image.
        """
        config = self.config
        output_attentions = config.output_attentions if output_attentions is None else output_attentions
        output_hidden_states = config.output_hidden_states if output_hidden_states is None else output_hidden_states
        return_dict = config.return_dict if return_dict is None else return_dict
        words = _one_of(input_ids=input_ids, inputs_embeds=inputs_embeds)
        batch, length = words.shape[:2]
        if length > (limit := config.max_position_embeddings):
            raise ValueError(f"a text has {length} tokens; the model reads at most {limit}: truncate it")
        if attention_mask is None:
            attention_mask = words.new_ones((batch, length), dtype=torch.int64)
        positions = torch.arange(length, device=words.device).expand(batch, length)
        text = self.text(words, positions, token_type_ids) + self.modality.weight[TEXT]  # (B, T, D)
        if _one_of(pixel_values=pixel_values, image_embeds=image_embeds) is pixel_values:
            image, image_mask = self._embed_pixels(pixel_values, pixel_mask)  # (B, 1 + N, D), (B, 1 + N)
        else:
            assert image_embeds is not None
            image = image_embeds
            image_mask = image.new_ones(image.shape[:2]) if pixel_mask is None else pixel_mask.flatten(1)
        if len(image) != batch:
            raise ValueError(f"{batch} texts and {len(image)} images do not pair up")
        modality = self.modality.weight[IMAGE if image_token_type_idx is None else image_token_type_idx]
        x = torch.cat([text, image + modality], 1)
        mask = torch.cat([attention_mask, image_mask.to(attention_mask)], 1)
        layers = len(self.encoder.blocks)
        heads = [None] * layers if head_mask is None else head_mask.expand(layers, -1)
        layouts = [Dense(mask, factors, bool(output_attentions)) for factors in heads]
        states = self.encoder(x, layouts)
        hidden = self.norm(states[-1])
        out = EncoderOutput(
            hidden,
            self.pooler(hidden[:, 0]) if self.pooler is not None else None,
            tuple(states) if output_hidden_states else None,
            tuple(layout.attentions for layout in layouts) if output_attentions else None,
        )
        return out if return_dict else out.to_tuple()

    def _embed_pixels(self, pixel_values: Tensor, pixel_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> (B, 1 + N, D) and mask (B, 1 + N): [CLS], each image's own patches, then filler.

        With `max_image_length` > 0, of an image with more patches that many are kept: always the same ones.
        """
        patch = self.config.patch_size
        rows, cols = (side // patch for side in pixel_values.shape[-2:])
        if pixel_mask is None:
            pixel_mask = torch.ones_like(pixel_values[:, 0])
        mask = F.interpolate(pixel_mask[:, None].float(), (rows, cols))[:, 0]  # (B, rows, cols), nearest
        grids = [Grid(int(r), int(c)) for r, c in zip(mask[:, :, 0].sum(1), mask[:, 0].sum(1), strict=True)]
        patches = self.image.projection(patchify_pixels(pixel_values, patch).to(self.image.projection.weight))
        images = []
        for own, grid in zip(patches, grids, strict=True):  # own: (rows, cols, D)
            real = own[: grid.rows, : grid.cols].flatten(0, 1) + self.image.positions(grid)
            kept = real[_sample(len(real), self.config.max_image_length).to(real.device)]
            images.append(self.dropout(torch.cat([self.image.first(), kept])))
        lengths = torch.tensor([len(image) for image in images], device=mask.device)
        padded = pad_sequence(images, batch_first=True)
        return padded, (torch.arange(padded.shape[1], device=mask.device) < lengths[:, None]).to(mask.dtype)

    def embed_images(self, pairs: Pairs, projection: PixelProjection) -> Tensor:
        """The images of `pairs` -> (modalities + patches, D): an image [CLS] for each modality from 1 to the highest,
        then every patch with its position and modality."""
        types = pairs.image_types.tolist()
        kinds = list(zip(pairs.grids, types, strict=True))
        tables = {(grid, t): self.image.positions(grid) + self.modality.weight[t] for grid, t in dict.fromkeys(kinds)}
        first = self.image.first() + self.modality.weight[IMAGE : 1 + max(types)]
        patches = projection(as_tensor(pairs.patches).to(self.modality.weight.device))
        return torch.cat([first, patches + torch.cat([tables[kind] for kind in kinds])])

    def embed(self, batch: Packed, images: Tensor) -> Tensor:
        """A packed batch and its embedded images, as `embed_images` gives them -> (T, D), what the encoder reads."""
        return batch.fill(self.text(batch.token_ids, batch.positions) + self.modality.weight[TEXT], images)

    def pooled(self, batch: Packed, images: Tensor) -> Tensor:
        """The same -> (n, D), each pair's pooled [CLS] in packed order. For inference."""
        assert self.pooler is not None
        return self.pooler(self.norm(self.encoder.forward_first(self.embed(batch, images), batch)))

    def text_states(self, batch: Packed, images: Tensor) -> Tensor:
        """The same -> (texts, D), the last hidden state of every text token in packed order."""
        layouts = [batch] * len(self.encoder.blocks)
        return self.norm(self.encoder(self.embed(batch, images), layouts)[-1][batch.text_rows])


def _one_of(**given: Tensor | None) -> Tensor:
    """The one input that is given. Raises ValueError where none is, or both are."""
    present = [value for value in given.values() if value is not None]
    if len(present) != 1:
        raise ValueError(f"{' or '.join(given)}: give one of them, not {'both' if present else 'none'}")
    return present[0]


def _sample(count: int, most: int) -> Tensor:
    """The indices of `count` patches, or of `most` of them by a fixed seed, in order."""
    if not 0 < most < count:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:most].sort().values
