"""Sparse prefill: which Blocks of keys a tile of queries attends to, and attention over them.

A tile is TILE queries on an absolute grid; all heads of a KV head share its choice (as in
FlashPrefill V2, arXiv 2608.19758). A Block is BLOCK keys and stands in the choice by the mean of
its keys. First Blocks (attention sinks; Xiao et al. 2023, arXiv 2309.17453) and the last ones are
always in; the others come by the mass of attention that the tile's pooled queries predict for them,
until the wanted mass or the most keys are reached.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longctx.kernels.attention import Form, Partial, attend, merge

BLOCK = 64
TILE = 128


@dataclass(frozen=True, slots=True)
class Rule:
    """How many Blocks a tile gets: at most `max_keys` keys, fewer once `mass` is predicted.

    `sinks` and `window` are the Blocks at the beginning and right before the tile that are always
    in. Queries before the position `dense_until` attend to everything.
    """

    max_keys: int = 4_096
    mass: float = 0.99
    sinks: int = 2
    window: int = 8
    dense_until: int = 8_192


def block_means(keys: Tensor) -> Tensor:
    """Returns the means [G, S // BLOCK, D] of the whole Blocks of keys [G, S, D], float32."""
    num_groups, num_keys, head_dim = keys.shape
    num_blocks = num_keys // BLOCK
    whole = keys[:, : num_blocks * BLOCK]
    return whole.reshape(num_groups, num_blocks, BLOCK, head_dim).mean(2, dtype=torch.float32)


def predicted_mass(queries: Sequence[tuple[int, int, Tensor]], means: Tensor) -> Tensor:
    """Returns the share of attention [G, N] that a tile is predicted to pay to each past Block.

    `queries` as in `attention.attend`, [H, T, D]; `means` [G, N, D] of the N Blocks before the
    tile. Each head's mean query stands for the tile; heads of a group are averaged.
    """
    num_groups, num_blocks, head_dim = means.shape
    parts = []
    for begin, end, q in queries:
        pooled = q.float().mean(1).view(num_groups, -1, head_dim)
        seen = means[:, begin // BLOCK : min(end // BLOCK, num_blocks)]
        parts.append(torch.bmm(pooled, seen.transpose(1, 2)) * head_dim**-0.5)
    return torch.cat(parts, -1).softmax(-1).mean(1)


def choose_blocks(mass: Tensor, rule: Rule) -> Tensor:
    """Returns which past Blocks are attended to, bool [G, N], from their predicted mass [G, N]."""
    num_groups, num_blocks = mass.shape
    most = max(1, rule.max_keys // BLOCK)
    forced = torch.zeros(num_blocks, dtype=torch.bool)
    forced[: rule.sinks] = True
    forced[max(0, num_blocks - rule.window) :] = True
    ordered, order = mass.masked_fill(forced, math.inf).sort(-1, descending=True)
    shares = torch.where(forced, 0.0, mass).gather(-1, order)
    left = 1 - torch.where(forced, mass, 0.0).sum(-1, keepdim=True)
    # a Block is in while what the better ones leave out is more than may be left out
    before = left - (shares.cumsum(-1) - shares)
    wanted = (before > 1 - rule.mass) & (torch.arange(num_blocks) < most) | ordered.isinf()
    return torch.zeros_like(wanted).scatter(-1, order, wanted)


def attend_tiles(
    form: Form,
    queries: Sequence[tuple[int, int, Tensor]],
    keys: Tensor,
    values: Tensor,
    means: Tensor,
    rule: Rule,
) -> Tensor:
    """Returns attention [H, T, D] tile by tile; early tiles and torn ones see everything."""
    num_queries, end = queries[-1][2].shape[1], keys.shape[1]
    start, first, pieces = end - num_queries, 0, []
    while first < num_queries:
        last = min(num_queries, first + TILE - (start + first) % TILE)
        # the last View, the causal one, ends with the tile
        views = [(b, min(e, start + last), q[:, first:last]) for b, e, q in queries]
        seen = keys[:, : start + last], values[:, : start + last]
        if last - first < TILE or start + first < rule.dense_until:
            pieces.append(attend(form, views, *seen))
        else:
            mass = predicted_mass(views, means[:, : (start + first) // BLOCK])
            pieces.append(attend_chosen(form, views, *seen, choose_blocks(mass, rule)))
        first = last
    return torch.cat(pieces, 1)


def attend_chosen(
    form: Form,
    queries: Sequence[tuple[int, int, Tensor]],
    keys: Tensor,
    values: Tensor,
    chosen: Tensor,
) -> Tensor:
    """Returns attention [H, T, D] of a tile to its own keys and to the `chosen` past Blocks.

    `queries`, `keys` and `values` as in `attention.attend`; the last View is causal. `chosen` is
    bool [G, N] over the Blocks before the tile.
    """
    own_begin, own_end, own_q = queries[-1]
    num_heads, num_queries, head_dim = own_q.shape
    num_groups = keys.shape[0]
    start = own_end - num_queries
    assert start == chosen.shape[1] * BLOCK, "a tile begins where a Block ends"
    found = form(own_q, keys[:, start:own_end], values[:, start:own_end], True)
    per_group = num_heads // num_groups
    outs, sums = [found[0].float()], [found[1]]
    for begin, end, q in queries:
        blocks = slice(begin // BLOCK, min(end, start) // BLOCK)
        parts = [
            _gathered(
                form, q[g * per_group : (g + 1) * per_group], keys[g], values[g], chosen[g], blocks
            )
            for g in range(num_groups)
        ]
        outs.append(torch.cat([part[0] for part in parts]))
        sums.append(torch.cat([part[1] for part in parts]))
    result: Partial = (outs[0], sums[0])
    for out, lse in zip(outs[1:], sums[1:], strict=True):
        result = merge(result, (out, lse))
    return result[0].to(own_q.dtype)


def _gathered(
    form: Form, q: Tensor, keys: Tensor, values: Tensor, chosen: Tensor, blocks: slice
) -> Partial:
    """Returns attention of q [R, T, D] to the chosen Blocks in the range, of one KV head."""
    index = chosen[blocks].nonzero()[:, 0] + blocks.start
    if not len(index):
        return torch.zeros(q.shape), torch.full(q.shape[:2], -math.inf)
    picked = [
        t[: len(chosen) * BLOCK].reshape(-1, BLOCK, t.shape[-1])[index].flatten(0, 1)[None]
        for t in (keys, values)
    ]
    out, lse = form(q, picked[0], picked[1], False)
    return out.float(), lse
