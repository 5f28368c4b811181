"""The loops of `blocks`, compiled for the processor at first use and kept by numba beside it."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir

from longctx.kernels.narrow_loops import exp
from longctx.kernels.turn_loops import FAST
from longctx.kernels.vectors import (
    FLOATS,
    I64,
    LANES,
    after,
    cgutils,
    compiled_in,
    every,
    floats,
    fma,
    load,
    place,
    shuffled,
    take,
    times,
    types,
)

# A float in parts of 12 bits: its sign, its exponent and three bits more, and the next ones.
_BUCKETS, _LOW = 1 << 12, np.uint32((1 << 12) - 1)
_SHIFTS = (np.uint32(20), np.uint32(8))


@compiled_in
def _dots(typing: Any, row: Any, rows: Any, size: Any, to: Any) -> Any:
    """The products of a row of floats with the LANES rows at `rows`, all of `size`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row, rows, size, to = args
        sums = [cgutils.alloca_once_value(builder, every(0.0)) for _ in range(LANES)]
        with cgutils.for_range(builder, builder.udiv(size, ir.Constant(I64, LANES))) as loop:
            at = times(builder, loop.index, LANES)
            factor = load(builder, row, FLOATS, at, 4)
            for lane, so_far in enumerate(sums):
                other = load(builder, rows, FLOATS, builder.add(at, times(builder, size, lane)), 4)
                builder.store(fma(builder, factor, other, builder.load(so_far)), so_far)
        found, half = [builder.load(so_far) for so_far in sums], LANES // 2
        while half:
            # of each two vectors the halves are added up, so that in the end lane i is sum i
            low = [lane if not lane & half else LANES + lane - half for lane in range(LANES)]
            high = [lane + half if not lane & half else LANES + lane for lane in range(LANES)]
            found = [
                builder.fadd(shuffled(builder, *pair, low), shuffled(builder, *pair, high))
                for pair in zip(found[:half], found[half:], strict=True)
            ]
            half //= 2
        builder.store(found[0], place(builder, to, 0, FLOATS)).align = 4
        return context.get_dummy_value()

    return types.void(row, rows, size, to), generate


@numba.njit(**FAST)
def _predict_one(pooled: Any, ends: Any, means: Any, scale: Any, shares: Any) -> None:
    """Fill shares [N] with the attention of the heads of a group, pooled [V, R, D], to `means`."""
    (_, num_heads, head_dim), num_blocks = pooled.shape, len(shares)
    scores = np.empty((num_heads, num_blocks), dtype=np.float32)
    rows, found, begin = floats(pooled.ctypes.data), floats(scores.ctypes.data), 0
    for view in range(len(ends)):
        whole = begin
        if head_dim % LANES == 0:
            whole += (ends[view] - begin) // LANES * LANES
        for n in range(begin, whole, LANES):
            for h in range(num_heads):
                row = after(rows, (view * num_heads + h) * head_dim)
                _dots(row, after(means, n * head_dim), head_dim, after(found, h * num_blocks + n))
        for n in range(whole, ends[view]):
            for h in range(num_heads):
                product = np.float32(0)
                for i in range(head_dim):
                    product += pooled[view, h, i] * means[n * head_dim + i]
                scores[h, n] = product
        begin = ends[view]
    shares[:] = np.float32(0)
    for h in range(num_heads):
        row, total, greatest = scores[h], np.float32(0), scores[h, 0]
        for n in range(num_blocks):
            greatest = max(greatest, row[n])
        for n in range(num_blocks):
            row[n] = exp((row[n] - greatest) * scale)
            total += row[n]
        share = np.float32(1) / (total * np.float32(num_heads))
        for n in range(num_blocks):
            shares[n] += row[n] * share


@numba.njit(parallel=True, cache=True, **FAST)
def predict(pooled: Any, ends: Any, means: Any, scale: float, mass: Any, num_threads: int) -> None:
    """Fill mass [G, N] with the attention of pooled queries [G, V, R, D] to means [G, N, D].

    A View holds the Blocks from the end of the one before up to its own.
    """
    counter = np.zeros(8, dtype=np.int64)
    for _ in numba.prange(num_threads):
        group = take(counter, 1)
        while group < len(mass):
            address = means.ctypes.data + group * means.strides[0]
            _predict_one(pooled[group], ends, floats(address), np.float32(scale), mass[group])
            group = take(counter, 1)


@numba.njit(cache=True, error_model="numpy")
def choose(mass: Any, first: int, last: int, rooms: Any, least: Any, chosen: Any) -> None:
    """Choose of the Blocks [first, last) of mass [G, N] the greatest, in bool [G, N].

    At most as many as there is room for, [G], and only while what the better ones leave is more
    than the least [G]. Of equal ones the first are chosen. Blocks are sorted into buckets by the
    upper bits of their mass, those of the bucket that is not whole by the next bits, and so on.
    """
    counts, sums = np.empty(_BUCKETS, np.int64), np.empty(_BUCKETS, np.float64)
    for group in range(len(mass)):
        shares, taken = mass[group], chosen[group]
        bits = shares.view(np.uint32)
        left = 1.0 - shares[:first].sum() - shares[last:].sum()
        room = min(rooms[group], last - first)
        places = np.arange(first, last)
        taken[first:last] = False
        for shift in _SHIFTS:
            counts[:] = 0
            sums[:] = 0.0
            for n in places:
                bucket = (bits[n] >> shift) & _LOW
                counts[bucket] += 1
                sums[bucket] += shares[n]
            # whole buckets while all of their Blocks are surely in
            bucket = _BUCKETS - 1
            while bucket >= 0 and counts[bucket] <= room and left - sums[bucket] > least[group]:
                room -= counts[bucket]
                left -= sums[bucket]
                bucket -= 1
            count = 0
            for n in places:
                own = np.int64((bits[n] >> shift) & _LOW)
                if own > bucket:
                    taken[n] = True
                elif own == bucket:
                    places[count] = n
                    count += 1
            places = places[:count]
        for n in places[np.argsort(-shares[places], kind="mergesort")][:room]:
            if left <= least[group]:
                break
            taken[n] = True
            left -= shares[n]


@numba.njit(cache=True, error_model="numpy")
def items_of_chosen(chosen: Any, block: int, borders: Any, begin: int, end: int) -> Any:
    """Returns the Items of chosen Blocks, bool [N], and of all keys [begin, end) after them.

    `borders` are the keys at which all Views but the last end, in ascending order.
    """
    most = chosen.sum() + (end - begin + block - 1) // block
    found, count, view = np.empty((most, 3), dtype=np.int64), 0, 0
    for n in range(len(chosen)):
        while view < len(borders) and n * block >= borders[view]:
            view += 1
        if chosen[n]:
            found[count] = n * block, block, view
            count += 1
    for start in range(begin, end, block):
        found[count] = start, min(block, end - start), len(borders)
        count += 1
    return found
