"""Keys and values in 8 bits (`eight_bits`) inside the kernels: how they are made and made whole."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def whole_keys(k, scales, bias, cos, sin, block, HALF: tl.constexpr, KEYS: tl.constexpr):
    """A Block of keys of 8 bits [2 HALF, KEYS], scaled, its bias added."""
    dim, place = tl.arange(0, 2 * HALF)[:, None], tl.arange(0, KEYS)[None, :]
    own = tl.load(bias + place * 2 * HALF + dim)
    other = tl.load(bias + place * 2 * HALF + (dim ^ HALF))
    c = tl.load(cos + block * HALF + dim % HALF)
    s = tl.load(sin + block * HALF + dim % HALF) * tl.where(dim < HALF, -1.0, 1.0)
    return k.to(tl.float32) * scales[None, :] + (own * c + other * s)


@triton.jit
def whole_columns(k, scales, bias, cos, sin, key, HALF: tl.constexpr, BLOCK: tl.constexpr):
    """Keys of 8 bits [2 HALF, KEYS] that lie anywhere, scaled, the bias of each added."""
    dim = tl.arange(0, 2 * HALF)[:, None]
    place, block = (key % BLOCK)[None, :] * 2 * HALF, (key // BLOCK)[None, :] * HALF
    own, other = tl.load(bias + place + dim), tl.load(bias + place + (dim ^ HALF))
    c = tl.load(cos + block + dim % HALF)
    s = tl.load(sin + block + dim % HALF) * tl.where(dim < HALF, -1.0, 1.0)
    return k.to(tl.float32) * scales[None, :] + (own * c + other * s)


@triton.jit
def bias_terms(own, other, bias, HALF: tl.constexpr):
    """What of turned queries [R, 2 HALF] meets the bias: twice, the second with halves exchanged.

    A query (a, b) scores (a x + b y) cos + (b x - a y) sin with a bias (x, y) that is turned to an
    angle, so these two sums are all that is needed of it.
    """
    dim = tl.arange(0, 2 * HALF)[None, :]
    first, second = tl.load(bias + dim % HALF), tl.load(bias + HALF + dim % HALF)
    second = tl.where(dim < HALF, second, -second)
    return own * first + other * second, other * first - own * second


@triton.jit
def bias_scores(term, swapped, cos, sin, coarse, fine, HALF: tl.constexpr):
    """The scores [R, KEYS] of the bias in the Block of this `cos` and `sin`, from `bias_terms`.

    `coarse` and `fine` are the sines and cosines of its places [2 HALF, KEYS] in two parts, since a
    bias is large and one part of 8 bits would lose what tells keys apart.
    """
    dim = tl.arange(0, 2 * HALF)
    c, s = tl.load(cos + dim % HALF)[None, :], tl.load(sin + dim % HALF)[None, :]
    turned = term * c + swapped * tl.where(dim[None, :] < HALF, s, -s)
    high = turned.to(coarse.dtype)
    low = (turned - high).to(coarse.dtype)
    scores = tl.dot(low, coarse, input_precision="ieee")
    scores = tl.dot(high, fine, scores, input_precision="ieee")
    return tl.dot(high, coarse, scores, input_precision="ieee")


@triton.jit
def rounded_rows(first, second, MOST: tl.constexpr):
    """The halves of rows as whole numbers up to MOST, and the step of each row."""
    peak = tl.maximum(tl.max(tl.abs(first), 1), tl.max(tl.abs(second), 1))
    scale = tl.where(peak > 0, peak / MOST, 1.0)
    step = scale[:, None]
    return tl.floor(first / step + 0.5), tl.floor(second / step + 0.5), scale
