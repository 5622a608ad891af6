"""The time of each group of kernels in a pass, and candidates for each beside one another."""

from __future__ import annotations

from collections import defaultdict
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu import data
from benchmarks.gpu.rates import WAYS, OnDevice
from benchmarks.gpu.report import Report
from benchmarks.gpu.timing import kernel_seconds
from vilt.inference import attention
from vilt.inference.gpu.options import kernels as triton_kernels

GROUPS = {  # by what stands in a kernel's name, the first that fits
    "attention": ("flash", "_attention_kernel", "fmha", "attention"),
    "products with gelu": ("_linear_gelu_kernel",),
    "products": ("gemm", "nvjet", "cutlass", "xmma", "splitk", "matmul"),
    "norms": ("layer_norm", "_norm_kernel", "norm"),
    "gelu": ("gelu",),
    "rounding to float8": ("_round_kernel", "amax", "reduce"),
    "positions": ("upsample",),
    "pixels to bfloat16": ("_centre_kernel",),
    "copies and indexing": ("memcpy", "memset", "copy", "index", "gather", "scatter", "cat", "fill"),
    "other elementwise": ("elementwise", "vectorized"),
}


def group_of(name: str) -> str:
    """Return the group of a kernel."""
    lower = name.lower()
    return next((group for group, parts in GROUPS.items() if any(part in lower for part in parts)), "other")


def profiled(report: Report, way: str) -> None:
    """Print the GPU's time in one pass by kernel group, and the kernels that take most."""
    folder = data.checkpoint("vilt", report.tiny)
    pairs = data.inputs("vilt", 6 if report.tiny else 640, report.tiny)
    precision, switches = WAYS[way]
    engine = data.open_as(folder, report.device, precision, **switches)
    forward = OnDevice(engine, pairs, 512 if report.tiny else 65536)
    for _ in range(2):
        forward()
    gpu = report.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU]) as profiler:
        forward()
        if gpu:
            torch.cuda.synchronize()
    times: dict[str, float] = defaultdict(float)
    names: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        micros = event.self_device_time_total if gpu else event.self_cpu_time_total
        times[group_of(event.key)] += micros
        names[event.key] += micros
    whole = sum(times.values())
    report.table(f"{way}: kernels", "ms", "share")
    for group, micros in sorted(times.items(), key=lambda item: -item[1]):
        if micros:
            report.row(group, f"{micros / 1e3:.2f}", f"{micros / whole:.1%}")
    report.say("")
    for name, micros in sorted(names.items(), key=lambda item: -item[1])[: 3 if report.tiny else 12]:
        report.say(f"- {micros / whole:.1%} `{name[:110]}`")


def candidates(report: Report) -> None:
    """Print the rates of single operations at the size of a pass."""
    device, tokens = report.device, 256 if report.tiny else 65536
    width, wide = (64, 256) if report.tiny else (768, 3072)
    x, residual = (torch.randn(tokens, width, device=device).bfloat16() for _ in range(2))
    hidden = torch.randn(tokens, wide, device=device).bfloat16()
    up, down = (torch.randn(*shape, device=device).bfloat16() / 30 for shape in ((wide, width), (width, wide)))
    square, three = (torch.randn(n * width, width, device=device).bfloat16() / 30 for n in (1, 3))
    bias, narrow, bias3 = (torch.randn(n, device=device).bfloat16() for n in (wide, width, 3 * width))
    weight, shift = torch.randn(width, device=device), torch.randn(width, device=device)
    add = _adder(report)
    products = 2.0 * tokens * width
    with torch.inference_mode():
        report.table(f"operation on {tokens:,} tokens", "µs", "TFLOP/s", "GB/s")
        add("linear to queries, keys, values", lambda: F.linear(x, three, bias3), products * 3 * width)
        add("linear D to D", lambda: F.linear(x, square, narrow), products * width)
        add("linear up", lambda: F.linear(x, up, bias), products * wide)
        add("linear down", lambda: F.linear(hidden, down, narrow), products * wide)
        add("linear down, then add", lambda: residual + F.linear(hidden, down, narrow), products * wide)
        add("addmm_ down onto the residual", lambda: residual.addmm_(hidden, down.t()), products * wide)
        add("gelu", lambda: F.gelu(hidden), bytes_=4.0 * tokens * wide)
        add("gelu in place", lambda: torch.ops.aten.gelu_(hidden), bytes_=4.0 * tokens * wide)
        add("linear up, then gelu", lambda: F.gelu(F.linear(x, up, bias)), products * wide)
        add(
            "linear up with tanh gelu (not exact)",
            lambda: torch._addmm_activation(bias, x, up.t(), use_gelu=True),
            products * wide,
        )
        add("layer norm", lambda: F.layer_norm(x, (width,), narrow, narrow), bytes_=4.0 * tokens * width)
        ours = triton_kernels()
        if ours is None or device.type == "cpu":
            return
        add(
            "ours: layer norm of x + shift",
            lambda: ours.layer_norm(x, shift, weight, shift, 1e-12),
            bytes_=4.0 * tokens * width,
        )
        tiles = [(128, 256, 64, 8, 3, 1), (128, 256, 64, 8, 4, 1), (256, 128, 64, 8, 3, 1)]
        tiles += [(128, 128, 64, warps, 3, 2) for warps in (4, 8)] + [(64, 256, 64, 4, 2, 2), (128, 128, 128, 8, 2, 1)]
        bias32, exact = bias.float(), F.gelu(F.linear(x[:4096].float(), up.float(), bias.float()))
        for tile in tiles:

            def linear_gelu(tile: tuple[int, ...] = tile) -> torch.Tensor:
                return ours.linear_gelu(x, up, bias32, tile)

            far = report.attempt(
                f"linear_gelu {tile}", lambda f=linear_gelu: float((f()[:4096].float() - exact).abs().max())
            )
            if far is not None:
                add(f"ours: linear up with gelu, tiles {tile}, off by {far:.0e}", linear_gelu, products * wide)


