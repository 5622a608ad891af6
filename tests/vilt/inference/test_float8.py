"""Products of 8-bit floats: near those of the exact weights, whatever a token's neighbours are. On a CPU they run
slowly, but they run."""

import pytest
import torch

from vilt.inference.float8 import Float8Linear, rounded
from vilt.inference.linear import Linear
from vilt.inference.precision import resolve_precision


@pytest.mark.parametrize("shape", [(1,), (33,), (2, 9)])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("act", [None, "gelu"])
def test_near_the_exact_product(shape: tuple[int, ...], size: float, act: str | None) -> None:
    torch.manual_seed(0)
    exact, x = Linear(96, 64), (torch.randn(*shape, 96) * size).bfloat16()
    layer, residual = Float8Linear(exact), torch.randn(*shape, 64).bfloat16()
    with torch.inference_mode():
        wanted, plain, got = exact(x.float(), act), exact(x.float()), layer(x, act)
        assert (got.dtype, got.shape) == (torch.bfloat16, (*shape, 64))
        assert (got.float() - wanted).norm() < 0.05 * plain.norm()
        assert (layer.add(x, residual).float() - residual.float() - plain).norm() < 0.05 * plain.norm() + 0.1
        assert torch.equal(layer(x[-1:], act), got[-1:])


def test_codes_and_scales() -> None:
    x = torch.tensor([[1.0, -3.0, 0.5], [0.0, 0.0, 0.0], [1e30, 1.0, float("nan")]])
    codes, scale = rounded(x)
    assert (codes.dtype, scale.shape) == (torch.float8_e4m3fn, (3, 1))
    assert torch.allclose(codes[:2].float() * scale[:2], x[:2], rtol=2**-4)
    assert (codes[2].float() * scale[2]).isnan().all()


def test_only_where_a_gpu_has_it() -> None:
    with pytest.raises(ValueError, match=r"'float8' needs a GPU of compute capability 8\.9 or later"):
        resolve_precision("float8", torch.device("cpu"))
