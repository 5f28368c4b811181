"""What the processor does for `flash` in its own instructions, on vectors of 16.

Both products of attention are one shape: ROWS rows of words, each broadcast, times vectors of 16
words, added up in float32 by what the Form has. Between them scores become weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from llvmlite import ir

from longctx.kernels.flash_forms import BLOCK, FORMS
from longctx.kernels.tiles import multiply_tiles
from longctx.kernels.vectors import (
    FLOAT,
    FLOATS,
    I16,
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
    prefetch,
    splat,
    store,
    times,
    types,
)

_UNROLLED = 4
_FORM = FORMS.form
ROWS = _FORM.rows
# Rows whose scores become weights at once.
WEIGHED = _FORM.weighed
# Of whole vectors, the number in a row of a panel, and how many of them are met at once.
_VECTORS = _FORM.panel // LANES
_AT_ONCE = _FORM.vectors
# Lines of cache that are asked for in a step of a product, so that all steps ask for a Block.
_LINES = _UNROLLED * _FORM.in_word * _AT_ONCE // 2


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
    return _FORM.add_exponent(builder, power, whole)


def _quotient(builder: Any, count: Any, size: int) -> Any:
    """Returns how many parts of a size hold `count`."""
    return builder.udiv(times(builder, count, 1, size - 1), ir.Constant(I64, size))


def _multiply(
    builder: Any,
    rows: Any,
    stride: Any,
    depth: Any,
    columns: Any,
    out: Any,
    width: Any,
    ahead: Any,
    asks: Any,
    adds: bool,
) -> None:
    """Multiply ROWS rows, `stride` words apart, of about `depth` words with a panel of columns.

    The products go to the rows of `out`, `width` words apart, or are added to what is there. If
    it `asks`, what lies `ahead` is brought near meanwhile, a share in each step: a core waits for
    few lines at once, and the memory would rest while it multiplies.
    """
    if _FORM.in_tiles:
        multiply_tiles(builder, rows, stride, depth, columns, out, width, adds)
        return
    for first in range(0, _VECTORS, _AT_ONCE):
        tile = [(r, n) for r in range(ROWS) for n in range(first, first + _AT_ONCE)]
        places = {(r, n): times(builder, width, r, n * LANES) for r, n in tile}
        sums = {at: cgutils.alloca_once(builder, FLOATS) for at in tile}
        for at, to in sums.items():
            start = load(builder, out, FLOATS, places[at]) if adds else every(0.0)
            builder.store(start, to)
        steps = _quotient(builder, depth, _UNROLLED)
        with cgutils.for_range(builder, steps) as loop:
            with builder.if_then(asks):
                turn = builder.add(loop.index, times(builder, steps, first // _AT_ONCE))
                for line in range(_LINES):
                    at = times(builder, turn, 64 * _LINES, 64 * line)
                    prefetch(builder, builder.gep(ahead, [at]))
            for step in range(_UNROLLED):
                word = times(builder, loop.index, _UNROLLED, step)
                found = {
                    n: load(builder, columns, WORDS, times(builder, word, _FORM.panel, LANES * n))
                    for n in range(first, first + _AT_ONCE)
                }
                for r in range(ROWS):
                    offset = builder.add(word, times(builder, stride, r))
                    each = splat(builder, load(builder, rows, I32, offset, 4))
                    for n, vector in found.items():
                        to = sums[r, n]
                        added = _FORM.add_products(builder, builder.load(to), each, vector)
                        builder.store(added, to)
        for at, to in sums.items():
            store(builder, builder.load(to), out, places[at])


def _share(builder: Any, ahead: Any, panel: Any, depth: Any) -> Any:
    """Returns the pointer to what the products with a panel of `depth` words ask for."""
    size = times(builder, depth, 64 * _LINES * (_VECTORS // _AT_ONCE) // _UNROLLED)
    start = builder.add(ahead, builder.mul(panel, size))
    return builder.inttoptr(start, ir.PointerType(ir.IntType(8)))


@compiled_in
def score(
    typing: Any,
    queries: Any,
    depth: Any,
    keys: Any,
    num_keys: Any,
    scores: Any,
    ahead: Any,
    asks: Any,
) -> Any:
    """The products of ROWS queries of `depth` words with the first keys of a Block, or with all.

    If it `asks`, the keys at the address `ahead` are brought near.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        queries, depth, keys, num_keys, scores, ahead, asks = args
        width = ir.Constant(I64, BLOCK)
        with cgutils.for_range(builder, _quotient(builder, num_keys, _FORM.panel)) as panel:
            at = times(builder, builder.mul(panel.index, depth), _FORM.panel)
            columns = builder.gep(keys, [at])
            out = builder.gep(scores, [times(builder, panel.index, _FORM.panel)])
            share = _share(builder, ahead, panel.index, depth)
            _multiply(builder, queries, depth, depth, columns, out, width, share, asks, False)
        return context.get_dummy_value()

    return types.void(queries, depth, keys, num_keys, scores, types.intp, types.boolean), generate


