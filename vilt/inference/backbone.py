"""The part that the fast models of all families share: the encoder, the norm after it, and the pooler."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

from torch import Tensor, nn

from vilt.inference.encoder import Encoder, LayerParts, fused, norm
from vilt.inference.packing import Packed, Put, as_tensor
from vilt.inference.pairs import Pairs


class FastPooler(nn.Module):
    """The linear map of a published pooler and its activation."""

    def __init__(self, dense: nn.Linear, act: nn.Module) -> None:
        super().__init__()
        self.dense, self.act = fused(dense), deepcopy(act).requires_grad_(False)

    def forward(self, first: Tensor) -> Tensor:
        """(n, D) -> (n, width)."""
        return self.act(self.dense(first))


class Backbone(nn.Module):
    """A published model without its heads, for inference over packed batches; families add embeddings.

    Args:
        layers: The parts of the published layers.
        pre_norm: Whether a block's norms come before its layers.
        last: The norm after the last layer, when there is one.
        pooler: The published pooler, with `dense` and `activation`, when there is one.
    """

    def __init__(
        self, layers: Iterable[LayerParts], pre_norm: bool, last: nn.LayerNorm | None, pooler: nn.Module | None
    ) -> None:
        super().__init__()
        self.encoder = Encoder(layers, pre_norm)
        self.norm: nn.Module = nn.Identity() if last is None else norm(last)
        self.pooler: FastPooler | None = None
        if pooler is not None:
            assert isinstance(pooler.dense, nn.Linear)
            assert isinstance(pooler.activation, nn.Module)
            self.pooler = FastPooler(pooler.dense, pooler.activation)

    def embed_images(self, pairs: Pairs, projection: nn.Module, put: Put = as_tensor) -> Tensor:
        """Return the images of `pairs`, projected as they are stored, as `embed` takes them.

        Args:
            pairs: The pairs.
            projection: Of the rows of images, (n, width) -> (n, D).
            put: Makes a tensor of an array of rows, on the model's device already if that is faster.
        """
        raise NotImplementedError

    def embed(self, batch: Packed, images: Tensor) -> Tensor:
        """Return a packed batch with its embedded images, (T, D): what the encoder reads."""
        raise NotImplementedError

    def one(self, batch: Packed, images: Tensor) -> Tensor:
        """Return the last hidden state of the token that a head is on, (n, D), in packed order."""
        return self.norm(self.encoder.forward_one(self.embed(batch, images), batch))

    def pooled(self, batch: Packed, images: Tensor) -> Tensor:
        """Return each pair's pooled [CLS], (n, width), in packed order."""
        assert self.pooler is not None
        return self.pooler(self.one(batch, images))

    def text_states(self, batch: Packed, images: Tensor) -> Tensor:
        """Return the last hidden state of every text token, (texts, D), in packed order."""
        return self.norm(self.encoder(self.embed(batch, images), batch)[batch.text_rows])
