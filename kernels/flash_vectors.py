"""What the processor does for `flash` in its own instructions, on vectors of 16.

Both products of attention are one shape: ROWS rows of pairs of bfloat16, each pair broadcast, times
vectors of 16 pairs, added up in 32 bits by one instruction. Between them scores become weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from longctx.kernels.vectors import (
    FLOAT,
    FLOATS,
    HALVES,
    I16,
    I32,
    I64,
    LANES,
    PAIRS,
    WORDS,
    call,
    cgutils,
    compiled_in,
    every,
    fma,
    load,
    splat,
    store,
    times,
    types,
)

ROWS = 6
BLOCK = 64
# In powers of two: how far below its reference a score is before its weight is 0.
_LEAST = -150.0
_UNROLLED = 4


def _terms() -> list[float]:
    """Returns a, b, c, d of a + bx + cx^2 + dx^3 near 2^x on [-1/2, 1/2].

    They are right to 8e-5, less than bfloat16 rounds.
    """
    x = 0.5 * np.cos(np.pi * (np.arange(2000) + 0.5) / 2000)
    powers = np.stack([x**i for i in range(4)], 1) / np.exp2(x)[:, None]
    found: list[float] = np.linalg.lstsq(powers, np.ones(len(x)), rcond=None)[0].tolist()
    return found


_TERMS = _terms()


def power_of_two(builder: Any, x: Any) -> Any:
    """Returns 2^x."""
    whole = call(builder, "llvm.roundeven.v16f32", FLOATS, [x])
    rest = builder.fsub(x, whole)
    power = every(_TERMS[-1])
    for term in _TERMS[-2::-1]:
        power = fma(builder, rest, power, every(term))
    # 2^whole times as much, in all lanes and rounded as usual
    how = [ir.Constant(FLOATS, ir.Undefined), ir.Constant(I16, -1), ir.Constant(I32, 4)]
    return call(builder, "llvm.x86.avx512.mask.scalef.ps.512", FLOATS, [power, whole, *how])


def _product(
    builder: Any, rows: Any, num_pairs: Any, columns: Any, width: Any, start: Any
) -> list[list[Any]]:
    """Returns sums [ROWS][4] of pairs of rows with columns, of which a pair takes `width` words.

    `start(row, vector)` is what they are added to.
    """
    vectors = range(BLOCK // LANES)
    sums = [[cgutils.alloca_once(builder, FLOATS) for _ in vectors] for _ in range(ROWS)]
    for r, row in enumerate(sums):
        for n, to in enumerate(row):
            builder.store(start(r, n), to)
    steps = builder.udiv(num_pairs, ir.Constant(I64, _UNROLLED))
    with cgutils.for_range(builder, steps) as loop:
        for step in range(_UNROLLED):
            pair = times(builder, loop.index, _UNROLLED, step)
            at = builder.mul(pair, width)
            found = [
                load(builder, columns, WORDS, builder.add(at, ir.Constant(I64, LANES * n)))
                for n in vectors
            ]
            for r, row in enumerate(sums):
                offset = builder.add(pair, times(builder, num_pairs, r))
                each = splat(builder, load(builder, rows, I32, offset, 4))
                factors = builder.bitcast(each, PAIRS)
                for vector, to in zip(found, row, strict=True):
                    added = call(
                        builder,
                        "llvm.x86.avx512bf16.dpbf16ps.512",
                        FLOATS,
                        [builder.load(to), factors, builder.bitcast(vector, PAIRS)],
                    )
                    builder.store(added, to)
    return [[builder.load(to) for to in row] for row in sums]


@compiled_in
def score(typing: Any, queries: Any, num_pairs: Any, keys: Any, scores: Any) -> Any:
    """The products of ROWS queries of `num_pairs` pairs with a Block's keys."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        queries, num_pairs, keys, scores = args
        width = ir.Constant(I64, BLOCK)
        found = _product(builder, queries, num_pairs, keys, width, lambda r, n: every(0.0))
        for r, row in enumerate(found):
            for n, vector in enumerate(row):
                store(builder, vector, scores, r * BLOCK + n * LANES)
        return context.get_dummy_value()

    return types.void(queries, num_pairs, keys, scores), generate


