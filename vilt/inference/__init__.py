"""The fast path: packed batches, fused layers, precisions."""
