"""Linear layers with their weight in blocks compute what plain ones do."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vilt.inference.compat import can_pack
from vilt.inference.linear import Linear, PackedLinear, packed, replace

CLOSE = {torch.float32: 1e-5, torch.bfloat16: 0.06}


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("act", [None, "gelu", "gelu_new", "relu", "selu", torch.tanh])
def test_what_follows(dtype: torch.dtype, bias: bool, act: object) -> None:
    torch.manual_seed(0)
    plain, x = Linear(48, 80, bias=bias), torch.randn(7, 48).to(dtype)
    layer = packed(plain.to(dtype))
    assert isinstance(layer, PackedLinear) == can_pack(plain.weight)
    with torch.inference_mode():
        exact = F.linear(x.float(), plain.weight.float(), None if plain.bias is None else plain.bias.float())
        wanted = plain.float()(x.float(), act)
        residual = torch.randn(7, 80).to(dtype)
        for own in (layer, plain.to(dtype)):
            assert own(x, act).dtype == dtype
            assert (own(x, act).float() - wanted).abs().max() < CLOSE[dtype]
            assert (own.add(x, residual).float() - exact - residual.float()).abs().max() < CLOSE[dtype]


def test_only_ours_and_only_where_there_are_kernels() -> None:
    head, double, inner = nn.Linear(4, 4), Linear(4, 4).double(), nn.Sequential(Linear(4, 4))
    module = nn.ModuleList([head, double, inner])
    replace(module, packed)
    assert module[0] is head
    assert module[1] is double
    assert isinstance(inner[0], PackedLinear)
    assert not can_pack(torch.empty(2, 2, device="meta"))
