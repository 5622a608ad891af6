"""The encoder that a GPU runs: the published one, or one of those that were built from it to be faster."""

from __future__ import annotations

from torch import nn

from vilt.encoder import Encoder
from vilt.gpu import GpuOptions


def fast_encoder(encoder: Encoder, precision: str, options: GpuOptions) -> nn.Module:
    """Return the encoder that the options ask for; of other precisions than bfloat16 the encoder as it is."""
    if precision != "bfloat16":
        return encoder
    if options.compiled:
        from vilt.compiled_encoder import CompiledEncoder

        return CompiledEncoder(encoder)
    if not options.fused:
        return encoder
    from vilt.fused import FusedEncoder
    from vilt.graphs import GraphedEncoder

    fused = FusedEncoder(encoder, options.attention)
    return GraphedEncoder(fused) if options.graphs else fused
