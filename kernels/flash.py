"""Attention in bfloat16 over lists of keys, in the vectors of the processor.

One softmax over all that a tile of queries is given: everything before it, or the Blocks that a
Rule chose, whichever View each lies in. Scores are added up in float32 and stay in cache (Dao et
al. 2022, "FlashAttention", section 3.1), and no key is copied together. Where pairs of bfloat16 are
multiplied that is about three times as fast as what torch has for a CPU, and where AVX2 multiplies
float32, 1.2 to 1.5 times. A few queries share out the keys among the threads instead and merge
(split keys, as in Flash-Decoding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longctx.kernels.coded import Coded, Rows

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
    """Returns whether this processor has the instructions of some Form."""
    from longctx.kernels.flash_forms import FORMS

    return bool(FORMS.possible())


@cache
def has_bfloat16_products() -> bool:
    """Returns whether this processor multiplies pairs of bfloat16."""
    from longctx.kernels.flash_forms import FORMS

    return "avx512bf16" in FORMS.possible()


@cache
def has_tile_products() -> bool:
    """Returns whether this processor multiplies tiles of bfloat16."""
    from longctx.kernels.flash_forms import FORMS

    return "amx" in FORMS.possible()


def can_flash(q: Tensor) -> bool:
    """Returns whether queries [H, T, D] can be attended with here."""
    return q.dtype == torch.bfloat16 and q.shape[-1] % BLOCK == 0 and has_flash()


@dataclass(frozen=True, slots=True)
class Work:
    """Units of work: a KV head, the first query and how many, the first Item and the last, a slot.

    What has one slot each is merged at the end.
    """

    units: NDArray[np.int64]
    items: Items
    num_slots: int = 1


def items_of(begin: int, end: int, view: int) -> Items:
    """Returns all keys of [begin, end), cut on the absolute grid of Blocks."""
    starts = np.arange(begin - begin % BLOCK, end, BLOCK)
    firsts, lasts = np.maximum(starts, begin), np.minimum(starts + BLOCK, end)
    return np.stack([firsts, lasts - firsts, np.full_like(starts, view)], 1)


def attend_all(queries: Queries, keys: Rows, values: Rows, causal: bool = True) -> Partial:
    """Returns attention of queries [H, T, D] to all keys [G, S, D] in their Views, float32.

    The last View ends with the newest T keys and is causal, if `causal`.
    """
    num_queries, end = queries[-1][2].shape[1], queries[-1][1]
    position = end - num_queries if causal else end
    views = tuple((begin, last) for begin, last, _ in queries)
    work = all_of(views, num_queries, keys.shape[0], causal, torch.get_num_threads())
    return _run(queries, keys, values, work, position, causal)


def attend_items(
    queries: Queries, keys: Rows, values: Rows, chosen: Sequence[Sequence[Items]]
) -> Partial:
    """Returns causal attention of whole tiles of queries [H, T, D] to what was chosen for each.

    `chosen` holds for each tile and KV head Items in ascending order, those of the tile's own keys
    among them.
    """
    num_queries, position = queries[-1][2].shape[1], queries[-1][1] - queries[-1][2].shape[1]
    tiles = _tiles(position, num_queries)
    assert len(tiles) == len(chosen), (position, num_queries, len(chosen))
    if num_queries == 1:
        work = shared_out(chosen[0], num_queries, torch.get_num_threads())
        return _run(queries, keys, values, work, position, True)
    units, flat, length = [], [], 0
    for group in range(keys.shape[0]):
        for tile, lists in zip(tiles, chosen, strict=True):
            flat.append(lists[group])
            units.append((group, *tile, length, length + len(flat[-1]), 0))
            length += len(flat[-1])
    work = Work(np.array(units, dtype=np.int64), np.concatenate(flat))
    return _run(queries, keys, values, work, position, True)


# the layers of a model ask for the same one after the other
@lru_cache(maxsize=8)
def all_of(
    views: tuple[tuple[int, int], ...],
    num_queries: int,
    num_groups: int,
    causal: bool,
    num_threads: int,
) -> Work:
    """Returns the work of attending to all keys [begin, end) of the Views."""
    items = np.concatenate([items_of(*ends, view) for view, ends in enumerate(views)])
    if num_queries < TILE // 4:
        return shared_out([items] * num_groups, num_queries, num_threads)
    position = views[-1][1] - num_queries if causal else 0
    tiles = _tiles(position, num_queries)
    lasts = [int(np.searchsorted(items[:, 0], position + first + n)) for first, n in tiles]
    units = [
        (group, *tile, 0, last if causal else len(items), 0)
        for group in range(num_groups)
        for tile, last in zip(tiles, lasts, strict=True)
    ]
    return Work(np.array(units, dtype=np.int64), items)


def _tiles(position: int, num_queries: int) -> list[tuple[int, int]]:
    """Returns the first query and the number of queries of each tile, ends on an absolute grid."""
    first, found = 0, []
    while first < num_queries:
        count = min(num_queries - first, TILE - (position + first) % TILE)
        found.append((first, count))
        first += count
    return found


def shared_out(chosen: Sequence[Items], num_queries: int, num_threads: int) -> Work:
    """Returns the work of few queries: the Items of each KV head in shares of their own."""
    most = max(1, _SHARES * num_threads // len(chosen))
    longest = max(map(len, chosen))
    num_shares = max(1, min(most, longest * BLOCK // _LEAST_SHARE))
    units, length = [], 0
    for group, items in enumerate(chosen):
        ends = [length + len(items) * i // num_shares for i in range(num_shares + 1)]
        units += [
            (group, 0, num_queries, ends[i], ends[i + 1], i)
            for i in range(num_shares)
            if ends[i] < ends[i + 1]
        ]
        length += len(items)
    return Work(np.array(units, dtype=np.int64), np.concatenate(chosen), num_shares)


def _run(
    queries: Queries, keys: Rows, values: Rows, work: Work, position: int, causal: bool
) -> Partial:
    """Returns what the units of work give, those of all slots together."""
    from longctx.kernels import flash_loops
    from longctx.kernels.threads import use_threads

    use_threads(torch.get_num_threads())
    num_heads, num_queries, head_dim = queries[-1][2].shape
    stacked = torch.stack([q for _, _, q in queries]) if len(queries) > 1 else queries[0][2][None]
    stored_keys, stored_values, coding = _stored(keys, values)
    for tensor in (stored_keys, stored_values):
        assert tensor.stride() == (stored_keys.stride(0), head_dim, 1)
    assert stacked.stride(-1) == 1
    shape = (work.num_slots, num_heads, num_queries)
    out = np.empty((*shape, head_dim), dtype=np.float32)
    # slots that no unit fills weigh nothing
    lse = np.full(shape, -np.inf, dtype=np.float32)
    if work.num_slots > 1:
        out[:] = 0
    flash_loops.attend(
        work.units,
        work.items,
        stacked.data_ptr(),
        # in words of two numbers
        np.array(stacked.stride()[:3]) // 2,
        stored_keys.data_ptr(),
        stored_values.data_ptr(),
        stored_keys.stride(0) * stored_keys.itemsize // 4,
        coding,
        head_dim,
        num_heads // keys.shape[0],
        position,
        causal,
        head_dim**-0.5,
        out.ctypes.data,
        lse.ctypes.data,
        np.array([*out.strides[:3], *lse.strides[:2]]) // 4,
        torch.get_num_threads(),
    )
    if work.num_slots == 1:
        return torch.from_numpy(out[0]), torch.from_numpy(lse[0])
    most = lse.max(0)
    shares = np.exp(lse - most)
    total = shares.sum(0)
    merged = (out * (shares / total)[..., None]).sum(0)
    return torch.from_numpy(merged), torch.from_numpy(most + np.log(total))


def _stored(keys: Rows, values: Rows) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
    """Returns what keys and values are stored as, and where that lies which makes them whole.

    Those are the scales of both, their stride, and the bias by its place with the cos and sin of
    the Blocks; all 0 where nothing is coded.
    """
    coding = np.zeros(6, dtype=np.int64)
    if isinstance(keys, Coded):
        assert isinstance(values, Coded) and keys.bias is not None and values.bias is None
        bias = (keys.bias.by_place, keys.bias.cos, keys.bias.sin)
        assert all(one.is_contiguous() and one.dtype == torch.float32 for one in bias)
        assert keys.codes.dtype == values.codes.dtype == torch.int8
        assert keys.scales.stride() == values.scales.stride() == (keys.scales.stride(0), 1)
        coding[:2] = keys.scales.data_ptr(), values.scales.data_ptr()
        coding[2:] = keys.scales.stride(0), *(one.data_ptr() for one in bias)
        return keys.codes, values.codes, coding
    assert isinstance(values, Tensor) and keys.dtype == values.dtype == torch.bfloat16
    return keys, values, coding
