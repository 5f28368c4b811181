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

from longctx.kernels.coded_loops import restore_block
from longctx.kernels.flash_forms import BLOCK, FORMS
from longctx.kernels.flash_layout import IN_TILES, IN_WORD, fill_block, lay_out, lay_out_row
from longctx.kernels.flash_vectors import ROWS, WEIGHED, gather, score, top, weigh
from longctx.kernels.tiles import begin_tiles, end_tiles
from longctx.kernels.vectors import LANES, after, floats, take, words

# In powers of two: how far a weight may be over its reference.
LIMIT = np.float32(40.0)
_LOG2_E = np.float32(1.4426950408889634)
_LN_2 = np.float32(0.6931471805599453)
_NONE = np.float32(-np.inf)
_ANY = np.float32(np.inf)
_ZERO = np.uint32(0)
_NO_LIMIT = 2**62


@numba.njit
def _nothing() -> None:
    """What a Form without tiles begins and ends with."""


_begin: Any = begin_tiles if FORMS.form.in_tiles else _nothing
_end: Any = end_tiles if FORMS.form.in_tiles else _nothing


@numba.njit(error_model="numpy")
def _hide(scores: Any, limits: Any, start: int, num_keys: int) -> None:
    """Take the keys that lie at or after the limits of ROWS rows out of their scores."""
    for r in range(ROWS):
        seen = min(num_keys, limits[r] - start)
        for j in range(max(0, seen), BLOCK):
            scores[r * BLOCK + j] = _NONE


@numba.njit(error_model="numpy")
def _raise_peaks(scores: Any, factor: Any, peaks: Any, sums: Any, out: Any, head_dim: int) -> None:
    """Give new references to those of WEIGHED rows whose scores have outgrown theirs."""
    for r in range(WEIGHED):
        most = top(after(scores, r * BLOCK)) * factor
        if most > peaks[r] + LIMIT:
            shrink = np.exp2(peaks[r] - most)
            peaks[r] = most
            for i in range(head_dim):
                out[r * head_dim + i] *= shrink
            for i in range(LANES):
                sums[r * LANES + i] *= shrink


@numba.njit(error_model="numpy")
def _one_unit(
    unit: Any,
    items: Any,
    queries: int,
    query_strides: Any,
    keys: int,
    values: int,
    kv_stride: int,
    coding: Any,
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
    width, depth = head_dim // 2, head_dim // IN_WORD
    is_coded = coding[0] != 0
    stored_width = head_dim // 4 if is_coded else width
    num_rows = count * repeats
    padded = -(num_rows // -ROWS) * ROWS
    factor = np.float32(scale) * _LOG2_E
    # queries, outputs, sums, peaks, keys, values, scores, weights, what makes a Block whole
    sizes = np.array(
        [padded * depth, padded * head_dim, padded * LANES, padded, BLOCK * depth]
        + [BLOCK * depth, ROWS * BLOCK, ROWS * BLOCK // IN_WORD, BLOCK * width, BLOCK * width]
    )
    starts = np.zeros(len(sizes), dtype=np.int64)
    for i in range(1, len(sizes)):
        starts[i] = starts[i - 1] + -(sizes[i - 1] // -LANES) * LANES
    memory = np.empty(starts[-1] + sizes[-1] + LANES, dtype=np.float32)
    base = -(memory.ctypes.data // -64) * 64
    rows, sums = words(base), floats(base + 4 * starts[2])
    totals, peaks = floats(base + 4 * starts[1]), floats(base + 4 * starts[3])
    columns, panels = words(base + 4 * starts[4]), words(base + 4 * starts[5])
    scores, weights = floats(base + 4 * starts[6]), words(base + 4 * starts[7])
    whole_keys, whole_values = words(base + 4 * starts[8]), words(base + 4 * starts[9])
    limits = np.full(padded, _NO_LIMIT)
    for row in range(num_rows if causal else 0):
        limits[row] = position + first + row % count + 1
    for i in range(padded * head_dim):
        totals[i] = np.float32(0)
    for i in range(padded * LANES):
        sums[i] = np.float32(0)
    for i in range(num_rows * depth, padded * depth):
        rows[i] = _ZERO
    for row in range(padded):
        peaks[row] = _NONE
    view = -1
    for item in range(begin, end):
        start, num_keys, seen_through = items[item]
        if seen_through != view:
            view = seen_through
            for row in range(num_rows):
                h, t = group * repeats + row // count, first + row % count
                at = view * query_strides[0] + h * query_strides[1] + t * query_strides[2]
                source = words(queries + 4 * at)
                lay_out_row(source, head_dim, after(rows, row * depth))
        offset = 4 * (group * kv_stride + start * stored_width)
        some_keys, some_values = words(keys + offset), words(values + offset)
        upcoming = items[min(item + 1, end - 1), 0]
        ahead = 4 * (group * kv_stride + upcoming * stored_width)
        if is_coded:
            places = coding, group, start, num_keys, head_dim
            restore_block(some_keys, some_values, *places, whole_keys, whole_values)
            some_keys, some_values = whole_keys, whole_values
        elif num_keys < BLOCK:
            fill_block(some_keys, head_dim, num_keys, whole_keys)
            fill_block(some_values, head_dim, num_keys, whole_values)
            some_keys, some_values = whole_keys, whole_values
        lay_out(some_keys, some_values, head_dim, columns, panels, keys + ahead, values + ahead)
        torn = num_keys < BLOCK or start + num_keys > limits[0]
        for row in range(0, padded, ROWS):
            seen = min(num_keys, limits[row : row + ROWS].max() - start) if torn else BLOCK
            if seen <= 0:
                continue
            asks = row == 0 and not IN_TILES
            some_rows = after(rows, row * depth)
            score(some_rows, depth, columns, seen, scores, keys + ahead, asks)
            if torn:
                _hide(scores, limits[row:], start, num_keys)
            # rows that only fill up are not weighed where they come at once
            for some in range(0, min(ROWS, num_rows - row), WEIGHED):
                mine, its = after(scores, some * BLOCK), after(weights, some * BLOCK // IN_WORD)
                at = row + some
                of = after(peaks, at), after(sums, at * LANES), after(totals, at * head_dim)
                if not weigh(mine, factor, LIMIT, of[0], its, of[1]):
                    _raise_peaks(mine, factor, of[0], of[1], of[2], head_dim)
                    weigh(mine, factor, _ANY, of[0], its, of[1])
            some_totals = after(totals, row * head_dim)
            gather(weights, seen, panels, head_dim, some_totals, values + ahead, asks)
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
    coding: Any,
    head_dim: int,
    repeats: int,
    position: int,
    causal: bool,
    scale: float,
    out: int,
    lse: int,
    out_strides: Any,
    num_threads: int,
) -> None:
    """Fill out and lse with what each unit of work attends to.

    The last ones, which see the most where queries are causal, are begun first, and a thread that
    is held up leaves the rest to the others.
    """
    counter = np.zeros(8, dtype=np.int64)
    for _ in numba.prange(num_threads):
        _begin()
        left = len(units) - 1 - take(counter, 1)
        while left >= 0:
            _one_unit(
                units[left],
                items,
                queries,
                query_strides,
                keys,
                values,
                kv_stride,
                coding,
                head_dim,
                repeats,
                position,
                causal,
                scale,
                out,
                lse,
                out_strides,
            )
            left = len(units) - 1 - take(counter, 1)
        _end()
