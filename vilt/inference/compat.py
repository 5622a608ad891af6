"""Every private operation of torch that this package calls, each tried once, with a fallback of the same numbers.

Torch promises nothing of these from release to release. Each is tried on a small example when it is first asked for; if
it is missing, or computes something else, plain operations take its place: slower, equal within rounding.
`tests/vilt/inference/test_compat.py` fails when a release drops one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

PACKED_LINEAR = "mkldnn._linear_pointwise"
INT8_LINEAR = "onednn.qlinear_pointwise"
SCALED_MM = "torch._scaled_mm"
CPU_SCALED_MM = "torch._scaled_mm with a scale for each row, on the CPU"
VARLEN = "torch.nn.attention.varlen.varlen_attn"
GELU_IN_PLACE = "aten.gelu_"
FUSED = {"gelu": ("gelu", "none"), "gelu_new": ("gelu", "tanh"), "relu": ("relu", "")}  # as oneDNN's kernels name them
MIDDLE = 128  # the code of 0: oneDNN's fast kernels want inputs without signs


@cache
def available(name: str) -> bool:
    """Return whether an operation is there and computes what it should, tried on a small example."""
    try:
        return TRIALS[name]()
    except (AttributeError, ImportError, NotImplementedError, RuntimeError, TypeError):
        return False


# Linear layers of floats, their weight in oneDNN's blocks


def can_pack(weight: Tensor) -> bool:
    """Return whether oneDNN has kernels for a weight's dtype here."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available() or not available(PACKED_LINEAR):
        return False
    return weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and onednn_has_bfloat16())


def onednn_has_bfloat16() -> bool:
    """Return whether oneDNN computes with bfloat16 on this CPU."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except AttributeError:
        return False


def pack(weight: Tensor, rows: int) -> Tensor:
    """Lay a weight (out, in) out in blocks, for inputs of about `rows` rows; call only where `can_pack`."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    return packed


def packed_linear(x: Tensor, weight: Tensor, bias: Tensor | None, act: str | None = None) -> Tensor:
    """Return act(x W^T + b) of a packed weight; `act` is one of `FUSED` or None."""
    name, algorithm = FUSED[act] if act else ("none", "")
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, name, [], algorithm)
    return out


