"""The loops that turn heads to their positions, compiled for the processor at first use."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

FAST: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nnan", "ninf", "nsz", "arcp"},
}


@numba.njit(**FAST)
def turn(head: Any, cos: Any, sin: Any, turned: Any, to: Any) -> None:
    """Fill `to` with a head [D] turned by cos and sin [D / 2], in the bits of bfloat16.

    `turned` [D] is scratch.
    """
    half = len(cos)
    for i in range(half):
        turned[i] = head[i] * cos[i] - head[half + i] * sin[i]
        turned[half + i] = head[half + i] * cos[i] + head[i] * sin[i]
    round_row(turned, to)


@numba.njit(error_model="numpy")
def round_row(row: Any, to: Any) -> None:
    """Fill `to` with a row of float32 in the bits of bfloat16, rounded to even."""
    bits = row.view(np.uint32)
    for i in range(len(row)):
        odd = (bits[i] >> np.uint32(16)) & np.uint32(1)
        to[i] = np.uint16((bits[i] + np.uint32(0x7FFF) + odd) >> np.uint32(16))


@numba.njit(parallel=True, cache=True, **FAST)
def turn_heads(x: Any, cos: Any, sin: Any, to: Any, num_threads: int) -> None:
    """Fill `to` [H, T, D] with the heads of x [T, H, D] turned by cos and sin [T, D / 2].

    Both are bits of bfloat16.
    """
    num_tokens, num_heads, head_dim = x.shape
    for thread in numba.prange(num_threads):
        bits, turned = np.empty(head_dim, np.uint32), np.empty(head_dim, np.float32)
        head = bits.view(np.float32)
        first = thread * num_tokens // num_threads
        for t in range(first, (thread + 1) * num_tokens // num_threads):
            for h in range(num_heads):
                row = x[t, h]
                for i in range(head_dim):
                    bits[i] = np.uint32(row[i]) << np.uint32(16)
                turn(head, cos[t], sin[t], turned, to[h, t])