def attentions(report: Report) -> None:
    """Print the rates of attention kernels for sequences of about 206 tokens."""
    device, heads, size = report.device, 12, 64
    if device.type == "cpu":
        return
    lengths = data.inputs("vilt", 318, False).lengths
    tokens = int(lengths.sum())
    ends = torch.tensor([0, *lengths.cumsum()], dtype=torch.int32, device=device)
    longest = (int(lengths.max()),) * 2
    qkv = torch.randn(tokens, 3 * heads * size, device=device).bfloat16()
    q, k, v = (part.unflatten(-1, (heads, size)) for part in qkv.chunk(3, -1))
    flops = 4.0 * heads * size * float((lengths.astype(float) ** 2).sum())
    add = _adder(report)
    report.table(f"attention of {len(lengths)} sequences, {tokens:,} tokens", "µs", "TFLOP/s", "GB/s")
    with torch.inference_mode():
        report.attempt(
            "torch varlen",
            lambda: add("torch's packed kernel", lambda: attention.packed(q, k, v, ends, ends, longest), flops),
        )
        for kind in ("FLASH_ATTENTION", "CUDNN_ATTENTION"):
            report.attempt(f"sdpa {kind}", lambda kind=kind: _dense(add, kind, device))
        ours = triton_kernels()
        for blocks in (
            (128, 64, 8, 3),
            (64, 64, 4, 3),
            (64, 64, 4, 2),
            (128, 32, 8, 4),
            (64, 32, 4, 4),
            (64, 32, 4, 3),
            (64, 32, 4, 2),
        ):
            if ours is not None:
                report.attempt(
                    f"attention {blocks}",
                    lambda blocks=blocks: add(
                        f"ours, {blocks}", lambda: ours.attention(q, k, v, ends, ends, longest, blocks), flops
                    ),
                )
        each = torch.arange(len(lengths) + 1, dtype=torch.int32, device=device)
        one = q[ends[:-1].long()]
        add("torch's packed kernel, one query each", lambda: attention.packed(one, k, v, each, ends, (1, longest[0])))


def _dense(add, kind: str, device: torch.device) -> None:  # type: ignore[no-untyped-def]
    from torch.nn.attention import SDPBackend, sdpa_kernel

    q, k, v = (torch.randn(318, 206, 12, 64, device=device).bfloat16().transpose(1, 2) for _ in range(3))
    with sdpa_kernel(getattr(SDPBackend, kind)):
        add(f"318 of 206 tokens, {kind}", lambda: F.scaled_dot_product_attention(q, k, v), 4.0 * 768 * 318 * 206**2)


def float8(report: Report) -> None:
    """Print what products of 8-bit floats take, and rounding for them."""
    from vilt.inference.float8 import can_multiply

    if not can_multiply(report.device):
        return
    report.table(f"float8 on {65536:,} tokens", "µs", "TFLOP/s", "GB/s")
    for inner, outer in ((768, 2304), (768, 3072), (3072, 768)):
        _float8_product(report, 65536, inner, outer)


def _float8_product(report: Report, tokens: int, inner: int, outer: int) -> None:
    """Print the rows of one shape."""
    from vilt.inference.float8 import rounded

    device, add, ours = report.device, _adder(report), triton_kernels()
    x = torch.randn(tokens, inner, device=device).bfloat16()
    weight, scale = rounded(torch.randn(outer, inner, device=device) / 30)
    codes, scales = rounded(x)
    bias = torch.randn(outer, device=device).bfloat16()

    def product(fast: bool = False) -> torch.Tensor:
        return torch._scaled_mm(
            codes, weight.t(), scales, scale.t(), bias, out_dtype=torch.bfloat16, use_fast_accum=fast
        )

    def by_torch() -> tuple[torch.Tensor, torch.Tensor]:
        with patch("vilt.inference.float8.kernels", return_value=None):
            return rounded(x)

    add(f"product {inner} to {outer}", product, 2.0 * tokens * inner * outer)
    add("the same, fast accumulation", lambda: product(True), 2.0 * tokens * inner * outer)
    add(f"rounding {inner}, torch's operations", by_torch, bytes_=3.0 * x.numel())
    if ours is not None:
        different = (ours.round_to_float8(x)[0].float() != by_torch()[0].float()).float().mean()
        name = f"rounding {inner}, ours, {different:.1e} of the codes differ"
        add(name, lambda: ours.round_to_float8(x), bytes_=3.0 * x.numel())


def _adder(report: Report):  # type: ignore[no-untyped-def]
    def add(name: str, run, flops: float = 0.0, bytes_: float = 0.0) -> None:  # type: ignore[no-untyped-def]
        took = kernel_seconds(run, report.device, 0.0 if report.tiny else 0.1)
        rates = [f"{rate / took / unit:,.0f}" if rate else "" for rate, unit in ((flops, 1e12), (bytes_, 1e9))]
        report.row(name, f"{took * 1e6:,.0f}", *rates)

    return add


def run(report: Report) -> None:
    """Do all of it."""
    for part in (candidates, attentions, float8):
        report.attempt(part.__name__, lambda part=part: part(report))
    ways = ["bfloat16, torch's operations", "bfloat16, fused, own attention", "float8"]
    for way in ways[:1] if report.device.type == "cpu" else ways:
        report.attempt(f"profile {way}", lambda way=way: profiled(report, way))
