"""Embedded images: tables of positions that are kept, projections over more rows than there are."""

import pytest
import torch

from benchmarks.gpu import data
from vilt.inference.embeddings import FilledRows, ImageEmbeddings
from vilt.inference.linear import Linear
from vilt.inference.packing import GPU_ROWS


@pytest.mark.parametrize("kind", ["vilt", "vit"])
def test_kept_positions_are_the_same(kind: str) -> None:
    engine = data.open_as(data.checkpoint(kind, True), torch.device("cpu"), "float32")
    image = engine.model.image
    assert isinstance(image, ImageEmbeddings)
    grid = data.inputs(kind, 1, True).grids[0]
    assert image.positions(grid) is image.positions(grid)
    kept = image.positions(grid)
    image.kept = None
    assert torch.equal(image.positions(grid), kept)


@pytest.mark.parametrize("count", [0, 5, GPU_ROWS + 1])
def test_rows_that_are_added_leave_the_others_as_they_are(count: int) -> None:
    projection, rows = Linear(8, 3), torch.randn(count, 8)
    with torch.inference_mode():
        out = FilledRows(projection)(rows)
        assert out.shape == (count, 3)
        assert torch.allclose(out, projection(rows), atol=1e-6)
