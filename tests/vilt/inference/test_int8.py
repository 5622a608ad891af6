"""Products of 8-bit integers: near those of the exact weights, whatever a token's neighbours are."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vilt.models.test_predictor import pairs
from vilt import Predictor
from vilt.inference.compat import cpu_features
from vilt.inference.int8 import ROWS, Int8Linear, between, can_multiply, weight_bits
from vilt.inference.linear import Linear
from vilt.inference.precision import resolve_precision

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(not can_multiply(CPU), reason="this CPU has no products of 8-bit integers")


@settings(deadline=None, max_examples=30)  # the first call compiles
@given(
    st.sampled_from([1, 5, ROWS - 1, ROWS, ROWS + 3]),
    st.booleans(),
    st.sampled_from([None, "gelu", "gelu_new", "relu"]),
    st.sampled_from([1e-3, 1.0, 50.0]),
)
def test_near_the_exact_product(rows: int, bias: bool, act: str | None, size: float) -> None:
    torch.manual_seed(rows)
    exact, x = Linear(96, 64, bias=bias), (torch.randn(rows, 96) * size).to(between())
    layer, residual = Int8Linear(exact), torch.randn(rows, 64).to(between())
    with torch.inference_mode():
        wanted, got = exact(x.float(), act), layer(x, act)
        assert (got.dtype, got.shape) == (between(), (rows, 64))
        close = 0.02 * 2 ** (8 - weight_bits()) * exact(x.float()).norm()
        assert (got.float() - wanted).norm() < close
        assert (layer.add(x, residual).float() - residual.float() - exact(x.float())).norm() < close + 0.01 * rows**0.5
        alone = torch.cat([layer(row[None]) for row in x[-3:]])
        assert torch.equal(alone, layer(x)[-3:]), "of the tokens of a call none knows the others"


def test_gelu_is_exact_between_the_products() -> None:
    identity = Linear(1, 2001, bias=True)
    identity.weight.data.zero_()
    identity.bias.data.copy_(torch.linspace(-6, 6, 2001))
    with torch.inference_mode():
        got = Int8Linear(identity)(torch.zeros(1, 1, dtype=between()), "gelu")[0].double()
    wanted = F.gelu(identity.bias.double())
    assert ((got - wanted).abs() <= wanted.abs() * 2**-8 + 1e-6).all()


def test_zeros_and_what_is_not_finite() -> None:
    layer, x = Int8Linear(Linear(8, 4)), torch.zeros(3, 8, dtype=between())
    x[1, 2] = float("nan")
    with torch.inference_mode():
        got = layer(x)
    assert torch.equal(got[0], got[2])
    assert torch.equal(got[0].float(), torch.from_numpy(layer.bias).to(between()).float())
    assert got[1].isnan().all()


def test_the_shipped_model_agrees_and_batch_mates_do_not_matter() -> None:
    images, texts = pairs(12)
    exact, short = (Predictor.from_pretrained("zoo://scenes", precision=p) for p in ("float32", "int8"))
    scores = short.score(images, texts)
    assert np.corrcoef(exact.score(images, texts), scores)[0, 1] > 0.999
    alone = np.concatenate([short.score(image, text) for image, text in zip(images, texts, strict=True)])
    assert np.abs(alone - scores).max() < 1e-5


def test_only_where_a_cpu_has_it() -> None:
    with pytest.raises(ValueError, match=r"'int8' needs a CPU on which .* multiplies 8-bit .* 'auto' runs anywhere"):
        resolve_precision("int8", torch.device("cuda"))


OF_A_CPU = """
import numpy as np, torch
from vilt import Predictor
from vilt.inference.int8 import Int8Linear, between, weight_bits
from vilt.inference.linear import Linear
assert between() == torch.float32
torch.manual_seed(0)
layer, x = Linear(768, 64), torch.randn(600, 768)
layer.weight.data[0], x[0] = 1.0, torch.full((768,), 3.0)  # the largest products, which would overflow
with torch.inference_mode():
    got, exact = Int8Linear(layer)(x), layer(x)
    assert abs(got[0, 0] / exact[0, 0] - 1) < 1e-4
    assert (got - exact).norm() < 0.02 * exact.norm()
    assert torch.equal(Int8Linear(layer)(x[5:6]), got[5:6])
images = list(np.random.default_rng(0).integers(0, 256, (6, 128, 160, 3), dtype=np.uint8))
texts = [f"a red circle and {one}" for one in ("a cat", "nothing", "two", "a blue square", "", "a green star")]
scores = [Predictor.from_pretrained("zoo://scenes", precision=p).score(images, texts) for p in ("float32", "int8")]
assert np.corrcoef(scores)[0, 1] > 0.999, scores
print(weight_bits())
"""


@pytest.mark.parametrize(("limit", "needs", "bits"), [("AVX2", "avx2", "7"), ("AVX2_VNNI", "avx_vnni", "8")])
def test_cpus_without_avx512(limit: str, needs: str, bits: str) -> None:
    """In a process of its own, whose oneDNN may use no more."""
    if needs not in cpu_features():
        pytest.skip(f"this CPU has no {needs}")
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": limit, "ATEN_CPU_CAPABILITY": "avx2"}
    done = subprocess.run(
        [sys.executable, "-c", OF_A_CPU], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [bits]
