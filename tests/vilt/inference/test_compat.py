"""Private operations of torch: all are there in the installed release, and their fallbacks compute the same."""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import vilt
from vilt.inference import compat
from vilt.inference.float8 import Float8Linear
from vilt.inference.int8 import Int8Linear
from vilt.inference.linear import Linear, PackedLinear, packed

VARLEN = "query, key, value, cu_seq_q, cu_seq_k, max_q, max_k"
PRIVATE = re.compile(r"torch\.(_[a-z]\w*|\w+\._[a-z]\w*|ops\.\w+|\w+\.\w+\._[a-z]\w*)")
FILES = sorted(Path(vilt.__file__).parent.rglob("*.py"))


@pytest.fixture
def without(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing private is there."""
    del request
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compat, "available", lambda _: False)
        compat.varlen_kernel.cache_clear()
        yield
    compat.varlen_kernel.cache_clear()


# Releases of torch that are known to have them; the others are in all that are allowed.
SINCE = {compat.CPU_SCALED_MM: (2, 13), compat.VARLEN: (2, 10)}


@pytest.mark.parametrize("name", compat.TRIALS)
def test_the_installed_torch_has_it(name: str) -> None:
    release = tuple(map(int, torch.__version__.split(".")[:2]))
    if release < SINCE.get(name, (0, 0)):
        pytest.skip(f"torch {'.'.join(map(str, SINCE[name]))} has it; before that the fallback computes it")
    if name == compat.PACKED_LINEAR and not torch.backends.mkldnn.is_available():
        pytest.skip("this build of torch has no oneDNN")
    assert compat.available(name), (
        f"torch {torch.__version__} has no {name} that computes as before: vilt takes the slower fallback; "
        "look for what replaces it and mend vilt/inference/compat.py"
    )


def test_an_operation_that_computes_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compat.available.cache_clear()
    monkeypatch.setattr(compat, "packed_linear", lambda x, *_: x.new_zeros(3, 4))
    assert not compat.available(compat.PACKED_LINEAR)
    compat.available.cache_clear()


def test_an_operation_that_is_gone_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compat.available.cache_clear()
    monkeypatch.delattr(torch, "_scaled_mm")
    assert not compat.available(compat.SCALED_MM)
    compat.available.cache_clear()


@pytest.mark.parametrize("file", FILES, ids=str)
def test_no_other_module_calls_private_operations(file: Path) -> None:
    if file.name == "compat.py":
        return
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute):
            assert not PRIVATE.fullmatch(ast.unparse(node)), f"{file.name}:{node.lineno}: {ast.unparse(node)}"


@pytest.mark.usefixtures("without")
def test_packed_layers_fall_back_to_plain_ones() -> None:
    layer = Linear(8, 4)
    assert packed(layer) is layer


def test_packed_layers_compute_what_plain_ones_do() -> None:
    layer, x = Linear(8, 4), torch.randn(3, 8)
    with torch.inference_mode():
        assert isinstance(packed(layer), PackedLinear) == compat.can_pack(layer.weight)
        assert torch.allclose(packed(layer)(x, "gelu"), layer(x, "gelu"), atol=1e-6)


def outputs(kind: type, x: Tensor) -> Tensor:
    torch.manual_seed(0)
    layer = kind(Linear(96, 64))
    with torch.inference_mode():
        return torch.cat([layer(x), layer(x, "gelu"), layer.add(x, x[:, :64])])


@pytest.mark.parametrize("kind", [Int8Linear, Float8Linear])
@pytest.mark.parametrize("rows", [1, 3, 600])
def test_8_bit_layers_compute_the_same_without(kind: type, rows: int, request: pytest.FixtureRequest) -> None:
    x = torch.randn(rows, 96, generator=torch.Generator().manual_seed(1)).bfloat16()
    expected = outputs(kind, x)
    request.getfixturevalue("without")
    got = outputs(kind, x)
    assert got.dtype == torch.bfloat16
    assert torch.allclose(got.float(), expected.float(), rtol=2**-7, atol=1e-3), "within bfloat16's rounding"


@pytest.mark.usefixtures("without")
def test_without_the_packed_kernel_there_is_none() -> None:
    assert compat.varlen_kernel() is None


@pytest.fixture
def fresh() -> Iterator[pytest.MonkeyPatch]:
    """Operations are tried anew, before and after."""
    with pytest.MonkeyPatch.context() as patch:
        compat.available.cache_clear()
        compat.varlen_kernel.cache_clear()
        yield patch
    compat.available.cache_clear()
    compat.varlen_kernel.cache_clear()


def kernel_of(patch: pytest.MonkeyPatch, arguments: str) -> Callable[..., Any]:
    """Let torch's kernel have these arguments; it returns them."""
    kernel: Callable[..., Any] = eval(f"lambda {arguments}: locals()")
    patch.setitem(sys.modules, "torch.nn.attention.varlen", SimpleNamespace(varlen_attn=kernel))
    return kernel


def test_the_packed_kernel_does_not_split_keys(fresh: pytest.MonkeyPatch) -> None:
    kernel_of(fresh, f"{VARLEN}, *, num_splits=None")
    kernel = compat.varlen_kernel()
    assert kernel is not None
    assert kernel(*range(7))["num_splits"] == 1


def test_the_packed_kernel_of_releases_that_never_split_keys(fresh: pytest.MonkeyPatch) -> None:
    kernel = kernel_of(fresh, VARLEN)
    assert compat.varlen_kernel() is kernel


def test_a_packed_kernel_with_other_arguments_is_not_used(fresh: pytest.MonkeyPatch) -> None:
    kernel_of(fresh, "query, key, value, lengths")
    assert compat.varlen_kernel() is None


@pytest.mark.parametrize("missing", [False, True])
def test_gelu_in_place(missing: bool, request: pytest.FixtureRequest) -> None:
    if missing:
        request.getfixturevalue("without")
    x = torch.randn(5, 7)
    expected = F.gelu(x)
    assert compat.gelu_(x) is x
    assert torch.equal(x, expected)


def test_cpu_features_of_newer_and_older_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = compat.cpu_features.__wrapped__
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_int8": False}, raising=False)
    assert ask() == {"avx2"}
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    monkeypatch.setattr(torch.cpu, "_is_avx2_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert ask() == {"avx2", "avx512_bf16"}
