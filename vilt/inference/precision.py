"""The precisions of the `Predictor`, and which of them a device computes with natively."""

from __future__ import annotations

import logging
from functools import cache

import torch
from torch import nn

from vilt.inference import bfloat16, float8, int8
from vilt.inference.embeddings import PixelProjection
from vilt.inference.encoder import Encoder
from vilt.inference.float8 import Float8Linear
from vilt.inference.int8_encoder import Int8PixelProjection, to_int8
from vilt.inference.linear import replace

logger = logging.getLogger(__name__)
PRECISIONS = ("float32", "bfloat16", "int8", "float8")


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return the precision to use on a device.

    Args:
        precision: "auto", or one of `PRECISIONS`, which is checked. bfloat16 on a CPU that emulates it, or is slow in
            it, is allowed, and logged.
        device: Where the model runs.

    Raises:
        ValueError: The precision is not known, or the device does not compute with it.
    """
    if precision == "int8" and not int8.can_multiply(device):
        raise ValueError(
            "precision 'int8' needs a CPU on which oneDNN multiplies 8-bit integers exactly: x86 with AVX2 or later; "
            "'auto' runs anywhere"
        )
    if precision == "float8" and not float8.can_multiply(device):
        raise ValueError("precision 'float8' needs a GPU of compute capability 8.9 or later; 'auto' runs anywhere")
    if precision not in (*PRECISIONS, "auto"):
        raise ValueError(f"precision {precision!r} is not one of auto, {', '.join(PRECISIONS)}")
    if precision == "bfloat16" and not bfloat16.is_native(device):
        _say_that_it_is_emulated(device.type)
    elif precision == "bfloat16" and not bfloat16.is_fast(device):
        _say_that_it_is_slow()
    elif precision == "int8" and int8.weight_bits() == 7:
        _say_that_weights_have_7_bits()
    if precision != "auto":
        return precision
    return "bfloat16" if bfloat16.is_fast(device) else "float32"


def dtype_of(precision: str) -> torch.dtype:
    """Return the dtype of what is between the products, in one of `PRECISIONS`."""
    if precision == "int8":
        return int8.between()
    return torch.float32 if precision == "float32" else torch.bfloat16


def round_weights(precision: str, encoder: Encoder, projection: nn.Module) -> nn.Module:
    """Replace the layers of an encoder, in place, when a precision has 8 bits.

    Returns:
        The projection of images for that precision. In float8 it stays as it is: bfloat16 holds pixels exactly.
    """
    if precision == "float8":
        replace(encoder, Float8Linear)
    elif precision == "int8":
        to_int8(encoder)
        return Int8PixelProjection(projection) if isinstance(projection, PixelProjection) else projection
    return projection


def shown(precision: str) -> str:
    """Return a precision as results name it: with the bits of weights that have 7."""
    return f"int8 of {int8.weight_bits()}-bit weights" if precision == "int8" and int8.weight_bits() < 8 else precision


@cache
def _say_that_it_is_emulated(device: str) -> None:
    """Log, once a process, that a precision costs speed instead of saving time."""
    logger.warning(
        "precision 'bfloat16' is emulated on this %s, at about a quarter of the speed of 'float32'; "
        "'auto' takes 'float32' here",
        "CPU" if device == "cpu" else "GPU",
    )


@cache
def _say_that_it_is_slow() -> None:
    """Log, once a process, that native instructions are hardly faster than those of float32, or slower."""
    logger.warning(
        "precision 'bfloat16' is not clearly faster than 'float32' on this CPU, as measured: 'auto' takes 'float32'"
    )


@cache
def _say_that_weights_have_7_bits() -> None:
    """Log, once a process, that a CPU without VNNI needs smaller weights."""
    logger.warning(
        "precision 'int8': this CPU has no VNNI, with which sums of 8-bit products are exact; weights have 7 bits here"
    )
