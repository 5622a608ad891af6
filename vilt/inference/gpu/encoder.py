"""The choice of the encoder that a GPU runs."""

from __future__ import annotations

from torch import nn

from vilt.inference.encoder import Encoder
from vilt.inference.gpu.options import GpuOptions


def gpu_encoder(encoder: Encoder, precision: str, options: GpuOptions) -> nn.Module:
    """Return the encoder that the options ask for.

    Args:
        encoder: The encoder of all devices.
        precision: Options apply to "bfloat16"; in other precisions the encoder is returned as it is.
        options: Which encoder to build from it.
    """
    if precision != "bfloat16":
        return encoder
    if options.compiled:
        from vilt.inference.gpu.compiled import CompiledEncoder

        return CompiledEncoder(encoder)
    if not options.fused:
        return encoder
    from vilt.inference.gpu.fused import FusedEncoder
    from vilt.inference.gpu.graphs import GraphedEncoder

    fused = FusedEncoder(encoder, options.attention)
    return GraphedEncoder(fused) if options.graphs else fused
