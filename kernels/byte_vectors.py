"""What the processor does for `byte_linear` in its own instructions, on vectors of 16.

A product is a tile of tokens by 32 outputs: four bytes of a token, broadcast, times vectors of four
bytes of each output, added up in 32 bits by one instruction, and brought to float32 once a group.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from longctx.kernels.flash_vectors import power_of_two
from longctx.kernels.narrow_dots import CHUNKS, OFFSETS, PANEL, Panel, code_bytes
from longctx.kernels.vectors import (
    FLOAT,
    FLOATS,
    I32,
    I64,
    LANES,
    WORDS,
    call,
    cgutils,
    compiled_in,
    every,
    fma,
    load,
    place,
    rounded,
    splat,
    times,
    types,
    widened,
)

GROUP = 64
TOKENS = 6
OUTPUTS = 32
_VECTORS = OUTPUTS // LANES
_UNROLLED = 4
# Stands for 0 in the codes of weights, which have no sign.
ZERO = 128
# Added to a number it leaves the nearest integer in the last bits.
_ROUNDING = 3.0 * 2**22
_I8 = ir.IntType(8)
_BYTES, _FEW_BYTES = ir.VectorType(_I8, 64), ir.VectorType(_I8, LANES)
_MOST = 127.0
_LOG2_E = 1.4426950408889634


def tiling(num_tokens: int, adds: bool) -> Any:
    """Returns the intrinsic of `num_tokens` tokens times a panel of 32 outputs.

    They become bfloat16, or, if it `adds`, are added to the float32 that is there.
    """

    @compiled_in
    def tile(
        typing: Any,
        codes: Any,
        sums: Any,
        scales: Any,
        groups: Any,
        weights: Any,
        weight_scales: Any,
        bias: Any,
        out: Any,
        stride: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            codes, sums, scales, groups, weights, weight_scales, bias, out, stride = args
            tokens, vectors = range(num_tokens), range(_VECTORS)
            totals = [[cgutils.alloca_once(builder, FLOATS) for _ in vectors] for _ in tokens]
            counts = [[cgutils.alloca_once(builder, WORDS) for _ in vectors] for _ in tokens]
            for t in tokens:
                for n in vectors:
                    builder.store(load(builder, bias, FLOATS, n * LANES), totals[t][n])
            width = builder.mul(groups, ir.Constant(I64, GROUP // 4))

            def of_token(pointer: Any, kind: Any, each: Any, t: int, index: Any) -> Any:
                at = builder.add(builder.mul(each, ir.Constant(I64, t)), index)
                return splat(builder, load(builder, pointer, kind, at, 4))

            with cgutils.for_range(builder, groups) as group:
                for t in tokens:
                    # what the codes of the weights are too high by, times the token's
                    start = of_token(sums, I32, groups, t, group.index)
                    for n in vectors:
                        builder.store(start, counts[t][n])
                steps = ir.Constant(I64, GROUP // 4 // _UNROLLED)
                with cgutils.for_range(builder, steps) as loop:
                    first = times(builder, loop.index, _UNROLLED)
                    first = builder.add(first, times(builder, group.index, GROUP // 4))
                    for step in range(_UNROLLED):
                        at = builder.add(first, ir.Constant(I64, step))
                        found = [
                            load(builder, weights, WORDS, times(builder, at, OUTPUTS, n * LANES))
                            for n in vectors
                        ]
                        for t in tokens:
                            four = of_token(codes, I32, width, t, at)
                            for n in vectors:
                                builder.store(
                                    _dot(builder, builder.load(counts[t][n]), found[n], four),
                                    counts[t][n],
                                )
                of_outputs = [
                    load(builder, weight_scales, FLOATS, times(builder, group.index, OUTPUTS, at))
                    for at in range(0, OUTPUTS, LANES)
                ]
                for t in tokens:
                    scale = of_token(scales, FLOAT, groups, t, group.index)
                    for n in vectors:
                        whole = builder.sitofp(builder.load(counts[t][n]), FLOATS)
                        both = builder.fmul(scale, of_outputs[n])
                        total = fma(builder, whole, both, builder.load(totals[t][n]))
                        builder.store(total, totals[t][n])
            for t in tokens:
                row = builder.gep(out, [builder.mul(stride, ir.Constant(I64, t))])
                sides = [builder.load(totals[t][n]) for n in vectors]
                if adds:
                    for n, side in enumerate(sides):
                        there = load(builder, row, FLOATS, n * LANES, 4)
                        to = place(builder, row, n * LANES, FLOATS)
                        builder.store(builder.fadd(side, there), to).align = 4
                    continue
                builder.store(rounded(builder, *sides), place(builder, row, 0, WORDS)).align = 4
            return context.get_dummy_value()

        parameters = codes, sums, scales, groups, weights, weight_scales, bias, out, stride
        return types.void(*parameters), generate

    return tile


def _dot(builder: Any, sums: Any, weights: Any, codes: Any) -> Any:
    """Returns sums plus, for each lane, four products of a byte without and one with a sign."""
    name = "llvm.x86.avx512.vpdpbusd.512"
    both = [builder.bitcast(vector, _BYTES) for vector in (weights, codes)]
    return call(builder, name, WORDS, [sums, *both])


@compiled_in
def sum_of_squares(typing: Any, row: Any, count: Any) -> Any:
    """The sum of the squares of `count` floats, a multiple of 16."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row, count = args
        total = cgutils.alloca_once_value(builder, every(0.0))
        with cgutils.for_range(builder, builder.lshr(count, ir.Constant(I64, 4))) as loop:
            x = load(builder, row, FLOATS, times(builder, loop.index, LANES), 4)
            builder.store(fma(builder, x, x, builder.load(total)), total)
        name = "llvm.vector.reduce.fadd.v16f32"
        kind = ir.FunctionType(FLOAT, [FLOAT, FLOATS])
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        args = [ir.Constant(FLOAT, 0.0), builder.load(total)]
        return builder.call(function, args, fastmath=("reassoc",))

    return types.float32(row, count), generate


