"""The loops that make rows of 8 bits and make them whole again, compiled for the processor."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from longctx.kernels.flash_forms import BLOCK
from longctx.kernels.vectors import (
    FLOATS,
    I64,
    LANES,
    WORDS,
    after,
    cgutils,
    compiled_in,
    floats,
    fma,
    load,
    place,
    splat,
    times,
    types,
)

MOST = np.float32(127)
_ZERO = np.uint32(0)
_CODES, _HALVES = ir.VectorType(ir.IntType(8), LANES), ir.VectorType(ir.IntType(16), LANES)


@numba.njit(cache=True, error_model="numpy")
def round_rows(
    rows: NDArray[np.float32], codes: NDArray[np.int8], scales: NDArray[np.float32], start: int
) -> None:
    """Round rows [T, G, D] to whole numbers of a step each, from `start` on in [G, S, D]."""
    for t in range(rows.shape[0]):
        for g in range(rows.shape[1]):
            row, to = rows[t, g], codes[g, start + t]
            peak = np.float32(0)
            for i in range(len(row)):
                peak = max(peak, abs(row[i]))
            scale = peak / MOST if peak > 0 else np.float32(1)
            scales[g, start + t] = scale
            for i in range(len(row)):
                to[i] = np.int8(np.floor(row[i] / scale + np.float32(0.5)))


@numba.njit(error_model="numpy")
def restore_block(
    keys: Any,
    values: Any,
    coding: Any,
    group: int,
    start: int,
    count: int,
    head_dim: int,
    whole_keys: Any,
    whole_values: Any,
) -> None:
    """Make `count` coded rows from `start` on a Block of bfloat16; what is missing is 0.

    `coding` is that of `flash`: where the scales are, their stride, and where the bias is.
    """
    width, half = head_dim // 2, head_dim // 2
    block, inside = start // BLOCK, start % BLOCK
    scales = 4 * (group * coding[2] + start)
    key_scales, value_scales = floats(coding[0] + scales), floats(coding[1] + scales)
    bias = floats(coding[3] + 4 * (group * BLOCK + inside) * head_dim)
    cos, sin = floats(coding[4] + 4 * block * half), floats(coding[5] + 4 * block * half)
    for j in range(count):
        from_keys, from_values = after(keys, j * head_dim // 4), after(values, j * head_dim // 4)
        to_keys, to_values = after(whole_keys, j * width), after(whole_values, j * width)
        _restore_key(from_keys, key_scales[j], after(bias, j * head_dim), cos, sin, half, to_keys)
        _restore_value(from_values, value_scales[j], head_dim, to_values)
    for i in range(count * width, BLOCK * width):
        whole_keys[i] = whole_values[i] = _ZERO


@compiled_in
def _restore_key(
    typing: Any, codes: Any, scale: Any, bias: Any, cos: Any, sin: Any, half: Any, target: Any
) -> Any:
    """A row of two halves, scaled, its bias turned by the angles of its Block and added."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        codes, scale, bias, cos, sin, half, target = args
        scale = splat(builder, scale)
        other_codes = builder.gep(codes, [builder.udiv(half, ir.Constant(I64, 4))])
        other_bias = builder.gep(bias, [half])
        other_target = builder.gep(target, [builder.udiv(half, ir.Constant(I64, 2))])
        with cgutils.for_range(builder, builder.udiv(half, ir.Constant(I64, LANES))) as loop:
            at = times(builder, loop.index, LANES)
            first, second, c, s = (
                load(builder, one, FLOATS, at, 4) for one in (bias, other_bias, cos, sin)
            )
            one = fma(builder, first, c, builder.fneg(builder.fmul(second, s)))
            two = fma(builder, second, c, builder.fmul(first, s))
            one = fma(builder, _codes(builder, codes, loop.index), scale, one)
            two = fma(builder, _codes(builder, other_codes, loop.index), scale, two)
            _put_rounded(builder, one, target, loop.index)
            _put_rounded(builder, two, other_target, loop.index)
        return context.get_dummy_value()

    return types.void(codes, scale, bias, cos, sin, half, target), generate


@compiled_in
def _restore_value(typing: Any, codes: Any, scale: Any, size: Any, target: Any) -> Any:
    """A row, scaled."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        codes, scale, size, target = args
        scale = splat(builder, scale)
        with cgutils.for_range(builder, builder.udiv(size, ir.Constant(I64, LANES))) as loop:
            whole = builder.fmul(_codes(builder, codes, loop.index), scale)
            _put_rounded(builder, whole, target, loop.index)
        return context.get_dummy_value()

    return types.void(codes, scale, size, target), generate


def _codes(builder: Any, codes: Any, vector: Any) -> Any:
    """Returns a vector of the codes as floats."""
    found = load(builder, codes, _CODES, times(builder, vector, LANES // 4), 4)
    return builder.sitofp(builder.sext(found, WORDS), FLOATS)


def _put_rounded(builder: Any, vector: Any, target: Any, index: Any) -> None:
    """Put floats, rounded to the nearest bfloat16, to the even one of two, into their place."""

    def each(bits: int) -> Any:
        return ir.Constant(WORDS, [bits] * LANES)

    bits = builder.bitcast(vector, WORDS)
    is_odd = builder.and_(builder.lshr(bits, each(16)), each(1))
    bits = builder.add(builder.add(bits, each(0x7FFF)), is_odd)
    halves = builder.trunc(builder.lshr(bits, each(16)), _HALVES)
    to = place(builder, target, times(builder, index, LANES // 2), _HALVES)
    builder.store(halves, to).align = 4
