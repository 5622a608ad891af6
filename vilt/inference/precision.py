"""The precisions of the `Predictor`, and which of them a device computes with natively."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from vilt.inference import float8, int8
from vilt.inference.float8 import Float8Linear
from vilt.inference.int8 import Int8Linear

# what is between the products is computed in
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.bfloat16, "float8": torch.bfloat16}
LINEARS: dict[str, Callable[[nn.Linear], nn.Module]] = {"int8": Int8Linear, "float8": Float8Linear}


def resolve_precision(precision: str, device: torch.device) -> str:
    """ "auto" -> the precision to use on `device`; others are checked."""
    if precision == "int8" and not int8.can_multiply(device):
        raise ValueError("precision 'int8' needs a CPU with AVX-512's VNNI and bfloat16; 'auto' runs anywhere")
    if precision == "float8" and not float8.can_multiply(device):
        raise ValueError("precision 'float8' needs a GPU of compute capability 8.9 or later; 'auto' runs anywhere")
    if precision in PRECISIONS:
        return precision
    if precision != "auto":
        raise ValueError(f"precision {precision!r} is not one of auto, {', '.join(PRECISIONS)}")
    native = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_bfloat16()
    return "bfloat16" if native else "float32"


def _cpu_has_bfloat16() -> bool:
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.9
        return torch.cpu._is_avx512_bf16_supported()
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
