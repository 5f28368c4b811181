"""The loops of `narrow`, compiled for the processor at first use and kept by numba beside it."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir

from longctx.kernels.linear import FEW_ROWS
from longctx.kernels.narrow_dots import GROUP, PANEL, panel_dots
from longctx.kernels.vectors import compiled_in, floats, take, types

# numba's own annotations are of the compiler's insides
_carray: Any = vars(numba)["carray"]

_FAST: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nnan", "ninf", "nsz", "arcp"},
}

_four_one, _four_four = panel_dots(4, 1), panel_dots(4, 4)
_five_one, _five_four = panel_dots(5, 1), panel_dots(5, 4)
_six_one, _six_four = panel_dots(6, 1), panel_dots(6, 4)
_eight_one, _eight_four = panel_dots(8, 1), panel_dots(8, 4)


@numba.njit(**_FAST)
def room_for(num_tokens: int, count: int, width: int) -> Any:
    """Returns room for `count` rows in bytes, of which those after `num_tokens` are 0.

    It is the codes, what those of a group are worth, and the sums of groups and of their halves.
    """
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


@numba.njit(**_FAST)
def code_row(row: Any, codes: Any, worths: Any, sums: Any, halves: Any) -> None:
    """Fill what a row [in] is in bytes; the sums are in the units of the row."""
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
def in_bytes(rows: Any) -> Any:
    """Returns rows [T, in] in bytes, as in `room_for`; one row stays one, others become 4."""
    num_rows, width = rows.shape
    found = room_for(num_rows, 1 if num_rows == 1 else FEW_ROWS, width)
    codes, worths, sums, halves = found
    for t in range(num_rows):
        code_row(rows[t], codes[t], worths[t], sums[t], halves[t])
    return found


@numba.njit(**_FAST)
def _run(table: Any, first: int, last: int, rows: Any, found: Any, out: Any) -> None:
    """Fill what panels [first, last) of the table give of `out` [T, 16 * panels]."""
    codes, worths, sums, halves = rows
    num_tokens, width = len(out), codes.shape[1]
    one, num_groups = len(codes) == 1, width // GROUP
    x, worth, total = codes.ctypes.data, worths.ctypes.data, sums.ctypes.data
    half, to = halves.ctypes.data, found.ctypes.data
    part = 0
    for panel in range(first, last):
        while panel >= table[part, 3]:
            part += 1
        address, bits, size = table[part, 0], table[part, 1], table[part, 2]
        before = table[part - 1, 3] if part else 0
        place = address + (panel - before) * size
        at = place + 4 * PANEL
        scales = at + num_groups * (PANEL * GROUP * bits // 8)
        if bits == 4:
            if one:
                _four_one(at, scales, x, worth, total, num_groups, to)
            else:
                _four_four(at, scales, x, worth, total, num_groups, to)
        elif bits == 5:
            if one:
                _five_one(at, scales, x, worth, total, num_groups, to)
            else:
                _five_four(at, scales, x, worth, total, num_groups, to)
        elif bits == 6:
            if one:
                _six_one(at, scales, x, worth, half, num_groups, to)
            else:
                _six_four(at, scales, x, worth, half, num_groups, to)
        elif one:
            _eight_one(at, scales, x, worth, total, num_groups, to)
        else:
            _eight_four(at, scales, x, worth, total, num_groups, to)
        units = _carray(floats(place), PANEL)
        for t in range(num_tokens):
            for r in range(PANEL):
                out[t, panel * PANEL + r] = found[t * PANEL + r] * units[r]


@compiled_in
def _as_float(typing: Any, bits: Any) -> Any:
    """The float32 of these bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), generate


@numba.njit(**_FAST)
def exp(x: Any) -> Any:
    """Returns e^x to 1e-7 of it, in steps that a processor takes for many at once."""
    x = min(max(x, np.float32(-87)), np.float32(88)) * np.float32(1.4426950408889634)
    whole = np.floor(x)
    # 2^f = e^(f ln 2), by its series
    f = (x - whole) * np.float32(0.6931471805599453)
    power = np.float32(1 / 5040)
    for divisor in (720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0):
        power = power * f + np.float32(1) / np.float32(divisor)
    return power * _as_float((np.int32(whole) + np.int32(127)) << np.int32(23))


@numba.njit(**_FAST)
def norm_row(x: Any, weight: Any, eps: Any, row: Any) -> None:
    """Fill a row with x [in] at mean square 1, times the weight [in]; x itself without a weight."""
    factor = np.float32(1)
    if len(weight):
        total = np.float32(0)
        for i in range(len(x)):
            total += x[i] * x[i]
        factor = np.float32(1) / np.sqrt(total / np.float32(len(x)) + np.float32(eps))
    for i in range(len(x)):
        row[i] = x[i] * factor * weight[i] if len(weight) else x[i]


@numba.njit(**_FAST)
def gate_row(gates: Any, ups: Any, row: Any) -> None:
    """Fill a row with SiLU(gate) * up."""
    for i in range(len(row)):
        row[i] = gates[i] / (np.float32(1) + exp(-gates[i])) * ups[i]


@numba.njit(**_FAST)
def _normed(x: Any, weight: Any, eps: Any) -> Any:
    """Returns rows x [T, in] of mean square 1, times the weight [in]."""
    rows = np.empty_like(x)
    for t in range(len(x)):
        norm_row(x[t], weight, eps, rows[t])
    return rows


@numba.njit(parallel=True, **_FAST)
def _products(table: Any, rows: Any, num_tokens: int, num_threads: int) -> Any:
    """Returns rows in bytes times the matrices of the table, float32 [T, 16 * panels]."""
    num_panels = table[-1, 3]
    out = np.empty((num_tokens, num_panels * PANEL), dtype=np.float32)
    # a thread that is held up leaves the rest to the others
    run = max(1, min(num_panels // (8 * num_threads), 64))
    counter = np.zeros(8, dtype=np.int64)
    for _ in numba.prange(num_threads):
        found = np.empty(4 * PANEL, dtype=np.float32)
        first = take(counter, run)
        while first < num_panels:
            _run(table, first, min(first + run, num_panels), rows, found, out)
            first = take(counter, run)
    return out


@numba.njit(cache=True, **_FAST)
def multiply(table: Any, x: Any, bias: Any, norm: Any, eps: float, num_threads: int) -> Any:
    """Returns x [T, in] times the matrices of the table, plus bias, float32 [T, 16 * panels].

    Rows are normed first, unless the norm is empty; so may the bias be.
    """
    out = _products(table, in_bytes(_normed(x, norm, eps)), len(x), num_threads)
    if len(bias):
        for t in range(len(out)):
            for i in range(out.shape[1]):
                out[t, i] += bias[i]
    return out


@numba.njit(cache=True, **_FAST)
def swiglu(
    gate_up: Any, down: Any, mlp_size: int, x: Any, norm: Any, eps: float, num_threads: int
) -> Any:
    """Returns what a SwiGLU makes of rows x [T, hidden], float32 [T, 16 * panels]."""
    both = _products(gate_up, in_bytes(_normed(x, norm, eps)), len(x), num_threads)
    start = gate_up[0, 3] * PANEL
    rows = np.empty((len(x), mlp_size), dtype=np.float32)
    for t in range(len(x)):
        gate_row(both[t], both[t, start:], rows[t])
    return _products(down, in_bytes(rows), len(x), num_threads)
