"""Embeddings before the encoder: tokens of texts and patches of images -> vectors; copies of a published model's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vilt.inference.encoder import fused, norm
from vilt.inference.gpu.options import kernels
from vilt.inference.linear import Linear
from vilt.inference.packing import GPU_ROWS
from vilt.processing.grids import Grid

CPU_ROWS = 1024  # patches that are projected together on a CPU, whose caches hold their pixels as floats


class TextEmbeddings(nn.Module):
    """Word + position + token type, then a norm.

    Args:
        published: A module that has BERT's four by their published names.
    """

    def __init__(self, published: Any) -> None:
        super().__init__()
        self.word = table_of(published.word_embeddings)
        self.position = table_of(published.position_embeddings)
        self.token_type = table_of(published.token_type_embeddings)
        self.norm = norm(published.LayerNorm)

    def forward(self, words: Tensor, positions: Tensor) -> Tensor:
        """Ids and places in their texts, int64 (T,) -> (T, D); token types are 0."""
        return self.norm(self.word(words) + self.token_type.weight[0] + self.position(positions))


class ImageEmbeddings(nn.Module):
    """An image [CLS], and a position table resized to the image's grid.

    Args:
        cls_token: (1, 1, D).
        position_embeddings: (1, 1 + rows * cols, D), that of [CLS] first.
        grid: The table's rows and columns.
        mode: How the table is resized: "bilinear", to the corners, or "bicubic".
    """

    def __init__(self, cls_token: Tensor, position_embeddings: Tensor, grid: tuple[int, int], mode: str) -> None:
        super().__init__()
        self.mode = mode
        first = cls_token[0, 0] + position_embeddings[0, 0]
        self.cls = nn.Parameter(first.detach().clone(), requires_grad=False)  # with its position
        table = position_embeddings[0, 1:].detach().clone().unflatten(0, grid)  # (rows, cols, D)
        self.position = nn.Parameter(table, requires_grad=False)
        self.kept: dict[Grid, Tensor] | None = None

    def keep_positions(self) -> None:
        """Keep resized tables from now on; call it once weights and device change no more."""
        self.kept = {}

    def positions(self, grid: Grid) -> Tensor:
        """(rows * cols, D): the table resized to `grid`."""
        if self.kept is None:
            return self._resized(grid)
        if grid not in self.kept:
            self.kept[grid] = self._resized(grid)
        return self.kept[grid]

    def _resized(self, grid: Grid) -> Tensor:
        table = self.position.permute(2, 0, 1)[None]  # (1, D, rows, cols)
        return F.interpolate(table, tuple(grid), mode=self.mode, align_corners=self.mode == "bilinear")[0].flatten(1).T

    def first(self) -> Tensor:
        """(1, D): the image [CLS] with its position; the same for every image."""
        return self.cls[None]


class PixelProjection(nn.Module):
    """The patch projection for raw uint8 pixels: rescaling and normalisation folded into its weights.

    ((x * rescale - mean) / std) W + b = (x - 127.5) W' + b'. Shifting by 127.5 keeps every pixel exact in bfloat16,
    and the folded weights as small as the trained ones.

    Args:
        projection: The published convolution, (D, channels, patch, patch).
        mean: Of each channel.
        std: Of each channel.
        rescale: The factor before mean and deviation.
    """

    def __init__(
        self, projection: nn.Conv2d, mean: Sequence[float], std: Sequence[float], rescale: float = 1 / 255
    ) -> None:
        super().__init__()
        weight = projection.weight.detach().permute(0, 2, 3, 1).flatten(1)  # (D, pixels * channels), channels last
        repeat = weight.shape[1] // len(mean)
        scale = weight.new_tensor([rescale / s for s in std]).repeat(repeat)  # (pixels * channels,)
        shift = weight.new_tensor([(127.5 * rescale - m) / s for m, s in zip(mean, std, strict=True)]).repeat(repeat)
        bias = weight @ shift if projection.bias is None else projection.bias.detach() + weight @ shift
        self.linear = Linear(*weight.T.shape).requires_grad_(False)
        self.linear.weight.copy_(weight * scale)
        self.linear.bias.copy_(bias)

    def forward(self, patches: Tensor) -> Tensor:
        """Uint8 (P, channels * patch_size ** 2) -> (P, D)."""
        dtype = self.linear.bias.dtype
        if patches.is_cuda:
            ours = kernels()
            return self.linear(ours.centre(patches, dtype) if ours else patches.to(dtype).sub_(127.5))
        return torch.cat([self.linear(part.to(dtype).sub_(127.5)) for part in patches.split(CPU_ROWS)])


class RegionProjection(nn.Module):
    """The linear map of regions' features."""

    def __init__(self, projection: nn.Linear) -> None:
        super().__init__()
        self.linear = fused(projection)

    def forward(self, features: Tensor) -> Tensor:
        """(n, width) -> (n, D)."""
        return self.linear(features)


class FilledRows(nn.Module):
    """A projection for a GPU, over at least `GPU_ROWS` rows: for fewer, kernels sum in another order."""

    def __init__(self, projection: nn.Module) -> None:
        super().__init__()
        self.projection = projection

    def forward(self, rows: Tensor) -> Tensor:
        """(n, width) -> (n, D)."""
        missing = GPU_ROWS - len(rows)
        filled = F.pad(rows, (0, 0, 0, missing)) if missing > 0 else rows
        return self.projection(filled)[: len(rows)]


def table_of(embedding: nn.Embedding) -> nn.Embedding:
    """Return a copy of a table of embeddings for inference."""
    return nn.Embedding.from_pretrained(embedding.weight.detach().clone())
