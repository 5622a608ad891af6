"""What stands before the encoder: tokens of texts and patches of images -> vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vilt.configuration import PatchConfig, ViltConfig, VisualBertConfig
from vilt.gpu import kernels
from vilt.grids import Grid
from vilt.images import patchify_pixels
from vilt.linear import Linear
from vilt.packing import GPU_ROWS

CPU_ROWS = 1024  # patches that are projected together on a CPU, whose caches hold their pixels as floats


class TextEmbeddings(nn.Module):
    """BERT's: word + token type + position, then a norm. padding: the id of the word that learns nothing."""

    def __init__(self, config: ViltConfig | VisualBertConfig, padding: int | None = None) -> None:
        super().__init__()
        self.word = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=padding)
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
    """A linear map of each patch, an image [CLS], and a position table resized to the image's grid.

    resize: how, as `F.interpolate` takes it.
    """

    def __init__(self, config: PatchConfig, **resize: Any) -> None:
        super().__init__()
        self.resize = resize
        side = config.patches_per_side
        self.projection = nn.Linear(config.num_channels * config.patch_size**2, config.hidden_size)
        self.cls = nn.Parameter(torch.zeros(config.hidden_size))
        self.cls_position = nn.Parameter(torch.zeros(config.hidden_size))
        self.position = nn.Parameter(torch.zeros(side, side, config.hidden_size))
        self.kept: dict[Grid, Tensor] | None = None

    def keep_positions(self) -> None:
        """Keep each table that is resized from now on: for inference, where weights and device change no more."""
        self.kept = {}

    def positions(self, grid: Grid) -> Tensor:
        """(rows * cols, D): the table resized to `grid`."""
        if self.kept is None:
            return self._resized(grid)
        if grid not in self.kept:
            self.kept[grid] = self._resized(grid)
        return self.kept[grid]

    def _resized(self, grid: Grid) -> Tensor:
        table = self.position.permute(2, 0, 1)[None]  # (1, D, side, side)
        return F.interpolate(table, tuple(grid), **self.resize)[0].flatten(1).T

    def patches(self, pixel_values: Tensor, patch_size: int) -> Tensor:
        """(B, C, H, W) -> (B, rows, cols, D), without positions."""
        return self.projection(patchify_pixels(pixel_values, patch_size).to(self.projection.weight))

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
        if patches.is_cuda:
            ours, dtype = kernels(), self.linear.bias.dtype
            return self.linear(ours.centre(patches, dtype) if ours else patches.to(dtype).sub_(127.5))
        rows = CPU_ROWS
        return torch.cat([self.linear(part.to(self.linear.bias.dtype).sub_(127.5)) for part in patches.split(rows)])


class FilledRows(nn.Module):
    """A projection for a GPU, of at least `GPU_ROWS` rows: for fewer, kernels sum in another order."""

    def __init__(self, projection: nn.Module) -> None:
        super().__init__()
        self.projection = projection

    def forward(self, rows: Tensor) -> Tensor:
        """(n, width) -> (n, D)."""
        missing = GPU_ROWS - len(rows)
        filled = F.pad(rows, (0, 0, 0, missing)) if missing > 0 else rows
        return self.projection(filled)[: len(rows)]
