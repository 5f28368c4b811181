"""Keys and values in 8 bits (`eight_bits`) inside the kernels: how they are made and made whole."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def whole_keys(k1, k2, scales, bias, cos, sin, block, HALF: tl.constexpr, KEYS: tl.constexpr):
    """The two halves [HALF, KEYS] of a Block of keys of 8 bits, scaled, their bias added."""
    half, place = tl.arange(0, HALF), tl.arange(0, KEYS)
    at = bias + (place * 2 * HALF)[None, :] + half[:, None]
    first, second = tl.load(at), tl.load(at + HALF)
    c = tl.load(cos + block * HALF + half)[:, None]
    s = tl.load(sin + block * HALF + half)[:, None]
    whole = k1.to(tl.float32) * scales[None, :] + (first * c - second * s)
    return whole, k2.to(tl.float32) * scales[None, :] + (second * c + first * s)


@triton.jit
def rounded_rows(first, second, MOST: tl.constexpr):
    """The halves of rows as whole numbers up to MOST, and the step of each row."""
    peak = tl.maximum(tl.max(tl.abs(first), 1), tl.max(tl.abs(second), 1))
    scale = tl.where(peak > 0, peak / MOST, 1.0)
    step = scale[:, None]
    return tl.floor(first / step + 0.5), tl.floor(second / step + 0.5), scale