@compiled_in
def gather(
    typing: Any,
    weights: Any,
    num_keys: Any,
    values: Any,
    head_dim: Any,
    out: Any,
    ahead: Any,
    asks: Any,
) -> Any:
    """Adds the values of the first keys of a Block, or of all, weighted, to ROWS outputs.

    If it `asks`, the values at the address `ahead` are brought near.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights, num_keys, values, head_dim, out, ahead, asks = args
        words = BLOCK // _FORM.in_word
        depth = _quotient(builder, num_keys, _FORM.in_word)
        stride = ir.Constant(I64, words)
        panels = builder.udiv(head_dim, ir.Constant(I64, _FORM.panel))
        with cgutils.for_range(builder, panels) as panel:
            columns = builder.gep(values, [times(builder, panel.index, words * _FORM.panel)])
            to = builder.gep(out, [times(builder, panel.index, _FORM.panel)])
            share = _share(builder, ahead, panel.index, stride)
            _multiply(builder, weights, stride, depth, columns, to, head_dim, share, asks, True)
        return context.get_dummy_value()

    return types.void(weights, num_keys, values, head_dim, out, types.intp, types.boolean), generate


@compiled_in
def weigh(
    typing: Any, scores: Any, factor: Any, limit: Any, peaks: Any, weights: Any, sums: Any
) -> Any:
    """Weights 2^(score * factor - peak) of WEIGHED rows as the Form has them, added to their sums.

    Returns 0 and does nothing where one exceeds 2^limit.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scores, factor, limit, peaks, weights, sums = args
        factor, limit, least = splat(builder, factor), splat(builder, limit), every(_FORM.least)
        most = cgutils.alloca_once_value(builder, every(float("-inf")))

        def read(row: Any) -> tuple[Any, list[Any]]:
            peak = splat(builder, builder.fneg(load(builder, peaks, FLOAT, row, 4)))
            places = [times(builder, row, BLOCK, n) for n in range(0, BLOCK, LANES)]
            return peak, [load(builder, scores, FLOATS, place) for place in places]

        for row in _each_row(builder):
            peak, (top, *others) = read(row)
            for x in others:
                top = _larger(builder, x, top)
            top = fma(builder, top, factor, peak)
            builder.store(_larger(builder, top, builder.load(most)), most)
        over = builder.bitcast(builder.fcmp_ordered(">", builder.load(most), limit), I16)
        within = builder.icmp_unsigned("==", over, ir.Constant(I16, 0))
        with builder.if_then(within):
            for row in _each_row(builder):
                peak, found = read(row)
                total, made = load(builder, sums, FLOATS, times(builder, row, LANES)), []
                for x in found:
                    # what is not a number stays so
                    x = _larger(builder, least, fma(builder, x, factor, peak))
                    made.append(power_of_two(builder, x))
                    total = builder.fadd(total, made[-1])
                store(builder, total, sums, times(builder, row, LANES))
                _FORM.keep(builder, made, weights, times(builder, row, BLOCK // _FORM.in_word))
        return builder.zext(within, I32)

    return types.int32(scores, factor, limit, peaks, weights, sums), generate


@compiled_in
def top(typing: Any, scores: Any) -> Any:
    """The highest of a row's scores."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        most, *others = (load(builder, args[0], FLOATS, n) for n in range(0, BLOCK, LANES))
        for x in others:
            most = _larger(builder, x, most)
        return call(builder, "llvm.vector.reduce.fmax.v16f32", FLOAT, [most])

    return types.float32(scores), generate


def _each_row(builder: Any) -> Iterator[Any]:
    """Goes through WEIGHED rows, in a loop where the registers hold no more than one."""
    if _FORM.in_word == 2:
        yield from (ir.Constant(I64, row) for row in range(WEIGHED))
        return
    with cgutils.for_range(builder, ir.Constant(I64, WEIGHED)) as loop:
        yield loop.index


def _larger(builder: Any, one: Any, other: Any) -> Any:
    """Returns the larger of each two, `other` where one is not a number."""
    return builder.select(builder.fcmp_ordered(">", one, other), one, other)