def packed_linear_add(x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor) -> Tensor:
    """Return residual + x W^T + b of a packed weight."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, weight, bias, "add")
    return out


def _try_packed_linear() -> bool:
    """Compare with plain operations."""
    x, weight, bias = torch.linspace(-1, 1, 24).view(3, 8), torch.linspace(-1, 1, 32).view(4, 8), torch.ones(4)
    packed, plain = pack(weight, 3), F.linear(x, weight, bias)
    fused = torch.allclose(packed_linear(x, packed, bias, "gelu"), F.gelu(plain), atol=1e-5)
    return fused and torch.allclose(packed_linear_add(x, packed, bias, plain), 2 * plain, atol=1e-5)


# Linear layers of 8-bit integers


def pack_int8(codes: Tensor, rows: int) -> Tensor:
    """Lay the codes of a weight out for `int8_linear`.

    Args:
        codes: int8 (out, in).
        rows: Rows of the inputs.
    """
    if available(INT8_LINEAR):
        packed: Tensor = torch.ops.onednn.qlinear_prepack(codes, [rows, codes.shape[1]])
        return packed
    return codes.float()


def int8_linear(codes: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """Multiply integers.

    Args:
        codes: uint8 (rows, in); 128 is 0.
        weight: Of `pack_int8`.
        scale: float32 (out,), of each output.

    Returns:
        float32 (rows, out): the sums of products times the scale.
    """
    if not available(INT8_LINEAR):
        return F.linear(codes.float() - MIDDLE, weight) * scale
    return _qlinear(codes, weight, scale)


def _qlinear(codes: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """Multiply by oneDNN."""
    zero = torch.zeros(len(scale), dtype=torch.int64)
    out: Tensor = torch.ops.onednn.qlinear_pointwise(
        codes, 1.0, MIDDLE, weight, scale, zero, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return out


def _try_int8_linear() -> bool:
    """Compare with sums of floats, which are exact for numbers this small."""
    codes = torch.arange(24, dtype=torch.uint8).view(3, 8) + 110
    weight, scale = torch.arange(-16, 16, dtype=torch.int8).view(4, 8), torch.tensor([1.0, 2.0, 0.5, 1.0])
    packed = torch.ops.onednn.qlinear_prepack(weight, [3, 8])
    return torch.equal(_qlinear(codes, packed, scale), F.linear(codes.float() - MIDDLE, weight.float()) * scale)


# Linear layers of 8-bit floats


def scaled_mm(codes: Tensor, weight: Tensor, scale: Tensor, weight_scale: Tensor, bias: Tensor | None) -> Tensor:
    """Multiply 8-bit floats.

    Args:
        codes: float8 (rows, in).
        weight: float8 (in, out), column by column in memory.
        scale: float32 (rows, 1).
        weight_scale: float32 (1, out).
        bias: bfloat16 (out,), or None.

    Returns:
        bfloat16 (rows, out).
    """
    if available(SCALED_MM) and (codes.is_cuda or available(CPU_SCALED_MM)):
        out: Tensor = torch._scaled_mm(codes, weight, scale, weight_scale, bias, out_dtype=torch.bfloat16)
        return out
    product = (codes.float() @ weight.float()) * scale * weight_scale
    return (product if bias is None else product + bias.float()).bfloat16()


def _try_scaled_mm(scales: int = 1) -> bool:
    """Compare with floats, on the CPU, where older releases know one scale alone."""
    codes = torch.linspace(-2, 2, 16 * 16).view(16, 16).to(torch.float8_e4m3fn)
    ones = torch.ones(scales, 1)
    out = torch._scaled_mm(codes, codes.t(), ones, ones.t(), None, out_dtype=torch.bfloat16)
    return torch.allclose(out.float(), codes.float() @ codes.float().t(), rtol=0.02, atol=0.1)


# Attention of packed sequences


@cache
def varlen_kernel() -> Callable[..., Any] | None:
    """Return torch's kernel for sequences end to end, None before torch 2.10.

    With split keys a pair's sum would depend on its batch, so `num_splits=1` forbids them. torch 2.10 and 2.11 have no
    such argument, and their kernel splits keys only for grouped queries. Importing the kernel takes a second, which
    only those with a GPU need. Without it, sequences of one length are computed together.
    """
    if not available(VARLEN):
        return None
    from torch.nn.attention.varlen import varlen_attn

    return partial(varlen_attn, num_splits=1) if "num_splits" in _arguments(varlen_attn) else varlen_attn


def _try_varlen() -> bool:
    """Look at its first arguments; it runs on GPUs alone."""
    from torch.nn.attention.varlen import varlen_attn

    return _arguments(varlen_attn)[:7] == ["query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k"]


def _arguments(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


# Activations


def gelu_(x: Tensor) -> Tensor:
    """Apply the exact gelu in place, and return x."""
    if available(GELU_IN_PLACE):
        out: Tensor = torch.ops.aten.gelu_(x)
        return out
    return x.copy_(F.gelu(x))


def _try_gelu_in_place() -> bool:
    """Compare with the gelu that makes a new tensor."""
    x = torch.linspace(-3, 3, 7)
    expected = F.gelu(x)
    torch.ops.aten.gelu_(x)
    return torch.allclose(x, expected, atol=1e-6)


# What a CPU can do


@cache
def cpu_features() -> frozenset[str]:
    """Return the names of the CPU's instruction sets that torch knows, "avx2", "avx512_vnni", "amx_int8" and so on."""
    if hasattr(torch.cpu, "get_capabilities"):
        return frozenset(name for name, has in torch.cpu.get_capabilities().items() if has is True)
    older = {"avx2": "_is_avx2_supported", "avx512_vnni": "_is_vnni_supported"}  # torch 2.9
    older |= {"avx512_bf16": "_is_avx512_bf16_supported"}
    return frozenset(name for name, ask in older.items() if getattr(torch.cpu, ask, lambda: False)())


TRIALS: dict[str, Callable[[], bool]] = {
    PACKED_LINEAR: _try_packed_linear,
    INT8_LINEAR: _try_int8_linear,
    SCALED_MM: _try_scaled_mm,
    CPU_SCALED_MM: partial(_try_scaled_mm, 16),
    VARLEN: _try_varlen,
    GELU_IN_PLACE: _try_gelu_in_place,
}
