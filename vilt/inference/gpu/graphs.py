"""The encoder as CUDA graphs: hundreds of kernels in one launch, for batches too small to hide their launches.

A graph replays fixed addresses and shapes. Batches are filled up to bounded shapes: tokens that belong to no pair, and
pairs without tokens. The number of graphs is bounded; batches of further shapes run without one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vilt.inference.gpu.fused import FusedEncoder, PackedLayout
from vilt.inference.packing import Sequences

TOKEN_STEPS = (2048, 4096, 8192, 16384, 32768, 65536)  # tokens of a graph
PAIR_STEP = 64  # pairs of a graph are a multiple
LONGEST_STEP = 64  # and so is what it takes for the longest pair
MOST_GRAPHS = 16
WARM_UPS = 2  # runs before capture, which compile kernels and make handles


class StaticSequences(Sequences):
    """A layout whose tensors stay where they are; see `Sequences`."""

    def __init__(self, pairs: int, longest: int, device: torch.device) -> None:
        self.ends = torch.zeros(pairs + 1, dtype=torch.int32, device=device)
        self.reads = self.starts = torch.zeros(pairs, dtype=torch.int64, device=device)
        self.longest, self.runs = longest, []

    def load(self, layout: Sequences) -> None:
        """Copy a layout of as many pairs or fewer; pairs beyond its number get no tokens."""
        count = len(layout.reads)
        self.ends[: count + 1].copy_(layout.ends)
        self.ends[count + 1 :] = layout.ends[-1]
        self.reads[:count].copy_(layout.reads)
        self.reads[count:] = 0


class Graph:
    """One captured run of `FusedEncoder.forward_one`."""

    def __init__(self, encoder: FusedEncoder, x: Tensor, layout: Sequences, shape: tuple[int, int, int]) -> None:
        tokens, pairs, longest = shape
        self.x = x.new_zeros(tokens, x.shape[1])
        self.layout = StaticSequences(pairs, longest, x.device)
        self.load(x, layout)
        stream = torch.cuda.Stream(x.device)
        stream.wait_stream(torch.cuda.current_stream(x.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                encoder.forward_one(self.x.clone(), self.layout)
        torch.cuda.current_stream(x.device).wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.out = encoder.forward_one(self.x.clone(), self.layout)  # (pairs, D)

    def load(self, x: Tensor, layout: Sequences) -> None:
        """Copy a batch to the tensors that the graph reads."""
        self.x[: len(x)].copy_(x)
        self.layout.load(layout)

    def run(self, x: Tensor, layout: Sequences) -> Tensor:
        """(T, D) -> (n, D)."""
        self.load(x, layout)
        self.graph.replay()
        return self.out[: len(layout.reads)].clone()


class GraphedEncoder(nn.Module):
    """`FusedEncoder` whose `forward_one` replays a graph when one fits."""

    def __init__(self, encoder: FusedEncoder) -> None:
        super().__init__()
        self.encoder, self.blocks = encoder, encoder.blocks
        self.graphs: dict[tuple[int, int, int], Graph] = {}
        self.eval()

    def forward(self, x: Tensor, layout: PackedLayout) -> Tensor:
        """See `FusedEncoder.forward`."""
        return self.encoder(x, layout)

    def forward_one(self, x: Tensor, layout: Sequences) -> Tensor:
        """See `FusedEncoder.forward_one`."""
        shape = graph_shape(len(x), len(layout.reads), layout.longest)
        if shape is None or (shape not in self.graphs and len(self.graphs) >= MOST_GRAPHS):
            return self.encoder.forward_one(x, layout)
        if shape not in self.graphs:
            self.graphs[shape] = Graph(self.encoder, x, layout, shape)
        return self.graphs[shape].run(x, layout)


def graph_shape(tokens: int, pairs: int, longest: int) -> tuple[int, int, int] | None:
    """Return the smallest bounded shape that holds a batch, or None when it is too large for any."""
    fitting = next((step for step in TOKEN_STEPS if step >= tokens), None)
    if fitting is None:
        return None
    return fitting, -(-pairs // PAIR_STEP) * PAIR_STEP, -(-longest // LONGEST_STEP) * LONGEST_STEP
