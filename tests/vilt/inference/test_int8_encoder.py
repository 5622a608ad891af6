"""What rounds where it computes gives what rounding afterwards gives, to the bit; pixels lose nothing."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.gpu.data import TINY
from vilt import ViltConfig, ViltModel, VisualBertConfig, VisualBertModel
from vilt.inference.embeddings import PixelProjection
from vilt.inference.encoder import Encoder
from vilt.inference.int8 import Int8Linear, between, can_multiply, rounded, rows_at_a_time, weight_bits
from vilt.inference.int8_encoder import Int8PixelProjection, RoundingNorm, to_int8
from vilt.inference.linear import replace
from vilt.inference.packing import Sequences
from vilt.models.vilt.fast import FastVilt
from vilt.models.visual_bert.fast import FastVisualBert

pytestmark = pytest.mark.skipif(
    not can_multiply(torch.device("cpu")), reason="this CPU has no products of 8-bit integers"
)


def test_a_norm_that_rounds() -> None:
    torch.manual_seed(0)
    norm, x = nn.LayerNorm(96), torch.randn(rows_at_a_time() + 3, 96)
    with torch.inference_mode():
        got, expected = RoundingNorm(norm)(x), rounded(norm(x))
        assert torch.equal(got.codes, expected.codes)
        assert torch.equal(got.scales, expected.scales)
        layer = Int8Linear(nn.Linear(96, 64))
        assert torch.equal(layer(got), layer(norm(x)))
        chosen = torch.tensor([2, 0])
        assert torch.equal(layer(got[chosen]), layer(norm(x))[chosen])


@pytest.mark.parametrize("act", ["gelu", "gelu_new", "relu6"])
@pytest.mark.parametrize("pre_norm", [True, False])
def test_the_encoder_is_that_of_rounded_layers(act: str, pre_norm: bool) -> None:
    """With norms before the layers, which round, and behind the residuals, which do not."""

    def encoder() -> Encoder:
        torch.manual_seed(0)
        if pre_norm:
            return FastVilt(ViltModel(ViltConfig(**TINY, hidden_act=act)).eval()).encoder.to(between())
        return FastVisualBert(VisualBertModel(VisualBertConfig(**TINY, hidden_act=act)).eval()).encoder.to(between())

    lengths = np.array([7, 9] * (rows_at_a_time() // 16 + 1))
    x = torch.randn(int(lengths.sum()), TINY["hidden_size"]).to(between())
    layout, before = Sequences(lengths, "cpu"), x.clone()
    one_by_one, together = encoder(), encoder()
    replace(one_by_one, Int8Linear)
    to_int8(together)
    with torch.inference_mode():
        assert torch.equal(together(x, layout), one_by_one(x, layout))
        assert torch.equal(together.forward_one(x, layout), one_by_one.forward_one(x, layout))
    assert torch.equal(x, before)


@pytest.mark.parametrize("count", [0, 1, 300])
def test_pixels_are_multiplied_as_they_are(count: int) -> None:
    torch.manual_seed(0)
    exact = PixelProjection(nn.Conv2d(3, 48, 8), [0.4, 0.5, 0.6], [0.2, 0.3, 0.4])
    linear = exact.linear
    largest = linear.weight.abs().amax(1, keepdim=True) / (2 ** (weight_bits() - 1) - 1)
    patches = torch.randint(0, 256, (count, 192), dtype=torch.uint8)
    with torch.inference_mode():
        ours = Int8PixelProjection(exact)
        of_rounded_weights = (patches.double() - 128) @ ((linear.weight / largest).round() * largest).double().T
        expected = of_rounded_weights + linear.bias + linear.weight.double().sum(1) / 2
        got = ours(patches)
    assert (got.shape, got.dtype) == ((count, 48), between())
    assert torch.allclose(got.double(), expected, rtol=2**-8 if between() == torch.bfloat16 else 1e-5, atol=1e-4)
