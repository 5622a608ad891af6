"""Machine code of `vilt.processing.resample`, made for the CPU that runs it.

Written in LLVM's terms, since no loop over numpy arrays becomes the few instructions that it takes: a weight of 22
bits is kept as two numbers of 16 bits, `high * 256 + low`, and one instruction multiplies pairs of those and adds them
up in 32 bits. Vectors have 512 bits; LLVM divides them where a CPU has less. It is made anew in each process, in some
50 ms.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

BYTE, WORD, SUM, SIZE = (ir.IntType(bits) for bits in (8, 16, 32, 64))
ARGUMENTS = (
    *("pixels", "height", "width"),  # uint8 (height, width, 3): the address, and its sides
    *("band", "ring", "ring_bytes", "ring_mask"),  # room for rows between the two directions, see `resize`
    *("new_width", "left", "vectors", "across"),  # across: see `vilt.processing.resample.Weights`
    *("new_height", "top", "pairs", "most_pairs", "down"),
    *("out", "row_offsets", "blocks", "block_offsets"),  # in bytes: of each new row, and of each 16 columns in it
)
FOUR_ROWS = (0, 2, 1, 3)  # the order of rows within a vector


@cache
def function() -> Callable[[int], None]:
    """Return the function that resizes, for this CPU.

    Returns:
        A function of the address of int64 numbers, as `ARGUMENTS` names them. It runs without the GIL.
    """
    name = os.environ.get("NUMBA_CPU_NAME")  # which numba reads as well, to make code for another CPU
    if name:
        return compiled(name, os.environ.get("NUMBA_CPU_FEATURES", ""))
    try:
        features = llvm.get_host_cpu_features().flatten()
    except RuntimeError:  # LLVM does not know those of every kind of CPU
        features = ""
    return compiled(llvm.get_host_cpu_name(), features)


def compiled(cpu: str, features: str) -> Callable[[int], None]:
    """Return the function for a CPU of this name with these features, as LLVM calls them."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(cpu=cpu, features=features, opt=3)
    module = llvm.parse_assembly(str(_module(features.split(","))))
    module.verify()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    code = ctypes.CFUNCTYPE(None, ctypes.c_size_t)(engine.get_function_address("resize"))
    code.engine = engine  # type: ignore[attr-defined]  # the code lives as long
    return code


def _module(features: list[str]) -> ir.Module:
    module = ir.Module()
    module.triple = llvm.get_default_triple()
    resize = ir.Function(module, ir.FunctionType(ir.VoidType(), [SIZE]), "resize")
    code = Code(ir.IRBuilder(resize.append_basic_block()), features)
    numbers = {name: code.load(code.plus(resize.args[0], 8 * i), SIZE) for i, name in enumerate(ARGUMENTS)}
    _resize(code, **numbers)
    code.builder.ret_void()
    return module