@compiled_in
def code_group(
    typing: Any, row: Any, factor: Any, weight: Any, codes: Any, scale: Any, total: Any
) -> Any:
    """A group of row * factor * weight in bytes, its scale, and -128 times the sum of its bytes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row, factor, weight, codes, scale, total = args
        factor = splat(builder, factor)
        found = []
        for i in range(0, GROUP, LANES):
            each = builder.fmul(factor, load(builder, weight, FLOATS, i))
            found.append(builder.fmul(load(builder, row, FLOATS, i, 4), each))
        _code(builder, found, codes, scale, total)
        return context.get_dummy_value()

    return types.void(row, factor, weight, codes, scale, total), generate


@compiled_in
def code_gated_group(typing: Any, gate: Any, up: Any, codes: Any, scale: Any, total: Any) -> Any:
    """A group of SiLU(gate) * up in bytes, its scale, and -128 times the sum of its bytes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        gate, up, codes, scale, total = args
        found = [
            gated(builder, gate, up, ir.Constant(I64, i)) for i in range(0, GROUP // 2, LANES // 2)
        ]
        _code(builder, found, codes, scale, total)
        return context.get_dummy_value()

    return types.void(gate, up, codes, scale, total), generate


def gated(builder: Any, gate: Any, up: Any, at: Any) -> Any:
    """Returns SiLU(gate) * up of 16 numbers of bfloat16 from `at` words on."""
    x = widened(builder, gate, at)
    low, exponent = every(-126.0), builder.fmul(x, every(-_LOG2_E))
    exponent = builder.select(builder.fcmp_ordered(">", low, exponent), low, exponent)
    below = builder.fadd(every(1.0), power_of_two(builder, exponent))
    return builder.fmul(builder.fdiv(x, below), widened(builder, up, at))


def _code(builder: Any, found: list[Any], codes: Any, scale: Any, total: Any) -> None:
    """Put 16 numbers of each vector into bytes with one scale."""
    most = every(0.0)
    for x in found:
        size = call(builder, "llvm.fabs.v16f32", FLOATS, [x])
        most = builder.select(builder.fcmp_ordered(">", size, most), size, most)
    top = call(builder, "llvm.vector.reduce.fmax.v16f32", FLOAT, [most])
    step = builder.fmul(top, ir.Constant(FLOAT, 1 / _MOST))
    none = builder.fcmp_ordered("==", top, ir.Constant(FLOAT, 0.0))
    inverse = builder.fdiv(ir.Constant(FLOAT, _MOST), top)
    inverse = builder.select(none, ir.Constant(FLOAT, 0.0), inverse)
    builder.store(step, scale)
    sums = ir.Constant(WORDS, [0] * LANES)
    for i, x in enumerate(found):
        scaled = builder.fmul(x, splat(builder, inverse))
        whole = builder.fptosi(call(builder, "llvm.roundeven.v16f32", FLOATS, [scaled]), WORDS)
        sums = builder.add(sums, whole)
        few = builder.trunc(whole, _FEW_BYTES)
        builder.store(few, place(builder, codes, i * LANES // 4, _FEW_BYTES)).align = 16
    added = call(builder, "llvm.vector.reduce.add.v16i32", I32, [sums])
    builder.store(builder.mul(added, ir.Constant(I32, -128)), total)


def regrouping(bits: int) -> Any:
    """Returns the intrinsic that makes a panel of `narrow` bytes with a scale for each group of 64.

    It takes the addresses of the panel's codes, scales and units, how many groups of 64 it has, and
    where the codes go, 64 of every 128 bytes, and the scales, 16 of every 32.
    """

    @compiled_in
    def regroup(
        typing: Any, codes: Any, scales: Any, units: Any, groups: Any, to_codes: Any, to_scales: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            groups, kind = args[3], ir.PointerType(_I8)
            pointers = [builder.inttoptr(args[k], kind) for k in (0, 1, 2, 4, 5)]
            codes, scales, units, to_codes, to_scales = pointers
            panel = Panel(builder, bits)
            assert panel.lanes == PANEL, "products of bytes come with vectors of 16"
            with cgutils.for_range(builder, groups) as loop:
                parts = []
                narrow_groups = times(builder, groups, GROUP // (4 * CHUNKS))
                for index in range(GROUP // (4 * CHUNKS)):
                    at = times(builder, loop.index, GROUP // (4 * CHUNKS), index)
                    parts += scaled_parts(panel, codes, scales, at, narrow_groups)
                most = every(0.0)
                for chunks, scale, low in parts:
                    for edge in _edges(builder, chunks):
                        size = fma(builder, scale, edge, low)
                        size = call(builder, "llvm.fabs.v16f32", FLOATS, [size])
                        most = _greater(builder, size, most)
                step = builder.fmul(most, every(1 / _MOST))
                none = builder.fcmp_ordered("==", most, every(0.0))
                inverse = builder.select(none, every(0.0), builder.fdiv(every(_MOST), most))
                step = builder.fmul(step, panel.load(units, ir.Constant(I64, 0), FLOATS))
                at = times(builder, loop.index, 4 * OUTPUTS)
                to = builder.bitcast(builder.gep(to_scales, [at]), ir.PointerType(FLOATS))
                builder.store(step, to).align = 64
                place = 0
                for chunks, scale, low in parts:
                    factor, start = builder.fmul(scale, inverse), builder.fmul(low, inverse)
                    for chunk in chunks:
                        four = _rounded_bytes(builder, chunk, factor, start)
                        at = times(builder, loop.index, OUTPUTS * GROUP, 4 * OUTPUTS * place)
                        to = builder.bitcast(builder.gep(to_codes, [at]), ir.PointerType(WORDS))
                        builder.store(four, to).align = 64
                        place += 1
            return context.get_dummy_value()

        return types.void(*(types.intp,) * 6), generate

    return regroup


def scaled_parts(
    panel: Panel, codes: Any, scales: Any, at: Any, groups: Any
) -> list[tuple[list[Any], Any, Any]]:
    """Returns the chunks of a group of `narrow` by their scales: weight = scale * code + low."""
    builder, halves = panel.builder, 2 if panel.bits == 6 else 1
    chunks = panel.chunks(codes, times(builder, at, code_bytes(panel.bits)))
    each, found = CHUNKS // halves, []
    for half in range(halves):
        place = times(builder, at, 2 * PANEL * halves, 2 * PANEL * half)
        kind = ir.VectorType(ir.HalfType(), PANEL)
        scale = builder.fpext(panel.load(scales, place, kind), FLOATS)
        low = builder.fmul(scale, every(-float(OFFSETS[panel.bits])))
        if panel.bits == 4:
            place = builder.add(place, times(builder, groups, 2 * PANEL))
            low = builder.fpext(panel.load(scales, place, kind), FLOATS)
        found.append((chunks[half * each : half * each + each], scale, low))
    return found


def _greater(builder: Any, one: Any, other: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", one, other), one, other)


def _edges(builder: Any, chunks: list[Any]) -> list[Any]:
    """Returns the least and the greatest of the codes of each lane."""
    found = []
    for sign in ("<", ">"):

        def better(one: Any, other: Any, sign: str = sign) -> Any:
            one, other = (builder.bitcast(vector, _BYTES) for vector in (one, other))
            picked = builder.select(builder.icmp_unsigned(sign, one, other), one, other)
            return builder.bitcast(picked, WORDS)

        best = chunks[0]
        for chunk in chunks[1:]:
            best = better(best, chunk)
        for shift in (16, 8):
            moved = builder.lshr(best, ir.Constant(WORDS, [shift] * LANES))
            # what is shifted in must not win
            moved = builder.or_(moved, builder.shl(best, ir.Constant(WORDS, [32 - shift] * LANES)))
            best = better(best, moved)
        code = builder.and_(best, ir.Constant(WORDS, [255] * LANES))
        found.append(builder.uitofp(code, FLOATS))
    return found


def _rounded_bytes(builder: Any, chunk: Any, factor: Any, start: Any) -> Any:
    """Returns factor * code + start of 4 codes in each lane, rounded to bytes over ZERO."""
    whole = None
    byte = ir.Constant(WORDS, [255] * LANES)
    for k in range(4):
        shift = ir.Constant(WORDS, [8 * k] * LANES)
        code = builder.uitofp(builder.and_(builder.lshr(chunk, shift), byte), FLOATS)
        number = builder.fadd(fma(builder, code, factor, start), every(_ROUNDING + ZERO))
        bits = builder.shl(builder.and_(builder.bitcast(number, WORDS), byte), shift)
        whole = bits if whole is None else builder.or_(whole, bits)
    return whole
