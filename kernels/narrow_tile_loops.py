"""The loops of `narrow` for the many rows of a prompt, compiled for the processor at first use."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from longctx.kernels.narrow_dots import GROUP, PANEL
from longctx.kernels.narrow_loops import code_row, gate_row, norm_row, room_for
from longctx.kernels.narrow_tiles import TOKENS, UNPACKED, tiling, unpacking
from longctx.kernels.panels import by_bits, find_panel
from longctx.kernels.vectors import take

_FAST: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nnan", "ninf", "nsz", "arcp"},
}

_unpack = by_bits(unpacking)
_four, _five, _six, _eight = map(tiling, (4, 5, 6, 8))


@numba.njit(parallel=True, cache=True, **_FAST)
def code_rows(x: Any, norm: Any, eps: float) -> Any:
    """Returns rows x [T, in] in bytes, in whole tiles, normed first if there is a norm."""
    num_tokens, width = x.shape
    found = room_for(num_tokens, -(num_tokens // -TOKENS) * TOKENS, width)
    codes, worths, sums, halves = found
    for t in numba.prange(num_tokens):
        row = np.empty(width, dtype=np.float32)
        norm_row(x[t], norm, eps, row)
        code_row(row, codes[t], worths[t], sums[t], halves[t])
    return found


@numba.njit(parallel=True, cache=True, **_FAST)
def code_gated_rows(both: Any, start: int, width: int, num_tokens: int) -> Any:
    """Returns SiLU(gate) * up in bytes, in whole tiles; the ups of a row begin at `start`."""
    found = room_for(num_tokens, -(num_tokens // -TOKENS) * TOKENS, width)
    codes, worths, sums, halves = found
    for t in numba.prange(num_tokens):
        row = np.empty(width, dtype=np.float32)
        gate_row(both[t], both[t, start:], row)
        code_row(row, codes[t], worths[t], sums[t], halves[t])
    return found


@numba.njit(error_model="numpy")
def _panel(
    bits: int, place: int, rows: Any, bias: int, out: int, stride: int, scratch: int
) -> None:
    """Fill 16 columns of out from the panel that lies at `place`."""
    codes, worths, sums, halves = rows
    count, width = codes.shape
    groups = width // GROUP
    floats = scratch + 2 * groups * UNPACKED
    _unpack(bits, place, groups, groups, scratch, floats)
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
            bits, place = find_panel(table, panel)
            more = nothing.ctypes.data
            if len(bias):
                more = bias.ctypes.data + 4 * panel * PANEL
            to = out.ctypes.data + 4 * panel * PANEL
            _panel(bits, place, rows, more, to, out.strides[0], scratch)
            panel = take(counter, 1)