class Code:
    """Instructions, one after the other. Numbers are int64; vectors are named by what a lane holds."""

    def __init__(self, builder: ir.IRBuilder, features: list[str]) -> None:
        self.builder = builder
        self.features = features

    def load(self, address: Any, kind: Any, lanes: int = 0) -> Any:
        """Load a number, or a vector, from any address."""
        kind = ir.VectorType(kind, lanes) if lanes else kind
        loaded = self.builder.load(self.builder.inttoptr(address, kind.as_pointer()))
        loaded.align = 1
        return loaded

    def store(self, value: Any, address: Any) -> None:
        """Store at any address."""
        self.builder.store(value, self.builder.inttoptr(address, value.type.as_pointer())).align = 1

    def fetch(self, address: Any) -> None:
        """Bring what is at this address into the second cache; it need not be there."""
        module, byte = self.builder.module, BYTE.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), (byte, SUM, SUM, SUM))
        prefetch = module.globals.get("llvm.prefetch.p0i8") or ir.Function(module, kind, "llvm.prefetch.p0i8")
        self.builder.call(prefetch, (self.builder.inttoptr(address, byte), SUM(0), SUM(2), SUM(1)))

    def plus(self, a: Any, b: Any, times: int = 1) -> Any:
        """Return `a + b * times`."""
        if isinstance(b, int):
            return self.builder.add(a, SIZE(b * times))
        return self.builder.add(a, self.builder.mul(b, SIZE(times)) if times != 1 else b)

    def least(self, a: Any, b: Any) -> Any:
        """Return the smaller number, lane by lane."""
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def shuffle(self, a: Any, lanes: Any, b: Any = None) -> Any:
        """Return chosen lanes of two vectors."""
        order = [*lanes]
        return self.builder.shuffle_vector(a, a if b is None else b, ir.Constant(ir.VectorType(SUM, len(order)), order))

    def fill(self, number: int, lanes: int = 16) -> Any:
        """Return a vector of equal numbers, int32."""
        return ir.Constant(ir.VectorType(SUM, lanes), [number] * lanes)

    def repeat(self, begin: Any, end: Any, step: int, values: list[Any], body: Callable[..., list[Any]]) -> list[Any]:
        """Run `body(number, *values)` for `range(begin, end, step)`, which gives the values of the next turn."""
        builder = self.builder
        before, head = builder.block, builder.append_basic_block()
        turn, after = builder.append_basic_block(), builder.append_basic_block()
        builder.branch(head)
        builder.position_at_end(head)
        number, *carried = (builder.phi(value.type) for value in (begin, *values))
        for phi, value in zip((number, *carried), (begin, *values), strict=True):
            phi.add_incoming(value, before)
        builder.cbranch(builder.icmp_signed("<", number, end), turn, after)
        builder.position_at_end(turn)
        following = [self.plus(number, step), *body(number, *carried)]
        for phi, value in zip((number, *carried), following, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return carried

    def add_products(self, total: Any, a: Any, b: Any) -> Any:
        """Return int32 (16,): `total[i] + a[2 i] * b[2 i] + a[2 i + 1] * b[2 i + 1]` of int16 (32,)."""
        builder, sums = self.builder, ir.VectorType(SUM, 16)
        if "+avx512bw" in self.features:
            parts, name = 1, "llvm.x86.avx512.pmaddw.d.512"
        elif "+avx2" in self.features:
            parts, name = 2, "llvm.x86.avx2.pmadd.wd"
        else:
            for half in (range(0, 32, 2), range(1, 32, 2)):
                left, right = (builder.sext(self.shuffle(each, half), sums) for each in (a, b))
                total = builder.add(total, builder.mul(left, right))
            return total
        words, products = ir.VectorType(WORD, 32 // parts), ir.VectorType(SUM, 16 // parts)
        multiply = builder.module.declare_intrinsic(name, fnty=ir.FunctionType(products, (words, words)))
        if parts == 1:
            return builder.add(total, builder.call(multiply, (a, b)))
        low, high = (
            builder.call(multiply, [self.shuffle(each, lanes) for each in (a, b)])
            for lanes in (range(16), range(16, 32))
        )
        return builder.add(total, self.shuffle(low, range(16), high))

    def add_weighted(self, sums: Any, pixels: Any, weight_at: Any) -> list[Any]:
        """Add pairs of pixels, int16 (32,), to both sums, times the two pairs of weights at this address."""
        added = []
        for total, offset in zip(sums, (0, 4), strict=True):
            one = self.load(self.plus(weight_at, offset), SUM, 1)
            pairs = self.builder.bitcast(self.shuffle(one, [0] * 16), ir.VectorType(WORD, 32))
            added.append(self.add_products(total, pixels, pairs))
        return added

    def level(self, high: Any, low: Any) -> Any:
        """Return the levels, int32 (16,), that two sums stand for; the lower holds one half already."""
        builder = self.builder
        total = builder.ashr(builder.add(builder.shl(high, self.fill(8)), low), self.fill(22))
        total = builder.select(builder.icmp_signed("<", total, self.fill(0)), self.fill(0), total)
        return self.least(total, self.fill(255))


def _resize(code: Code, **n: Any) -> None:
    """Resize across and then down, four rows at a time, so that what lies between stays near the core.

    `band` holds the four rows: of each two columns a vector, int16 (4 rows, 4 colours, 2 columns), with room for a
    weight's vectors beyond the last. `ring` holds rows that are resized across, in pairs: int16 (4 * new_width, 2
    rows), `ring_bytes` each, of which pair i lies at `i & ring_mask`.
    """
    builder = code.builder

    def ring_of(pair: Any) -> Any:
        return builder.add(n["ring"], builder.mul(builder.and_(pair, n["ring_mask"]), n["ring_bytes"]))

    def four_rows(pair: Any, _: Any) -> list[Any]:
        line = builder.mul(n["width"], SIZE(3))
        last = code.plus(n["height"], -1)
        row = builder.shl(pair, SIZE(1))
        rows = [
            builder.add(n["pixels"], builder.mul(code.least(code.plus(row, i), last), line))
            for i in range(len(FOUR_ROWS))
        ]
        _fill_band(code, rows, n["width"], n["band"])
        to = [ring_of(pair), ring_of(code.plus(pair, 1))]
        weight_bytes = builder.shl(n["vectors"], SIZE(3))
        # While these are computed, the next four rows come nearer.
        following = builder.shl(line, SIZE(2))
        step = builder.udiv(following, n["new_width"])

        def column(x: Any, weights: Any, soon: Any) -> list[Any]:
            code.fetch(soon)
            code.fetch(code.plus(soon, 64))
            left = code.load(code.plus(n["left"], x, 8), SIZE)
            _across(
                code, code.plus(n["band"], left, 64), weights, n["vectors"], [code.plus(each, x, 16) for each in to]
            )
            return [builder.add(weights, weight_bytes), builder.add(soon, step)]

        code.repeat(SIZE(0), n["new_width"], 1, [n["across"], builder.add(rows[0], following)], column)
        return [code.plus(pair, 2)]

    def row(y: Any, done: Any, weights: Any) -> list[Any]:
        top, count = (code.load(code.plus(n[name], y, 8), SIZE) for name in ("top", "pairs"))
        (done,) = code.repeat(done, builder.add(top, count), 2, [done], four_rows)
        to = builder.add(n["out"], code.load(code.plus(n["row_offsets"], y, 8), SIZE))

        def block(i: Any) -> list[Any]:
            at = builder.add(to, code.load(code.plus(n["block_offsets"], i, 8), SIZE))
            _down(code, lambda pair: code.plus(ring_of(builder.add(top, pair)), i, 256), count, weights, at)
            return []

        code.repeat(SIZE(0), n["blocks"], 1, [], block)
        return [done, builder.add(weights, builder.shl(n["most_pairs"], SIZE(3)))]

    code.repeat(SIZE(0), n["new_height"], 1, [SIZE(0), n["down"]], row)


def _fill_band(code: Code, rows: list[Any], width: Any, band: Any) -> None:
    """Lay four rows of at least 8 pixels side by side, as vectors of two pixels of each."""
    builder = code.builder
    even = builder.and_(width, SIZE(-2))
    zero = ir.Constant(ir.VectorType(BYTE, 64), None)

    def four(x: Any, skipped: int = 0) -> list[Any]:
        """Lay four pixels of each row, which begin that many bytes after what is read."""
        parts = [code.load(code.plus(code.plus(rows[row], x, 3), -skipped), BYTE, 16) for row in FOUR_ROWS]
        halves = [code.shuffle(parts[i], range(32), parts[i + 1]) for i in (0, 2)]
        pixels = code.shuffle(halves[0], range(64), halves[1])
        for pair in range(2):
            words = [  # two pixels, colour by colour, each with a byte of zero behind it
                lane
                for row in range(4)
                for colour in range(4)
                for pixel in range(2)
                for lane in (16 * row + skipped + 6 * pair + 3 * pixel + colour if colour < 3 else 64, 64)
            ]
            code.store(code.shuffle(pixels, words, zero), code.plus(code.plus(band, x, 32), 64 * pair))
        return []

    code.repeat(SIZE(0), code.plus(even, -4), 4, [], four)
    four(code.plus(even, -4), 4)  # no byte beyond the row is read

    def last(x: Any) -> list[Any]:
        pixels = [code.load(code.plus(code.plus(rows[row], x, 3), -1), BYTE, 4) for row in FOUR_ROWS]
        halves = [code.shuffle(pixels[i], [1, 2, 3, 0, 5, 6, 7, 4], pixels[i + 1]) for i in (0, 2)]
        words = builder.zext(code.shuffle(halves[0], range(16), halves[1]), ir.VectorType(SUM, 16))
        code.store(words, code.plus(band, x, 32))
        return []

    code.repeat(even, width, 1, [], last)


def _across(code: Code, band: Any, weights: Any, vectors: Any, to: list[Any]) -> None:
    """Compute one new pixel of four rows, and store it as two pairs of rows."""
    builder = code.builder

    def two_columns(i: Any, high: Any, low: Any) -> list[Any]:
        return code.add_weighted((high, low), code.load(code.plus(band, i, 64), WORD, 32), code.plus(weights, i, 8))

    level = code.level(*code.repeat(SIZE(0), vectors, 1, [code.fill(0), code.fill(1 << 21)], two_columns))
    first, second = (code.shuffle(level, lanes) for lanes in (range(8), range(8, 16)))
    pairs = builder.or_(first, builder.shl(second, code.fill(16, 8)))
    for i, address in enumerate(to):
        code.store(code.shuffle(pairs, range(4 * i, 4 * i + 4)), address)


def _down(code: Code, ring_of: Callable[[Any], Any], pairs: Any, weights: Any, to: Any) -> None:
    """Compute 16 new pixels of one row, and store three bytes of each."""
    start = [code.fill(0), code.fill(1 << 21)] * 4

    def two_rows(i: Any, *sums: Any) -> list[Any]:
        at, weight_at = ring_of(i), code.plus(weights, i, 8)
        blocks = (code.load(code.plus(at, 64 * block), WORD, 32) for block in range(4))
        return [
            total
            for block, pixels in enumerate(blocks)
            for total in code.add_weighted(sums[2 * block : 2 * block + 2], pixels, weight_at)
        ]

    sums = code.repeat(SIZE(0), pairs, 1, start, two_rows)
    levels = [
        code.builder.trunc(code.level(*sums[2 * block : 2 * block + 2]), ir.VectorType(BYTE, 16)) for block in range(4)
    ]
    first, second = (code.shuffle(levels[i], range(32), levels[i + 1]) for i in (0, 2))
    code.store(code.shuffle(first, [i for i in range(64) if i % 4 != 3], second), to)
