"""The loops of `tile_linear`, compiled for the processor at first use and kept by numba beside it.

Tensors come as their addresses: one compilation serves all shapes.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from longctx.kernels.byte_vectors import sum_of_squares
from longctx.kernels.narrow_dots import PANEL
from longctx.kernels.panels import by_bits, find_panel
from longctx.kernels.tile_vectors import (
    OUTPUTS,
    TILE_WORDS,
    TOKENS,
    multiplying,
    put_gated_row,
    put_row,
    putting,
    widening,
)
from longctx.kernels.tiles import SIDE, begin_tiles, end_tiles
from longctx.kernels.vectors import after, floats, take, words

# Panels that a thread widens at once: rows come from afar once for all of them, while those and the
# panels stay near.
_AT_ONCE = 4
# Steps of rows that stay in the nearest cache while they meet all of those panels.
_STEPS = 8
_put, _add = putting(False), putting(True)
_start, _go_on = multiplying(False), multiplying(True)
_widen = by_bits(widening)


@numba.njit(parallel=True, cache=True, error_model="numpy")
def multiply(
    num_tokens: int,
    rows: int,
    steps: int,
    table: Any,
    bias: Any,
    out: int,
    stride: int,
    adds: bool,
    num_threads: int,
) -> None:
    """Fill bfloat16 out [T, O], rows `stride` words apart, or add the product to float32 out."""
    num_panels = table[-1, 3]
    counter = np.zeros(8, dtype=np.int64)
    for _ in numba.prange(num_threads):
        begin_tiles()
        size = 4 * TILE_WORDS * steps
        more = 4 * PANEL * (TOKENS + 1)
        memory = np.empty(_AT_ONCE * (size + more) + 64, dtype=np.uint8)
        tiles = -(memory.ctypes.data // -64) * 64
        sums = floats(tiles + _AT_ONCE * size)
        starts = after(sums, _AT_ONCE * PANEL * TOKENS)
        first = take(counter, _AT_ONCE)
        while first < num_panels:
            count = min(_AT_ONCE, num_panels - first)
            for panel in range(first, first + count):
                bits, place = find_panel(table, panel)
                _widen(bits, place, steps, place, steps, tiles + (panel - first) * size)
            for i in range(count * PANEL):
                starts[i] = bias[first * PANEL + i] if len(bias) else np.float32(0)
            for t in range(0, num_tokens, TOKENS):
                some = rows + 4 * TILE_WORDS * steps * (t // SIDE)
                for step in range(0, steps, _STEPS):
                    near, more = words(some + 4 * TILE_WORDS * step), min(_STEPS, steps - step)
                    for pair in range(count // 2):
                        outputs = words(tiles + 2 * pair * size + 4 * TILE_WORDS * step)
                        its = after(sums, pair * TOKENS * OUTPUTS)
                        if step:
                            _go_on(near, outputs, steps, more, its)
                        else:
                            _start(near, outputs, steps, more, its)
                left = min(TOKENS, num_tokens - t)
                for pair in range(count // 2):
                    its, start = after(sums, pair * TOKENS * OUTPUTS), after(starts, pair * OUTPUTS)
                    at = first * PANEL + pair * OUTPUTS
                    if adds:
                        _add(its, start, left, floats(out + 4 * (t * stride + at)), stride)
                    else:
                        _put(its, start, left, words(out + 4 * t * stride + 2 * at), stride)
            first = take(counter, _AT_ONCE)
        end_tiles()


@numba.njit(parallel=True, cache=True, error_model="numpy")
def tile_rows(
    num_tokens: int,
    rows: int,
    stride: int,
    steps: int,
    weight: int,
    eps: float,
    normed: bool,
    tiles: int,
) -> None:
    """Fill tiles with rows times a weight, divided by their norms if `normed`."""
    width = 2 * SIDE * steps
    for t in numba.prange(num_tokens):
        row, factor = floats(rows + 4 * t * stride), np.float32(1)
        if normed:
            mean = sum_of_squares(row, width) / np.float32(width)
            factor = np.float32(1) / np.sqrt(mean + np.float32(eps))
        to = words(tiles + 4 * (t // SIDE * TILE_WORDS * steps + t % SIDE * SIDE))
        put_row(row, factor, floats(weight), steps, to)


@numba.njit(parallel=True, cache=True, error_model="numpy")
def tile_gated_rows(num_tokens: int, rows: int, stride: int, steps: int, tiles: int) -> None:
    """Fill tiles with SiLU(gate) * up, which lie one after the other in a row."""
    for t in numba.prange(num_tokens):
        gate = rows + 4 * t * stride
        to = words(tiles + 4 * (t // SIDE * TILE_WORDS * steps + t % SIDE * SIDE))
        put_gated_row(words(gate), words(gate + 4 * SIDE * steps), steps, to)
