"""How a Block of keys and values is laid out as the panels that `flash` multiplies."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir

from longctx.kernels.flash_forms import BLOCK, FORMS
from longctx.kernels.vectors import (
    HALVES,
    I32,
    I64,
    LANES,
    WORDS,
    after,
    ask_for,
    compiled_in,
    load,
    place,
    shuffled,
    store,
    types,
    widened,
)

_FORM = FORMS.form
IN_WORD = _FORM.in_word
PANEL = _FORM.panel
IN_TILES = _FORM.in_tiles
# Rows and columns that are transposed at once, as many as there are registers for.
_SIDE = 16 if IN_WORD == 2 else 8
_ZERO, _HALF, _HIGH = np.uint32(0), np.uint32(16), np.uint32(0xFFFF0000)


@numba.njit(error_model="numpy")
def lay_out_row(source: Any, head_dim: int, row: Any) -> None:
    """Lay out a query of bfloat16 in the words that are broadcast."""
    for i in range(head_dim // 2):
        if IN_WORD == 2:
            row[i] = source[i]
        else:
            row[2 * i] = source[i] << _HALF
            row[2 * i + 1] = source[i] & _HIGH


@numba.njit(error_model="numpy")
def fill_block(source: Any, head_dim: int, count: int, whole: Any) -> None:
    """Make `count` rows of bfloat16 a Block; what is missing is 0."""
    width = head_dim // 2
    for i in range(BLOCK * width):
        whole[i] = source[i] if i < count * width else _ZERO


@numba.njit(error_model="numpy")
def lay_out(
    keys: Any, values: Any, head_dim: int, columns: Any, rows: Any, next_keys: int, next_values: int
) -> None:
    """Lay out a Block of bfloat16 keys and values.

    `columns` [BLOCK / PANEL, head_dim / IN_WORD, PANEL] words are those of the keys, `rows`
    [head_dim / PANEL, BLOCK / IN_WORD, PANEL] those of the values. The next ones are brought near
    where products in whole tiles have no time for it.
    """
    width = head_dim // 2
    for i in range(0, BLOCK, _SIDE):
        panel = i // PANEL * (head_dim // IN_WORD) * PANEL + i % PANEL
        for j in range(0, width, _SIDE):
            to = panel + j * (2 // IN_WORD) * PANEL
            if IN_TILES:
                for k in range(i, i + _SIDE):
                    ask_for(next_keys + 4 * (k * width + j))
            _transpose(after(keys, i * width + j), width, after(columns, to))
    if IN_WORD == 2:
        for i in range(0, width, LANES):
            panel = 2 * i // PANEL * (BLOCK // 2) * PANEL + 2 * i % PANEL
            for j in range(BLOCK // 2):
                one = after(values, 2 * j * width + i)
                if IN_TILES:
                    ask_for(next_values + 4 * (2 * j * width + i))
                    ask_for(next_values + 4 * (2 * j * width + width + i))
                _interleave(one, after(one, width), after(rows, panel + j * PANEL))
    else:
        for i in range(0, head_dim, LANES):
            for j in range(BLOCK):
                _widen(after(values, j * width + i // 2), after(rows, i * BLOCK + j * PANEL))


@compiled_in
def _transpose(typing: Any, source: Any, stride: Any, target: Any) -> Any:
    """_SIDE rows of as many words of bfloat16, `stride` apart, as columns, PANEL words apart."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, stride, target = args
        lanes, kind = range(_SIDE), ir.VectorType(I32, _SIDE)
        rows = [
            load(builder, source, kind, builder.mul(stride, ir.Constant(I64, i)), 4) for i in lanes
        ]
        step = 1
        while step < _SIDE:
            low = [_SIDE + j - step if j & step else j for j in lanes]
            high = [_SIDE + j if j & step else j + step for j in lanes]
            for i in lanes:
                if not i & step:
                    pair = rows[i], rows[i + step]
                    rows[i] = shuffled(builder, *pair, low)
                    rows[i + step] = shuffled(builder, *pair, high)
            step *= 2
        if IN_WORD == 1:
            half, high_half = (ir.Constant(kind, [bits] * _SIDE) for bits in (16, 0xFFFF0000))
            both = [(builder.shl(row, half), builder.and_(row, high_half)) for row in rows]
            rows = [row for pair in both for row in pair]
        for i, row in enumerate(rows):
            builder.store(row, place(builder, target, i * PANEL, kind)).align = 4 * _SIDE
        return context.get_dummy_value()

    return types.void(source, stride, target), generate


@compiled_in
def _interleave(typing: Any, one: Any, other: Any, target: Any) -> Any:
    """32 halves of one row and 32 of another as 32 words, each a half of both."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one, other = (load(builder, source, HALVES, 0, 2) for source in args[:2])
        for part in range(2):
            picked = [x for i in range(16) for x in (16 * part + i, 32 + 16 * part + i)]
            mixed = shuffled(builder, one, other, picked)
            store(builder, builder.bitcast(mixed, WORDS), args[2], LANES * part)
        return context.get_dummy_value()

    return types.void(one, other, target), generate


@compiled_in
def _widen(typing: Any, source: Any, target: Any) -> Any:
    """16 numbers of bfloat16 as 16 floats."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        store(builder, widened(builder, args[0], 0), args[1], 0)
        return context.get_dummy_value()

    return types.void(source, target), generate
