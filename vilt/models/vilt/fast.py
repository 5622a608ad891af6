"""ViLT for inference: the published model's weights, laid out for packed batches."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vilt.inference.backbone import Backbone
from vilt.inference.embeddings import ImageEmbeddings, TextEmbeddings, table_of
from vilt.inference.packing import Packed, Put, as_tensor
from vilt.inference.pairs import Pairs
from vilt.models.fast_layers import pre_norm_parts
from vilt.models.vilt.modeling import IMAGE, TEXT, ViltModel


class FastVilt(Backbone):
    """ViLT over packed batches, built from a published model."""

    def __init__(self, model: ViltModel) -> None:
        embeddings, config = model.embeddings, model.config
        super().__init__(pre_norm_parts(model.encoder.layer), True, model.layernorm, model.pooler)
        self.text = TextEmbeddings(embeddings.text_embeddings)
        self.image = ImageEmbeddings(
            embeddings.cls_token, embeddings.position_embeddings, config.table_grid, mode="bilinear"
        )
        self.modality = table_of(embeddings.token_type_embeddings)

    def embed_images(self, pairs: Pairs, projection: nn.Module, put: Put = as_tensor) -> Tensor:
        """Return the images of `pairs`, (modalities + patches, D).

        An image [CLS] for each modality from 1 to the highest, then every patch with its position and modality.
        """
        types = pairs.image_types.tolist()
        kinds = list(zip(pairs.grids, types, strict=True))
        tables = {(grid, t): self.image.positions(grid) + self.modality.weight[t] for grid, t in dict.fromkeys(kinds)}
        first = self.image.first() + self.modality.weight[IMAGE : 1 + max(types)]
        patches = projection(put(pairs.patches).to(self.modality.weight.device))
        return torch.cat([first, patches + torch.cat([tables[kind] for kind in kinds])])

    def embed(self, batch: Packed, images: Tensor) -> Tensor:
        """See `Backbone.embed`."""
        return batch.fill(self.text(batch.token_ids, batch.positions) + self.modality.weight[TEXT], images)
