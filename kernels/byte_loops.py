"""The loops of `byte_linear`, compiled for the processor at first use and kept by numba beside it.

Tensors come as their addresses: one compilation serves all shapes.
"""

from __future__ import annotations

import numba
import numpy as np

from longctx.kernels.byte_vectors import (
    GROUP,
    OUTPUTS,
    TOKENS,
    code_gated_group,
    code_group,
    sum_of_squares,
    tiling,
)
from longctx.kernels.vectors import LANES, floats, words

_tile, _pair, _one = tiling(TOKENS, False), tiling(2, False), tiling(1, False)
_add_tile, _add_pair, _add_one = tiling(TOKENS, True), tiling(2, True), tiling(1, True)
_PANEL_BYTES = OUTPUTS * 4
_HALF, _HIGH, _SIGNS = np.uint32(16), np.uint32(0xFFFF0000), np.uint32(0x80808080)


@numba.njit(parallel=True, cache=True, error_model="numpy")
def multiply(
    num_tokens: int,
    codes: int,
    sums: int,
    scales: int,
    groups: int,
    weights: int,
    weight_scales: int,
    bias: int,
    num_panels: int,
    out: int,
    stride: int,
    adds: bool,
) -> None:
    """Fill bfloat16 out [T, O], rows `stride` words apart, or add the product to float32 out."""
    for panel in numba.prange(num_panels):
        matrix = words(weights + panel * groups * (GROUP // 4) * _PANEL_BYTES)
        of_outputs = floats(weight_scales + panel * groups * _PANEL_BYTES)
        start = floats(bias + panel * _PANEL_BYTES)
        t = 0
        while t < num_tokens:
            rows = words(codes + t * groups * GROUP)
            below, each = words(sums + 4 * t * groups), floats(scales + 4 * t * groups)
            at = out + 4 * (t * stride + panel * (OUTPUTS if adds else OUTPUTS // 2))
            rest = num_tokens - t
            if rest >= TOKENS:
                if adds:
                    to = floats(at)
                    _add_tile(rows, below, each, groups, matrix, of_outputs, start, to, stride)
                else:
                    _tile(rows, below, each, groups, matrix, of_outputs, start, words(at), stride)
                t += TOKENS
            elif rest >= 2:
                if adds:
                    to = floats(at)
                    _add_pair(rows, below, each, groups, matrix, of_outputs, start, to, stride)
                else:
                    _pair(rows, below, each, groups, matrix, of_outputs, start, words(at), stride)
                t += 2
            else:
                if adds:
                    to = floats(at)
                    _add_one(rows, below, each, groups, matrix, of_outputs, start, to, stride)
                else:
                    _one(rows, below, each, groups, matrix, of_outputs, start, words(at), stride)
                t += 1


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


@numba.njit(parallel=True, cache=True, error_model="numpy")
def code_weights(matrix: int, num_panels: int, groups: int, codes: int, scales: int) -> None:
    """Fill codes [P, K / 4, 32, 4] and scales [P, K / 64, 32] of bfloat16 rows [O, K]."""
    ones = np.ones(GROUP, dtype=np.float32)
    for panel in numba.prange(num_panels):
        memory = np.empty(3 * GROUP + 2 * LANES, dtype=np.float32)
        base = -(memory.ctypes.data // -64) * 64
        row, found, sums = words(base), words(base + 4 * GROUP), words(base + 5 * GROUP)
        weight = floats(base + 8 * GROUP)
        for i in range(GROUP):
            weight[i] = ones[i]
        for r in range(OUTPUTS):
            source = words(matrix + 2 * (panel * OUTPUTS + r) * groups * GROUP)
            for group in range(groups):
                for i in range(GROUP // 2):
                    pair = source[group * (GROUP // 2) + i]
                    row[2 * i] = pair << _HALF
                    row[2 * i + 1] = pair & _HIGH
                at = panel * groups + group
                scale = floats(scales + 4 * (at * OUTPUTS + r))
                code_group(floats(base), np.float32(1), weight, found, scale, sums)
                target = words(codes + at * GROUP * OUTPUTS)
                for i in range(GROUP // 4):
                    # without a sign, 128 stands for 0
                    target[i * OUTPUTS + r] = found[i] ^ _SIGNS
