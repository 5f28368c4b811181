"""Attention in bfloat16 over lists of keys, for processors that multiply pairs of bfloat16.

One softmax over all that a tile of queries is given: everything before it, or the Blocks that a
Rule chose, whichever View each lies in. Scores are added up in float32 and stay in cache (Dao et
al. 2022, "FlashAttention", section 3.1), and no key is copied together: about three times as fast
as what torch has for a CPU. A few queries share out the keys among the threads instead and merge
(split keys, as in Flash-Decoding).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 64
TILE = 128
# Units of work for each thread, where the keys of few queries are shared out.
_SHARES = 4
# Keys that are worth a unit of their own.
_LEAST_SHARE = 512

Partial = tuple[Tensor, Tensor]
"""What attention to a part of the keys gives: its output [H, T, D] and log of sums [H, T]."""

Queries = Sequence[tuple[int, int, Tensor]]
"""Views: begin, end, and the queries [H, T, D] turned for the keys [begin, end)."""

Items = NDArray[np.int64]
"""Runs of at most BLOCK keys, [n, 3]: the first key, how many, and the View they lie in."""


@cache
def has_flash() -> bool:
    """Returns whether this processor has the instructions."""
    # torch has no public question for this
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())


def can_flash(q: Tensor) -> bool:
    """Returns whether queries [H, T, D] can be attended with here."""
    return q.dtype == torch.bfloat16 and q.shape[-1] % BLOCK == 0 and has_flash()


def items_of(begin: int, end: int, view: int) -> Items:
    """Returns all keys of [begin, end), cut on the absolute grid of Blocks."""
    starts = np.arange(begin - begin % BLOCK, end, BLOCK)
    firsts, lasts = np.maximum(starts, begin), np.minimum(starts + BLOCK, end)
    return np.stack([firsts, lasts - firsts, np.full_like(starts, view)], 1)


def attend_all(queries: Queries, keys: Tensor, values: Tensor, causal: bool = True) -> Partial:
    """Returns attention of queries [H, T, D] to all keys [G, S, D] in their Views, float32.

    The last View ends with the newest T keys and is causal, if `causal`.
    """
    num_queries, num_groups = queries[-1][2].shape[1], keys.shape[0]
    end = queries[-1][1]
    position = end - num_queries if causal else end
    runs = [items_of(b, e, view) for view, (b, e, _) in enumerate(queries)]
    items = np.concatenate(runs)
    if num_queries < TILE // 4:
        return _shared_out(queries, keys, values, [items] * num_groups, position, causal)
    tiles = _tiles(position if causal else 0, num_queries)
    lasts = [int(np.searchsorted(items[:, 0], position + first + n)) for first, n in tiles]
    units = [
        (group, *tile, 0, last if causal else len(items), 0)
        for group in range(num_groups)
        for tile, last in zip(tiles, lasts, strict=True)
    ]
    out, lse = _run(queries, keys, values, units, items, position, causal, num_slots=1)
    return out[0], lse[0]


def attend_items(
    queries: Queries, keys: Tensor, values: Tensor, chosen: Sequence[Sequence[Items]]
) -> Partial:
    """Returns causal attention of whole tiles of queries [H, T, D] to what was chosen for each.

    `chosen` holds for each tile and KV head Items in ascending order, those of the tile's own keys
    among them.
    """
    num_queries, position = queries[-1][2].shape[1], queries[-1][1] - queries[-1][2].shape[1]
    tiles = _tiles(position, num_queries)
    assert len(tiles) == len(chosen), (position, num_queries, len(chosen))
    if num_queries == 1:
        return _shared_out(queries, keys, values, chosen[0], position, True)
    units, flat, length = [], [], 0
    for group in range(keys.shape[0]):
        for tile, lists in zip(tiles, chosen, strict=True):
            flat.append(lists[group])
            units.append((group, *tile, length, length + len(flat[-1]), 0))
            length += len(flat[-1])
    items = np.concatenate(flat)
    out, lse = _run(queries, keys, values, units, items, position, True, num_slots=1)
    return out[0], lse[0]


def _tiles(position: int, num_queries: int) -> list[tuple[int, int]]:
    """Returns the first query and the number of queries of each tile, ends on an absolute grid."""
    first, found = 0, []
    while first < num_queries:
        count = min(num_queries - first, TILE - (position + first) % TILE)
        found.append((first, count))
        first += count
    return found


def _shared_out(
    queries: Queries,
    keys: Tensor,
    values: Tensor,
    chosen: Sequence[Items],
    position: int,
    causal: bool,
) -> Partial:
    """Returns attention of few queries: the Items of each KV head in shares, merged at the end."""
    num_queries, num_groups = queries[-1][2].shape[1], keys.shape[0]
    longest = max(map(len, chosen))
    most = max(1, _SHARES * torch.get_num_threads() // num_groups)
    num_shares = max(1, min(most, longest * BLOCK // _LEAST_SHARE))
    units, length = [], 0
    for group, items in enumerate(chosen):
        ends = np.linspace(0, len(items), num_shares + 1).astype(int) + length
        units += [
            (group, 0, num_queries, ends[i], ends[i + 1], i)
            for i in range(num_shares)
            if ends[i] < ends[i + 1]
        ]
        length += len(items)
    parts, lses = _run(
        queries, keys, values, units, np.concatenate(chosen), position, causal, num_slots=num_shares
    )
    if num_shares == 1:
        return parts[0], lses[0]
    lse = lses.logsumexp(0)
    return torch.einsum("shtd,sht->htd", parts, (lses - lse).exp()), lse


def _run(
    queries: Queries,
    keys: Tensor,
    values: Tensor,
    units: Sequence[tuple[int, ...]],
    items: Items,
    position: int,
    causal: bool,
    *,
    num_slots: int,
) -> Partial:
    """Returns what the units give, [slots, H, T, D] and [slots, H, T]; nothing where there is none.

    A unit is a KV head, the first query and the number of queries, the first Item and the last one,
    and where its output goes.
    """
    from longctx.kernels import flash_loops
    from longctx.kernels.threads import use_threads

    use_threads(torch.get_num_threads())
    num_heads, num_queries, head_dim = queries[-1][2].shape
    stacked = torch.stack([q for _, _, q in queries]) if len(queries) > 1 else queries[0][2][None]
    for tensor in (keys, values):
        assert tensor.dtype == torch.bfloat16 and tensor.stride()[1:] == (head_dim, 1)
    assert keys.stride() == values.stride() and stacked.stride(-1) == 1
    out = torch.zeros(num_slots, num_heads, num_queries, head_dim)
    lse = torch.full((num_slots, num_heads, num_queries), float("-inf"))
    flash_loops.attend(
        np.array(units, dtype=np.int64),
        items,
        stacked.data_ptr(),
        # in words of two numbers
        np.array(stacked.stride()[:3]) // 2,
        keys.data_ptr(),
        values.data_ptr(),
        keys.stride(0) // 2,
        head_dim,
        num_heads // keys.shape[0],
        position,
        causal,
        head_dim**-0.5,
        out.data_ptr(),
        lse.data_ptr(),
        np.array([*out.stride()[:3], *lse.stride()[:2]]),
    )
    return out, lse
