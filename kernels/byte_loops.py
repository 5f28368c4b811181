"""The loops of `byte_linear`, compiled for the processor at first use and kept by numba beside it.

Tensors come as their addresses: one compilation serves all shapes.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from longctx.kernels.byte_vectors import (
    GROUP,
    OUTPUTS,
    TOKENS,
    code_gated_group,
    code_group,
    regrouping,
    sum_of_squares,
    tiling,
)
from longctx.kernels.narrow_dots import GROUP as NARROW_GROUP
from longctx.kernels.narrow_dots import PANEL
from longctx.kernels.panels import by_bits, find_panel
from longctx.kernels.vectors import floats, take, words

_tile, _pair, _one = tiling(TOKENS, False), tiling(2, False), tiling(1, False)
_add_tile, _add_pair, _add_one = tiling(TOKENS, True), tiling(2, True), tiling(1, True)
_regroup = by_bits(regrouping)


@numba.njit(error_model="numpy")
def _tiles(
    num_tokens: int,
    codes: int,
    sums: int,
    scales: int,
    groups: int,
    matrix: Any,
    of_outputs: Any,
    start: Any,
    out: int,
    stride: int,
    adds: bool,
) -> None:
    """Fill 32 columns of `out`, or add to them."""
    t = 0
    while t < num_tokens:
        rows = words(codes + t * groups * GROUP)
        below, each = words(sums + 4 * t * groups), floats(scales + 4 * t * groups)
        at = out + 4 * t * stride
        rest = num_tokens - t
        if rest >= TOKENS:
            if adds:
                _add_tile(rows, below, each, groups, matrix, of_outputs, start, floats(at), stride)
            else:
                _tile(rows, below, each, groups, matrix, of_outputs, start, words(at), stride)
            t += TOKENS
        elif rest >= 2:
            if adds:
                _add_pair(rows, below, each, groups, matrix, of_outputs, start, floats(at), stride)
            else:
                _pair(rows, below, each, groups, matrix, of_outputs, start, words(at), stride)
            t += 2
        else:
            if adds:
                _add_one(rows, below, each, groups, matrix, of_outputs, start, floats(at), stride)
            else:
                _one(rows, below, each, groups, matrix, of_outputs, start, words(at), stride)
            t += 1


@numba.njit(parallel=True, cache=True, error_model="numpy")
def multiply(
    num_tokens: int,
    codes: int,
    sums: int,
    scales: int,
    groups: int,
    table: Any,
    bias: Any,
    out: int,
    stride: int,
    adds: bool,
    num_threads: int,
) -> None:
    """Fill bfloat16 out [T, O], rows `stride` words apart, or add the product to float32 out.

    A thread makes two panels of the table 32 outputs in bytes and multiplies all rows with them.
    """
    num_pairs = table[-1, 3] // 2
    counter = np.zeros(8, dtype=np.int64)
    for _ in numba.prange(num_threads):
        memory = np.empty(groups * (GROUP + 4) * OUTPUTS + 4 * OUTPUTS + 64, dtype=np.uint8)
        matrix = -(memory.ctypes.data // -64) * 64
        of_outputs = matrix + groups * GROUP * OUTPUTS
        start = floats(of_outputs + 4 * groups * OUTPUTS)
        pair = take(counter, 1)
        while pair < num_pairs:
            for half in range(2):
                bits, place = find_panel(table, 2 * pair + half)
                to = matrix + 4 * half * PANEL, of_outputs + 4 * half * PANEL
                narrow_groups = groups * (GROUP // NARROW_GROUP)
                _regroup(bits, place, narrow_groups, place, groups, to[0], to[1])
            for i in range(OUTPUTS):
                start[i] = bias[pair * OUTPUTS + i] if len(bias) else np.float32(0)
            _tiles(
                num_tokens,
                codes,
                sums,
                scales,
                groups,
                words(matrix),
                floats(of_outputs),
                start,
                out + 4 * pair * (OUTPUTS if adds else OUTPUTS // 2),
                stride,
                adds,
            )
            pair = take(counter, 1)


@numba.njit(parallel=True, cache=True, error_model="numpy")
def code_rows(
    num_tokens: int,
    rows: int,
    stride: int,
    groups: int,
    weight: int,
    eps: float,
    normed: bool,
    codes: int,
    sums: int,
    scales: int,
) -> None:
    """Fill codes, sums and scales of rows times a weight, divided by their norms if `normed`."""
    width = groups * GROUP
    for t in numba.prange(num_tokens):
        factor = np.float32(1)
        if normed:
            mean = sum_of_squares(floats(rows + 4 * t * stride), width) / np.float32(width)
            factor = np.float32(1) / np.sqrt(mean + np.float32(eps))
        for group in range(groups):
            at = t * groups + group
            code_group(
                floats(rows + 4 * (t * stride + group * GROUP)),
                factor,
                floats(weight + 4 * group * GROUP),
                words(codes + at * GROUP),
                floats(scales + 4 * at),
                words(sums + 4 * at),
            )


@numba.njit(parallel=True, cache=True, error_model="numpy")
def code_gated_rows(
    num_tokens: int, rows: int, stride: int, groups: int, codes: int, sums: int, scales: int
) -> None:
    """Fill codes, sums and scales of SiLU(gate) * up, which lie one after the other in a row."""
    for t in numba.prange(num_tokens):
        for group in range(groups):
            at, gate = t * groups + group, rows + 4 * (t * stride + group * (GROUP // 2))
            code_gated_group(
                words(gate),
                words(gate + 2 * groups * GROUP),
                words(codes + at * GROUP),
                floats(scales + 4 * at),
                words(sums + 4 * at),
            )
