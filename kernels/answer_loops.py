"""The loops of `answer`, compiled for the processor at first use.

A decoded token has so little to do in a layer that what calls cost would be half of its time: here
a layer is two calls, with the choice of keys between them.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from longctx.kernels.flash_loops import attend
from longctx.kernels.narrow_loops import multiply, norm_row, swiglu
from longctx.kernels.turn_loops import FAST, round_row, turn

_NO_BIAS = np.empty(0, dtype=np.float32)
_NO_CODING = np.zeros(6, dtype=np.int64)


@numba.njit(cache=True, **FAST)
def into_heads(
    table: Any,
    bias: Any,
    starts: Any,
    x: Any,
    norm: Any,
    head_norms: Any,
    eps: float,
    key_turn: Any,
    query_turns: Any,
    queries: Any,
    keys: Any,
    values: Any,
    places: Any,
    num_threads: int,
) -> None:
    """Fill queries [V, H, T, D], keys and values [G, S, D] at `places` [T], of x [T, hidden].

    All three are bits of bfloat16. Turns are cos and sin: of the keys [2, T, D / 2], of the queries
    [V, 2, T, D / 2]. `starts` is where queries, keys and values begin among the products;
    `head_norms` [2, D] are of queries and keys, or [2, 0].
    """
    found = multiply(table, x, bias, norm, eps, num_threads)
    num_views, num_heads, num_tokens, head_dim = queries.shape
    head, turned = np.empty(head_dim, dtype=np.float32), np.empty(head_dim, dtype=np.float32)
    for t in range(num_tokens):
        for h in range(num_heads):
            start = starts[0] + h * head_dim
            norm_row(found[t, start : start + head_dim], head_norms[0], eps, head)
            for view in range(num_views):
                cos, sin = query_turns[view, 0, t], query_turns[view, 1, t]
                turn(head, cos, sin, turned, queries[view, h, t])
        for group in range(len(keys)):
            start = starts[1] + group * head_dim
            norm_row(found[t, start : start + head_dim], head_norms[1], eps, head)
            turn(head, key_turn[0, t], key_turn[1, t], turned, keys[group, places[t]])
            start = starts[2] + group * head_dim
            round_row(found[t, start : start + head_dim], values[group, places[t]])


@numba.njit(error_model="numpy")
def _merge(parts: Any, lse: Any) -> Any:
    """Returns what attention to parts of the keys [slots, H, T, D] gives together, [T, H * D]."""
    num_slots, num_heads, num_tokens, head_dim = parts.shape
    rows = np.zeros((num_tokens, num_heads * head_dim), dtype=np.float32)
    for h in range(num_heads):
        for t in range(num_tokens):
            most, total = lse[:, h, t].max(), np.float32(0)
            row = rows[t, h * head_dim : (h + 1) * head_dim]
            for slot in range(num_slots):
                share = np.exp(lse[slot, h, t] - most)
                total += share
                for i in range(head_dim):
                    row[i] += share * parts[slot, h, t, i]
            for i in range(head_dim):
                row[i] /= total
    return rows


@numba.njit(cache=True, error_model="numpy")
def out_of_heads(
    units: Any,
    items: Any,
    num_slots: int,
    queries: Any,
    keys: Any,
    values: Any,
    position: int,
    causal: bool,
    tables: Any,
    mlp_size: int,
    norm: Any,
    eps: float,
    x: Any,
    num_threads: int,
) -> None:
    """Add to x [T, hidden] what the heads see of the keys in the units of work, and the SwiGLU.

    `tables` are those out of the heads, to gates and ups, and down.
    """
    _, num_heads, num_tokens, head_dim = queries.shape
    parts = np.zeros((num_slots, num_heads, num_tokens, head_dim), dtype=np.float32)
    # slots that no unit fills weigh nothing
    lse = np.full((num_slots, num_heads, num_tokens), -np.inf, dtype=np.float32)
    each = num_heads * num_tokens
    attend(
        units,
        items,
        queries.ctypes.data,
        # in words of two numbers
        np.array([each * head_dim, num_tokens * head_dim, head_dim]) // 2,
        keys.ctypes.data,
        values.ctypes.data,
        keys.strides[0] // 4,
        _NO_CODING,
        head_dim,
        num_heads // len(keys),
        position,
        causal,
        head_dim**-0.5,
        parts.ctypes.data,
        lse.ctypes.data,
        np.array([each * head_dim, num_tokens * head_dim, head_dim, each, num_tokens]),
        num_threads,
    )
    seen = multiply(tables[0], _merge(parts, lse), _NO_BIAS, _NO_BIAS, eps, num_threads)
    hidden = x.shape[1]
    for t in range(num_tokens):
        for i in range(hidden):
            x[t, i] += seen[t, i]
    more = swiglu(tables[1], tables[2], mlp_size, x, norm, eps, num_threads)
    for t in range(num_tokens):
        for i in range(hidden):
            x[t, i] += more[t, i]
