"""How weights become the codes of `narrow`: levels found, packed into panels; compiled by numba."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir

from longctx.kernels.narrow_dots import CHUNK, GROUP, PANEL
from longctx.kernels.vectors import compiled_in, types

_FAST: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nnan", "ninf", "nsz", "arcp"},
}
# What bfloat16 may be off by, twice: in a weight and in the greatest, which the step goes by.
_ROUNDED = 2.05 / 256


@compiled_in
def _half(typing: Any, value: Any) -> Any:
    """The bits of a number in float16, which numba's own arrays cannot hold."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(builder.fptrunc(args[0], ir.HalfType()), ir.IntType(16))

    return types.uint16(types.float32), generate


@numba.njit(parallel=True, cache=True, **_FAST)
def encode(weight: Any, bits: int, panels: Any) -> int:
    """Fill `panels` uint8 [panels, bytes] from float32 rows; returns how many groups miss levels.

    A panel is the units of its rows, float32, then the codes, the scales and the least values, both
    float16. A group misses its levels where bfloat16 does not explain how far a weight is off.
    """
    num_rows, width = weight.shape
    num_groups = width // GROUP
    halves = 2 if bits == 6 else 1
    size = PANEL * GROUP * bits // 8
    misfits = 0
    for panel in numba.prange(len(panels)):
        units, rest = panels[panel, : 4 * PANEL].view(np.float32), panels[panel, 4 * PANEL :]
        codes, rest = rest[: num_groups * size], rest[num_groups * size :]
        num_scales = num_groups * halves * PANEL
        scales = rest[: 2 * num_scales].view(np.uint16)
        leasts = rest[2 * num_scales : 4 * num_scales].view(np.uint16)
        wide = np.zeros(GROUP * PANEL, dtype=np.uint8)
        found = np.zeros(GROUP, dtype=np.uint8)
        # 4 inputs of a row are a lane of a chunk
        lanes, fours = wide.view(np.uint32), found.view(np.uint32)
        values = np.zeros(GROUP, dtype=np.float32)
        rows = min(PANEL, num_rows - panel * PANEL)
        for r in range(PANEL):
            units[r] = _most(weight[panel * PANEL + r]) if r < rows else np.float32(0)
        for group in range(num_groups):
            for r in range(rows):
                inverse = np.float32(0) if units[r] == 0 else np.float32(1) / units[r]
                for i in range(GROUP):
                    values[i] = weight[panel * PANEL + r, group * GROUP + i] * inverse
                at = group * halves * PANEL + r
                if bits == 4:
                    missed, scale, least = _between(values, found)
                    leasts[at] = _half(least)
                    scales[at] = _half(scale)
                    misfits += missed
                else:
                    each = GROUP // halves
                    for half in range(halves):
                        part = slice(each * half, each * half + each)
                        missed, scale = _around(values[part], bits, found[part])
                        scales[at + half * PANEL] = _half(scale)
                        misfits += missed
                for s in range(GROUP // 4):
                    lanes[s * PANEL + r] = fours[s]
            _pack(wide, bits, codes[group * size : group * size + size])
    return misfits


@numba.njit(**_FAST)
def _most(row: Any) -> Any:
    """Returns the greatest magnitude."""
    most = np.float32(0)
    for i in range(len(row)):
        most = max(most, abs(row[i]))
    return most


@numba.njit(**_FAST)
def _around(values: Any, bits: int, codes: Any) -> Any:
    """Fill codes around the middle one; returns whether a weight is off its level, and the scale.

    The weight of the greatest magnitude has the lowest code, or one near it.
    """
    low = high = values[0]
    for i in range(len(values)):
        low, high = min(low, values[i]), max(high, values[i])
    peak = low if -low > high else high
    most = abs(peak)
    middle = 1 << (bits - 1)
    if bits == 8:
        step = -peak / np.float32(127)
        _round(values, step, middle, codes)
        return False, _fit_around(values, middle, codes, step)
    for top in range(middle, middle // 2, -1):
        step = -peak / np.float32(top)
        if _round(values, step, middle, codes) <= most * np.float32(_ROUNDED):
            return False, _fit_around(values, middle, codes, step)
    step = -peak / np.float32(middle)
    _round(values, step, middle, codes)
    return True, _fit_around(values, middle, codes, step)


@numba.njit(**_FAST)
def _round(values: Any, step: Any, middle: int, codes: Any) -> Any:
    """Fill the codes; returns how far the worst value is off."""
    inverse = np.float32(0) if step == 0 else np.float32(1) / step
    worst = np.float32(0)
    for i in range(len(values)):
        code = np.rint(values[i] * inverse)
        code = min(code, np.float32(middle - 1))
        worst = max(worst, abs(values[i] - code * step))
        codes[i] = np.uint8(np.int32(code) + middle)
    return worst


@numba.njit(**_FAST)
def _fit_around(values: Any, middle: int, codes: Any, step: Any) -> Any:
    """Returns the scale with the smallest squared error for these codes."""
    spread = shared = np.float32(0)
    for i in range(len(values)):
        code = np.float32(np.int32(codes[i]) - middle)
        spread += code * code
        shared += code * values[i]
    return step if spread == 0 else shared / spread


@numba.njit(**_FAST)
def _between(values: Any, codes: Any) -> Any:
    """Fill codes of 4 bits above a least value; returns whether one is off, scale and least."""
    low = high = values[0]
    for i in range(GROUP):
        low, high = min(low, values[i]), max(high, values[i])
    allowed = max(-low, high) * np.float32(_ROUNDED)
    # a group need not use the lowest and the highest of its levels
    for top in range(15, 6, -1):
        step = (high - low) / np.float32(top)
        if _lift(values, low, step, codes) <= allowed:
            scale, least = _fit_between(values, codes, low, step)
            return False, scale, least
    step = (high - low) / np.float32(15)
    _lift(values, low, step, codes)
    scale, least = _fit_between(values, codes, low, step)
    return True, scale, least


@numba.njit(**_FAST)
def _lift(values: Any, low: Any, step: Any, codes: Any) -> Any:
    """Fill the codes; returns how far the worst value is off."""
    inverse = np.float32(0) if step == 0 else np.float32(1) / step
    worst = np.float32(0)
    for i in range(GROUP):
        code = np.int32((values[i] - low) * inverse + np.float32(0.5))
        worst = max(worst, abs(values[i] - low - step * np.float32(code)))
        codes[i] = np.uint8(code)
    return worst


@numba.njit(**_FAST)
def _fit_between(values: Any, codes: Any, low: Any, step: Any) -> Any:
    """Returns the scale and least with the smallest squared error for these codes."""
    mean = mean_code = np.float32(0)
    for i in range(GROUP):
        mean += values[i]
        mean_code += np.float32(codes[i])
    mean, mean_code = mean / np.float32(GROUP), mean_code / np.float32(GROUP)
    spread = shared = np.float32(0)
    for i in range(GROUP):
        off = np.float32(codes[i]) - mean_code
        spread += off * off
        shared += off * (values[i] - mean)
    if spread == 0:
        return step, low
    return shared / spread, mean - mean_code * (shared / spread)


@numba.njit(**_FAST)
def _pack(wide: Any, bits: int, codes: Any) -> None:
    """Fill the codes of a panel's group from its 8 chunks of bytes."""
    if bits == 8:
        codes[:] = wide
        return
    half = 4 * CHUNK
    for i in range(half):
        codes[i] = wide[i] & 15 | (wide[half + i] & 15) << 4
    if bits == 5:
        for i in range(CHUNK):
            top = 0
            for s in range(8):
                top |= wide[s * CHUNK + i] >> 4 << s
            codes[half + i] = top
    elif bits == 6:
        for i in range(2 * CHUNK):
            top, first = 0, i // CHUNK * half + i % CHUNK
            for s in range(4):
                top |= wide[first + s * CHUNK] >> 4 << 2 * s
            codes[half + i] = top