@compiled_in
def gather(typing: Any, weights: Any, values: Any, head_dim: Any, out: Any) -> Any:
    """Adds 64 columns of a Block's values, weighted, to those of ROWS outputs."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights, values, head_dim, out = args

        def at(r: int, n: int) -> Any:
            return times(builder, head_dim, r, n * LANES)

        def start(r: int, n: int) -> Any:
            return load(builder, out, FLOATS, at(r, n))

        pairs = ir.Constant(I64, BLOCK // 2)
        found = _product(builder, weights, pairs, values, head_dim, start)
        for r, row in enumerate(found):
            for n, vector in enumerate(row):
                store(builder, vector, out, at(r, n))
        return context.get_dummy_value()

    return types.void(weights, values, head_dim, out), generate


@compiled_in
def weigh(
    typing: Any, scores: Any, factor: Any, limit: Any, peaks: Any, weights: Any, sums: Any
) -> Any:
    """Weights 2^(score * factor - peak) of ROWS rows in bfloat16, added to their sums.

    Returns 0 and does nothing where one exceeds 2^limit.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scores, factor, limit, peaks, weights, sums = args
        factor, limit, least = splat(builder, factor), splat(builder, limit), every(_LEAST)
        rows: list[list[Any]] = []
        most = every(float("-inf"))
        for r in range(ROWS):
            peak = builder.fneg(load(builder, peaks, FLOAT, r, 4))
            places = [r * BLOCK + n * LANES for n in range(BLOCK // LANES)]
            found = [load(builder, scores, FLOATS, place) for place in places]
            rows.append([fma(builder, s, factor, splat(builder, peak)) for s in found])
            for x in rows[-1]:
                most = builder.select(builder.fcmp_ordered(">", x, most), x, most)
        over = builder.bitcast(builder.fcmp_ordered(">", most, limit), I16)
        within = builder.icmp_unsigned("==", over, ir.Constant(I16, 0))
        with builder.if_then(within):
            for r, row in enumerate(rows):
                total, found = load(builder, sums, FLOATS, r * LANES), []
                for x in row:
                    # what is not a number stays so
                    x = builder.select(builder.fcmp_ordered(">", least, x), least, x)
                    found.append(power_of_two(builder, x))
                    total = builder.fadd(total, found[-1])
                store(builder, total, sums, r * LANES)
                for n in range(0, len(found), 2):
                    name = "llvm.x86.avx512bf16.cvtne2ps2bf16.512"
                    both = call(builder, name, PAIRS, [found[n + 1], found[n]])
                    place = (r * BLOCK + n * LANES) // 2
                    store(builder, builder.bitcast(both, WORDS), weights, place)
        return builder.zext(within, I32)

    return types.int32(scores, factor, limit, peaks, weights, sums), generate


@compiled_in
def transpose(typing: Any, source: Any, stride: Any, target: Any) -> Any:
    """16 rows of 16 words, `stride` apart, as 16 columns of words, BLOCK apart."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, stride, target = args
        rows = [
            load(builder, source, WORDS, builder.mul(stride, ir.Constant(I64, i)), 4)
            for i in range(LANES)
        ]
        step = 1
        while step < LANES:
            lanes = range(LANES)
            low = [LANES + j - step if j & step else j for j in lanes]
            high = [LANES + j if j & step else j + step for j in lanes]
            for i in lanes:
                if not i & step:
                    pair = rows[i], rows[i + step]
                    for place, picked in ((i, low), (i + step, high)):
                        rows[place] = builder.shuffle_vector(*pair, ir.Constant(WORDS, picked))
            step *= 2
        for i, row in enumerate(rows):
            store(builder, row, target, i * BLOCK)
        return context.get_dummy_value()

    return types.void(source, stride, target), generate


@compiled_in
def interleave(typing: Any, one: Any, other: Any, target: Any) -> Any:
    """32 halves of one row and 32 of another as 32 words, each a half of both."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pair = [load(builder, source, HALVES, 0, 2) for source in args[:2]]
        for part in range(2):
            picked = [x for i in range(16) for x in (16 * part + i, 32 + 16 * part + i)]
            kind = ir.VectorType(I32, 32)
            mixed = builder.shuffle_vector(*pair, ir.Constant(kind, picked))
            store(builder, builder.bitcast(mixed, WORDS), args[2], LANES * part)
        return context.get_dummy_value()

    return types.void(one, other, target), generate
