"""The loops of `narrow` for the many rows of a prompt, compiled for the processor at first use."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from longctx.kernels.narrow_dots import GROUP, PANEL
from longctx.kernels.narrow_loops import exp, take
from longctx.kernels.narrow_tiles import TOKENS, UNPACKED, tiling, unpacking

_FAST: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nnan", "ninf", "nsz", "arcp"},
}

_unpack_four, _unpack_five, _unpack_six, _unpack_eight = map(unpacking, (4, 5, 6, 8))
_four, _five, _six, _eight = map(tiling, (4, 5, 6, 8))


@numba.njit(**_FAST)
def _code(row: Any, codes: Any, worths: Any, sums: Any, halves: Any) -> None:
    """Fill what a row [in] is in bytes: its codes, what a group's are worth, and its sums."""
    for group in range(len(row) // GROUP):
        start = group * GROUP
        most = np.float32(0)
        for i in range(GROUP):
            most = max(most, abs(row[start + i]))
        worth = most / np.float32(127)
        inverse = np.float32(0) if worth == 0 else np.float32(1) / worth
        for half in range(2):
            total = np.int32(0)
            for i in range(start + half * 16, start + half * 16 + 16):
                code = np.int32(np.rint(row[i] * inverse))
                codes[i] = code
                total += code
            halves[2 * group + half] = np.float32(total) * worth
        worths[group] = worth
        sums[group] = halves[2 * group] + halves[2 * group + 1]


@numba.njit(**_FAST)
def _empty(num_tokens: int, width: int) -> Any:
    """Returns room for rows in bytes, in whole tiles; rows that are missing are 0."""
    count = -(num_tokens // -TOKENS) * TOKENS
    groups = width // GROUP
    codes = np.empty((count, width), dtype=np.int8)
    worths = np.empty((count, groups), dtype=np.float32)
    sums = np.empty((count, groups), dtype=np.float32)
    halves = np.empty((count, 2 * groups), dtype=np.float32)
    codes[num_tokens:] = 0
    worths[num_tokens:] = 0
    sums[num_tokens:] = 0
    halves[num_tokens:] = 0
    return codes, worths, sums, halves


@numba.njit(parallel=True, cache=True, **_FAST)
def code_rows(x: Any, norm: Any, eps: float) -> Any:
    """Returns rows x [T, in] in bytes, brought to mean square 1 and times `norm` if it has any."""
    num_tokens, width = x.shape
    codes, worths, sums, halves = _empty(num_tokens, width)
    for t in numba.prange(num_tokens):
        row = np.empty(width, dtype=np.float32)
        if len(norm):
            total = np.float32(0)
            for i in range(width):
                total += x[t, i] * x[t, i]
            factor = np.float32(1) / np.sqrt(total / np.float32(width) + np.float32(eps))
            for i in range(width):
                row[i] = x[t, i] * factor * norm[i]
        else:
            for i in range(width):
                row[i] = x[t, i]
        _code(row, codes[t], worths[t], sums[t], halves[t])
    return codes, worths, sums, halves


@numba.njit(parallel=True, cache=True, **_FAST)
def code_gated_rows(both: Any, start: int, width: int, num_tokens: int) -> Any:
    """Returns SiLU(gate) * up in bytes; the ups of a row begin at `start`."""
    codes, worths, sums, halves = _empty(num_tokens, width)
    for t in numba.prange(num_tokens):
        row = np.empty(width, dtype=np.float32)
        gates, ups = both[t, :width], both[t, start : start + width]
        for i in range(width):
            row[i] = gates[i] / (np.float32(1) + exp(-gates[i])) * ups[i]
        _code(row, codes[t], worths[t], sums[t], halves[t])
    return codes, worths, sums, halves


@numba.njit(error_model="numpy")
def _panel(
    bits: int, place: int, rows: Any, bias: int, out: int, stride: int, scratch: int
) -> None:
    """Fill 16 columns of out from the panel that lies at `place`."""
    codes, worths, sums, halves = rows
    count, width = codes.shape
    groups = width // GROUP
    at, floats = place + 4 * PANEL, scratch + 2 * groups * UNPACKED
    scales = at + groups * (PANEL * GROUP * bits // 8)
    if bits == 4:
        _unpack_four(at, scales, groups, scratch, floats)
    elif bits == 5:
        _unpack_five(at, scales, groups, scratch, floats)
    elif bits == 6:
        _unpack_six(at, scales, groups, scratch, floats)
    else:
        _unpack_eight(at, scales, groups, scratch, floats)
    for t in range(0, count, TOKENS):
        x, worth = codes.ctypes.data + t * width, worths.ctypes.data + 4 * t * groups
        total, to = sums.ctypes.data + 4 * t * groups, out + t * stride
        if bits == 4:
            _four(scratch, floats, x, worth, total, groups, place, bias, to, stride)
        elif bits == 5:
            _five(scratch, floats, x, worth, total, groups, place, bias, to, stride)
        elif bits == 6:
            half = halves.ctypes.data + 8 * t * groups
            _six(scratch, floats, x, worth, half, groups, place, bias, to, stride)
        else:
            _eight(scratch, floats, x, worth, total, groups, place, bias, to, stride)


@numba.njit(parallel=True, cache=True, error_model="numpy")
def multiply(table: Any, rows: Any, bias: Any, out: Any, num_threads: int) -> None:
    """Fill out [T, 16 * panels] with rows in bytes times the matrices of the table, plus bias.

    The rows of `out` are whole tiles.
    """
    num_panels, groups = table[-1, 3], rows[0].shape[1] // GROUP
    counter = np.zeros(8, dtype=np.int64)
    nothing = np.zeros(PANEL, dtype=np.float32)
    for _ in numba.prange(num_threads):
        # codes in halves, scales in halves
        memory = np.empty(groups * (2 * UNPACKED + 8 * PANEL) + 64, dtype=np.uint8)
        scratch = -(memory.ctypes.data // -64) * 64
        panel = take(counter, 1)
        while panel < num_panels:
            part = 0
            while panel >= table[part, 3]:
                part += 1
            before = table[part - 1, 3] if part else 0
            place = table[part, 0] + (panel - before) * table[part, 2]
            more = nothing.ctypes.data
            if len(bias):
                more = bias.ctypes.data + 4 * panel * PANEL
            to = out.ctypes.data + 4 * panel * PANEL
            _panel(table[part, 1], place, rows, more, to, out.strides[0], scratch)
            panel = take(counter, 1)
