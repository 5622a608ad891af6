"""The precisions of the `Predictor`, and which of them a device computes with natively."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache

import torch
from torch import nn

from vilt.inference import compat, float8, int8
from vilt.inference.float8 import Float8Linear
from vilt.inference.int8 import Int8Linear

logger = logging.getLogger(__name__)
# What is between the products is computed in
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.bfloat16, "float8": torch.bfloat16}
LINEARS: dict[str, Callable[[nn.Linear], nn.Module]] = {"int8": Int8Linear, "float8": Float8Linear}


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return the precision to use on a device.

    Args:
        precision: "auto", or one of `PRECISIONS`, which is checked. bfloat16 on a CPU that emulates it is allowed, and
            logged as slow.
        device: Where the model runs.

    Raises:
        ValueError: The precision is not known, or the device does not compute with it.
    """
    if precision == "int8" and not int8.can_multiply(device):
        raise ValueError("precision 'int8' needs a CPU with AVX-512's VNNI and bfloat16; 'auto' runs anywhere")
    if precision == "float8" and not float8.can_multiply(device):
        raise ValueError("precision 'float8' needs a GPU of compute capability 8.9 or later; 'auto' runs anywhere")
    if precision not in (*PRECISIONS, "auto"):
        raise ValueError(f"precision {precision!r} is not one of auto, {', '.join(PRECISIONS)}")
    if precision == "bfloat16" and not has_bfloat16(device):
        _say_that_it_is_emulated(device.type)
    if precision != "auto":
        return precision
    return "bfloat16" if has_bfloat16(device) else "float32"


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device computes with bfloat16 natively."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool({"avx512_bf16", "amx_bf16"} & compat.cpu_features())


@cache
def _say_that_it_is_emulated(device: str) -> None:
    """Log, once a process, that a precision costs speed instead of saving time."""
    logger.warning(
        "precision 'bfloat16' is emulated on this %s, at about a quarter of the speed of 'float32'; "
        "'auto' takes 'float32' here",
        "CPU" if device == "cpu" else "GPU",
    )
