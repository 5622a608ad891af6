"""Embeddings and `ViltModel`: text tokens and image patches, read together by one transformer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vilt.configuration import ViltConfig
from vilt.encoder import Dense, Encoder
from vilt.grids import Grid
from vilt.images import patchify_pixels
from vilt.outputs import EncoderOutput
from vilt.packing import Packed
from vilt.pretrained import PretrainedModel

TEXT, IMAGE = 0, 1  # rows of the modality table


class TextEmbeddings(nn.Module):
    """BERT's: word + token type + position, then a norm."""

    def __init__(self, config: ViltConfig) -> None:
        super().__init__()
        self.word = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, ids: Tensor, positions: Tensor, token_types: Tensor | None = None) -> Tensor:
        """int64 (...,) each -> (..., D). Token types are 0 where not given."""
        types = self.token_type.weight[0] if token_types is None else self.token_type(token_types)
        return self.norm(self.word(ids) + types + self.position(positions))


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

    def all_positions(self, grids: Sequence[Grid]) -> Tensor:
        """(patches of all grids, D); each distinct grid is resized once."""
        resized = {grid: self.positions(grid) for grid in dict.fromkeys(grids)}
        return torch.cat([resized[grid] for grid in grids])

    def first(self) -> Tensor:
        """(1, D): the image [CLS] with its position; the same for every image."""
        return (self.cls + self.cls_position)[None]


class PixelProjection(nn.Module):
    """The patch projection for raw uint8 pixels: rescaling and normalisation folded into its weights.

    ((x * rescale - mean) / std) W + b = (x - 127.5) W' + b'. Shifting by 127.5 keeps every pixel exact in bfloat16,
    and the folded weights as small as the trained ones.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self, projection: nn.Linear, mean: Sequence[float], std: Sequence[float], rescale: float = 1 / 255
    ) -> None:
        super().__init__()
        weight = projection.weight  # (D, pixels * channels), channels last
        repeat = weight.shape[1] // len(mean)
        scale = weight.new_tensor([rescale / s for s in std]).repeat(repeat)  # (pixels * channels,)
        shift = weight.new_tensor([(127.5 * rescale - m) / s for m, s in zip(mean, std, strict=True)]).repeat(repeat)
        self.register_buffer("weight", weight * scale, persistent=False)
        self.register_buffer("bias", projection.bias + weight @ shift, persistent=False)

    def forward(self, patches: Tensor) -> Tensor:
        """uint8 (P, 3 * patch_size ** 2) -> (P, D)."""
        return F.linear(patches.to(self.weight.dtype) - 127.5, self.weight, self.bias)


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

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config)
        self.text = TextEmbeddings(config)
        self.image = ImageEmbeddings(config)
        self.modality = nn.Embedding(config.modality_type_vocab_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.encoder = Encoder(config)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.pooler = Pooler(config)

    def parts(self) -> tuple[ViltModel, dict[str, nn.Module]]:
        """The model itself, without heads."""
        return self, {}

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        pixel_mask: Tensor | None = None,
    ) -> EncoderOutput:
        """Padded texts and images -> hidden states.

        input_ids, attention_mask, token_type_ids: int64 (B, T). pixel_values: float (B, 3, H, W), normalised.
        pixel_mask: (B, H, W), 1 where a pixel is real, one rectangle from the top left corner.
        """
        if pixel_values is None:
            raise ValueError("pixel_values is missing: ViLT reads an image with every text")
        if input_ids.shape[1] > self.config.max_position_embeddings:
            raise ValueError(
                f"input_ids has {input_ids.shape[1]} tokens; the model reads at most "
                f"{self.config.max_position_embeddings}: truncate the text"
            )
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        positions = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
        text = self.text(input_ids, positions, token_type_ids) + self.modality.weight[TEXT]  # (B, T, D)
        image, image_mask = self._embed_pixels(pixel_values, pixel_mask)  # (B, 1 + N, D), (B, 1 + N)
        x = torch.cat([text, self.dropout(image) + self.modality.weight[IMAGE]], 1)
        mask = torch.cat([attention_mask, image_mask.to(attention_mask)], 1)
        hidden = self.norm(self.encoder(x, Dense(mask)))
        return EncoderOutput(hidden, self.pooler(hidden[:, 0]))

    def _embed_pixels(self, pixel_values: Tensor, pixel_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> (B, 1 + N, D) and mask (B, 1 + N): [CLS], each image's own patches, then filler."""
        patch = self.config.patch_size
        rows, cols = (side // patch for side in pixel_values.shape[-2:])
        if pixel_mask is None:
            pixel_mask = torch.ones_like(pixel_values[:, 0])
        mask = F.interpolate(pixel_mask[:, None].float(), (rows, cols))[:, 0]  # (B, rows, cols), nearest
        grids = [Grid(int(r), int(c)) for r, c in zip(mask[:, :, 0].sum(1), mask[:, 0].sum(1), strict=True)]
        patches = self.image.projection(patchify_pixels(pixel_values, patch).to(self.image.projection.weight))
        longest = max(grid.patches for grid in grids)
        images, masks = [], []
        for own, grid in zip(patches, grids, strict=True):  # own: (rows, cols, D)
            real = own[: grid.rows, : grid.cols].flatten(0, 1) + self.image.positions(grid)
            filler = (0, 0, 0, longest - grid.patches)
            images.append(F.pad(torch.cat([self.image.first(), real]), filler))
            masks.append(F.pad(mask.new_ones(1 + grid.patches), filler[2:]))
        return torch.stack(images), torch.stack(masks)

    def embed_images(self, patches: Tensor, grids: Sequence[Grid], projection: PixelProjection) -> Tensor:
        """uint8 (P, 3 * patch_size ** 2) -> (1 + P, D): the image [CLS], then every patch with its position."""
        rows = torch.cat([self.image.first(), projection(patches) + self.image.all_positions(grids)])
        return rows + self.modality.weight[IMAGE]

    def embed(self, batch: Packed, images: Tensor) -> Tensor:
        """A packed batch and its embedded images, as `embed_images` gives them -> (T, D), what the encoder reads."""
        return batch.fill(self.text(batch.token_ids, batch.positions) + self.modality.weight[TEXT], images)

    def pooled(self, batch: Packed, images: Tensor) -> Tensor:
        """The same -> (n, D), each pair's pooled [CLS] in packed order. For inference."""
        return self.pooler(self.norm(self.encoder.forward_first(self.embed(batch, images), batch)))
