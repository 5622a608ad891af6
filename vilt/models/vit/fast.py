"""ViT for inference: the published model's weights, laid out for packed batches."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vilt.inference.backbone import Backbone
from vilt.inference.embeddings import ImageEmbeddings
from vilt.inference.packing import Packed, Put, as_tensor
from vilt.inference.pairs import Pairs
from vilt.models.fast_layers import pre_norm_parts
from vilt.models.vit.modeling import ViTModel


class FastViT(Backbone):
    """ViT over packed batches, built from a published model."""

    def __init__(self, model: ViTModel) -> None:
        embeddings, config = model.embeddings, model.config
        super().__init__(pre_norm_parts(model.encoder.layer), True, model.layernorm, model.pooler)
        self.image = ImageEmbeddings(
            embeddings.cls_token, embeddings.position_embeddings, config.table_grid, mode="bicubic"
        )

    def embed_images(self, pairs: Pairs, projection: nn.Module, put: Put = as_tensor) -> Tensor:
        """Return the images of `pairs`, (1 + patches, D).

        [CLS], which all images share, then every patch with its position; positions are resized to an image's grid
        unless it is the table's.
        """
        tables = {grid: self.image.positions(grid) for grid in dict.fromkeys(pairs.grids)}
        patches = projection(put(pairs.patches).to(self.image.cls.device))
        return torch.cat([self.image.first(), patches + torch.cat([tables[grid] for grid in pairs.grids])])

    def embed(self, batch: Packed, images: Tensor) -> Tensor:
        """See `Backbone.embed`; no text has a token."""
        return batch.fill(images[:0], images)
