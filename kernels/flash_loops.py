"""The loops of `flash`, compiled for the processor at first use and kept by numba beside it.

Keys are laid out as vectors once for all rows of a unit of work, in a scratch that stays in the
nearest cache, and the scores never leave it. Sums are rescaled only when a score outgrows the
reference of its row by 2^LIMIT: bfloat16 has the exponents of float32, so weights may be far above
1 and lose nothing. The references of a row follow from its own scores alone.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from longctx.kernels.flash_vectors import (
    BLOCK,
    ROWS,
    gather,
    interleave,
    score,
    transpose,
    weigh,
)
from longctx.kernels.vectors import LANES, after, floats, words

# In powers of two: how far a weight may be over its reference.
LIMIT = np.float32(40.0)
_LOG2_E = np.float32(1.4426950408889634)
_LN_2 = np.float32(0.6931471805599453)
_NONE = np.float32(-np.inf)
_ANY = np.float32(np.inf)
_ZERO = np.uint32(0)
_NO_LIMIT = 2**62


@numba.njit(error_model="numpy")
def _hide(scores: Any, limits: Any, start: int, num_keys: int) -> None:
    """Take the keys that lie at or after the limits of ROWS rows out of their scores."""
    for r in range(ROWS):
        seen = min(num_keys, limits[r] - start)
        for j in range(max(0, seen), BLOCK):
            scores[r * BLOCK + j] = _NONE


@numba.njit(error_model="numpy")
def _raise_peaks(scores: Any, factor: Any, peaks: Any, sums: Any, out: Any, head_dim: int) -> None:
    """Give new references to those of ROWS rows whose scores have outgrown theirs."""
    for r in range(ROWS):
        most = _NONE
        for j in range(BLOCK):
            most = max(most, scores[r * BLOCK + j] * factor)
        if most > peaks[r] + LIMIT:
            shrink = np.exp2(peaks[r] - most)
            peaks[r] = most
            for i in range(head_dim):
                out[r * head_dim + i] *= shrink
            for i in range(LANES):
                sums[r * LANES + i] *= shrink


@numba.njit(error_model="numpy")
def _lay_out(keys: Any, values: Any, head_dim: int, count: int, columns: Any, pairs: Any) -> None:
    """Lay out a Block of keys and values as vectors of pairs; what is missing is 0."""
    width = head_dim // 2
    if count == BLOCK:
        for i in range(0, BLOCK, LANES):
            for j in range(0, width, LANES):
                transpose(after(keys, i * width + j), width, after(columns, j * BLOCK + i))
        for j in range(BLOCK // 2):
            for i in range(0, width, LANES):
                one = after(values, 2 * j * width + i)
                interleave(one, after(one, width), after(pairs, j * head_dim + 2 * i))
        return
    for i in range(BLOCK):
        for j in range(width):
            columns[j * BLOCK + i] = keys[i * width + j] if i < count else _ZERO
    half = np.uint32(16)
    low = np.uint32(0xFFFF)
    for j in range(BLOCK // 2):
        for i in range(width):
            one = values[2 * j * width + i] if 2 * j < count else _ZERO
            other = values[(2 * j + 1) * width + i] if 2 * j + 1 < count else _ZERO
            pairs[j * head_dim + 2 * i] = one & low | other << half
            pairs[j * head_dim + 2 * i + 1] = one >> half | other & ~low


@numba.njit(error_model="numpy")
def _one_unit(
    unit: Any,
    items: Any,
    queries: int,
    query_strides: Any,
    keys: int,
    values: int,
    kv_stride: int,
    head_dim: int,
    repeats: int,
    position: int,
    causal: bool,
    scale: float,
    out: int,
    lse: int,
    out_strides: Any,
) -> None:
    group, first, count, begin, end, slot = unit
    width = head_dim // 2
    num_rows = count * repeats
    padded = -(num_rows // -ROWS) * ROWS
    factor = np.float32(scale) * _LOG2_E
    # queries, outputs, sums, peaks, keys, values, scores, weights
    sizes = np.array(
        [padded * width, padded * head_dim, padded * LANES, padded, BLOCK * width]
        + [BLOCK * width, ROWS * BLOCK, ROWS * BLOCK // 2]
    )
    starts = np.zeros(len(sizes), dtype=np.int64)
    for i in range(1, len(sizes)):
        starts[i] = starts[i - 1] + -(sizes[i - 1] // -LANES) * LANES
    memory = np.empty(starts[-1] + sizes[-1] + LANES, dtype=np.float32)
    base = -(memory.ctypes.data // -64) * 64
    rows, sums = words(base), floats(base + 4 * starts[2])
    totals, peaks = floats(base + 4 * starts[1]), floats(base + 4 * starts[3])
    columns, pairs = words(base + 4 * starts[4]), words(base + 4 * starts[5])
    scores, weights = floats(base + 4 * starts[6]), words(base + 4 * starts[7])
    limits = np.full(padded, _NO_LIMIT)
    for row in range(num_rows if causal else 0):
        limits[row] = position + first + row % count + 1
    for i in range(padded * head_dim):
        totals[i] = np.float32(0)
    for i in range(padded * LANES):
        sums[i] = np.float32(0)
    for row in range(padded):
        peaks[row] = _NONE
    view = -1
    for item in range(begin, end):
        start, num_keys, seen_through = items[item]
        if seen_through != view:
            view = seen_through
            for row in range(padded):
                h, t = group * repeats + row // count, first + row % count
                at = view * query_strides[0] + h * query_strides[1] + t * query_strides[2]
                source = words(queries + 4 * at)
                for i in range(width):
                    rows[row * width + i] = source[i] if row < num_rows else _ZERO
        offset = 4 * (group * kv_stride + start * width)
        _lay_out(words(keys + offset), words(values + offset), head_dim, num_keys, columns, pairs)
        torn = num_keys < BLOCK or start + num_keys > limits[0]
        for row in range(0, padded, ROWS):
            mine = after(peaks, row), after(sums, row * LANES), after(totals, row * head_dim)
            score(after(rows, row * width), width, columns, scores)
            if torn:
                _hide(scores, limits[row:], start, num_keys)
            if not weigh(scores, factor, LIMIT, mine[0], weights, mine[1]):
                _raise_peaks(scores, factor, mine[0], mine[1], mine[2], head_dim)
                weigh(scores, factor, _ANY, mine[0], weights, mine[1])
            for part in range(0, head_dim, BLOCK):
                gather(weights, after(pairs, part), head_dim, after(mine[2], part))
    for row in range(num_rows):
        total = np.float32(0)
        for i in range(LANES):
            total += sums[row * LANES + i]
        h, t = group * repeats + row // count, first + row % count
        at = slot * out_strides[0] + h * out_strides[1] + t * out_strides[2]
        target = floats(out + 4 * at)
        for i in range(head_dim):
            target[i] = totals[row * head_dim + i] / total
        at = slot * out_strides[3] + h * out_strides[4] + t
        floats(lse + 4 * at)[0] = (peaks[row] + np.log2(total)) * _LN_2


@numba.njit(parallel=True, cache=True, error_model="numpy")
def attend(
    units: Any,
    items: Any,
    queries: int,
    query_strides: Any,
    keys: int,
    values: int,
    kv_stride: int,
    head_dim: int,
    repeats: int,
    position: int,
    causal: bool,
    scale: float,
    out: int,
    lse: int,
    out_strides: Any,
) -> None:
    """Fill out and lse with what each unit of work attends to."""
    for index in numba.prange(len(units)):
        _one_unit(
            units[index],
            items,
            queries,
            query_strides,
            keys,
            values,
            kv_stride,
            head_dim,
            repeats,
            position,
            causal,
            scale,
            out,
            lse,
            out_strides,
        )
