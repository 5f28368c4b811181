"""Which Blocks each tile attends to, chosen on the device, without a sort: `blocks` in Triton.

A Block is in while what the better ones leave out is more than may be left out, and while there is
room. Both grow with the number of better ones, so there is a least mass that is in; it is found by
bisection over the bits of a float, whose order is that of the numbers as long as they are positive.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from longctx.kernels.blocks import BlockRule
from longctx.kernels.eight_bits import Eight
from longctx.kernels.flash import BLOCK, TILE
from longctx.kernels.triton_attention import Lists, num_tiles
from longctx.kernels.triton_eight import whole_keys
from longctx.kernels.turns import RANGES, Turns

# Blocks that one program scores for a single query.
BLOCKS_SCORED = 64

# The bits of 1.0, the most mass there is.
ONE = tl.constexpr(0x3F800000)


def write_means(
    keys: Tensor, means: Tensor, start: int, end: int, eight: Eight | None = None
) -> None:
    """Put the means of the Blocks that keys [G, S, D] have whole since `start` into `means`.

    `means` [G, N, D] float32; `end` is how many keys there are now, of int8 with an `eight`.
    """
    first, last = start // BLOCK, end // BLOCK
    if last == first:
        return
    num_groups, _, head_dim = keys.shape
    tables = [eight.key_scales, eight.bias, eight.cos, eight.sin] if eight else [means] * 4
    _block_means[(last - first, num_groups)](
        keys,
        means,
        first,
        keys.stride(0),
        means.stride(0),
        *tables,
        tables[0].stride(0),
        BLOCK=BLOCK,
        HALF=head_dim // 2,
        EIGHT=eight is not None,
    )


def choose_lists(q: Tensor, means: Tensor, turns: Turns, rule: BlockRule) -> Lists:
    """Returns the Lists of the tiles of queries [T, H, D], not turned yet, as `rule` says.

    `means` [G, N, D] hold at least the Blocks before the last tile. Torn tiles see everything.
    """
    return lists_of(predicted_scores(q, means, turns), turns, rule)


def choose_for_one(q: Tensor, means: Tensor, turns: Turns, rule: BlockRule) -> Lists:
    """Returns the Lists of a single query [1, H, D] among the Blocks before its tile.

    Nothing here depends on where the query is but what `turns` hold on the device, so a CUDA graph
    can be made of it: all of `means` [G, N, D] are looked at, whoever has written them yet.
    """
    _, num_heads, head_dim = q.shape
    num_groups, past, _ = means.shape
    group = num_heads // num_groups
    scores = torch.empty((num_groups, 1, group, past), device=q.device)
    _score_one[(triton.cdiv(past, BLOCKS_SCORED), num_groups)](
        _pooled(q, turns, num_groups),
        means,
        turns.bounds,
        scores,
        past,
        means.stride(0),
        GROUP=group,
        DIM=head_dim,
        BLOCK=BLOCK,
        BLOCKS=BLOCKS_SCORED,
    )
    return lists_of(scores, turns, rule, alone=True)


def predicted_scores(q: Tensor, means: Tensor, turns: Turns) -> Tensor:
    """Returns the scores [G, tiles, H / G, N] of each tile's mean query with the past Blocks."""
    num_tokens, num_heads, _ = q.shape
    num_groups, tiles = means.shape[0], num_tiles(num_tokens)
    group = num_heads // num_groups
    pooled = _pooled(q, turns, num_groups)
    succ, intra, start = turns.borders
    past = (start + num_tokens - 1) // TILE * TILE // BLOCK
    scores = torch.empty((num_groups, tiles * group, past), device=q.device)
    begin = 0
    for part, end in enumerate((succ // BLOCK, intra // BLOCK, past)):
        seen = means[:, begin:end].transpose(1, 2)
        scores[..., begin:end] = torch.bmm(pooled[part].flatten(1, 2), seen)
        begin = end
    return scores.view(num_groups, tiles, group, past)


def _pooled(q: Tensor, turns: Turns, num_groups: int) -> Tensor:
    """Returns each tile's mean query [ranges, G, tiles, H / G, D], turned for each range."""
    num_tokens, num_heads, head_dim = q.shape
    tiles, group = num_tiles(num_tokens), num_heads // num_groups
    pooled = torch.empty((RANGES, num_groups, tiles, group, head_dim), device=q.device)
    _pool[(tiles, num_heads, RANGES)](
        q,
        turns.cos,
        turns.sin,
        turns.bounds,
        pooled,
        num_tokens,
        q.stride(0),
        GROUP=group,
        HALF=head_dim // 2,
        TILE=TILE,
    )
    return pooled


def lists_of(scores: Tensor, turns: Turns, rule: BlockRule, *, alone: bool = False) -> Lists:
    """Returns the Lists that `rule` makes of scores [G, tiles, H / G, N].

    Torn tiles see everything, but for a row that is `alone` Blocks are chosen.
    """
    num_groups, tiles, group, past = scores.shape
    device = scores.device
    # a multiple of 16, so that whoever reads the lists is compiled once
    width = max(16, -(-past // 16) * 16)
    index = torch.empty((tiles, num_groups, width), dtype=torch.int32, device=device)
    ends = torch.empty((tiles, num_groups, RANGES), dtype=torch.int32, device=device)
    padded = max(16, triton.next_power_of_2(past))
    _choose[(tiles, num_groups)](
        scores,
        turns.bounds,
        index,
        ends,
        turns.num_tokens,
        past,
        width,
        rule.sinks,
        rule.window,
        max(1, rule.max_keys // BLOCK),
        1 - rule.mass,
        rule.dense_below,
        ALONE=alone,
        GROUP=group,
        PAST=padded,
        TILE=TILE,
        BLOCK=BLOCK,
        num_warps=min(32, max(1, padded // 256)),
    )
    return Lists(index, ends)


@triton.jit(do_not_specialize=["first"])
def _block_means(
    keys,
    means,
    first,
    key_stride,
    mean_stride,
    scales,
    bias,
    cos,
    sin,
    scale_stride,
    BLOCK: tl.constexpr,
    HALF: tl.constexpr,
    EIGHT: tl.constexpr,
):
    """The mean of one Block of one KV head."""
    block = first + tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    dim = tl.arange(0, 2 * HALF)
    key = block * BLOCK + tl.arange(0, BLOCK)
    k = tl.load(keys + head * key_stride + key[None, :] * (2 * HALF) + dim[:, None])
    if EIGHT:
        scale = tl.load(scales + head * scale_stride + key)
        own_bias = bias + head * BLOCK * 2 * HALF
        k = whole_keys(k, scale, own_bias, cos, sin, block, HALF, BLOCK)
    mean_at = means + head * mean_stride + block * 2 * HALF + dim
    tl.store(mean_at, tl.sum(k.to(tl.float32), 1) / BLOCK)


@triton.jit(do_not_specialize=["num_tokens"])
def _pool(
    q,
    cos,
    sin,
    bounds,
    pooled,
    num_tokens,
    q_stride,
    GROUP: tl.constexpr,
    HALF: tl.constexpr,
    TILE: tl.constexpr,
):
    """The mean query of one head over one tile, turned for one range and scaled."""
    tile, head, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    start = tl.load(bounds + 2)
    token = (start // TILE + tile) * TILE + tl.arange(0, TILE) - start
    alive = (token >= 0) & (token < num_tokens)
    half = tl.arange(0, HALF)
    mask = tl.broadcast_to(alive[:, None], [TILE, HALF])
    q_at = q + (token.to(tl.int64) * q_stride)[:, None] + (head * 2 * HALF + half)[None, :]
    first = tl.load(q_at, mask=mask, other=0.0)
    second = tl.load(q_at + HALF, mask=mask, other=0.0)
    at = ((part * num_tokens + token) * HALF)[:, None] + half[None, :]
    c = tl.load(cos + at, mask=mask, other=0.0)
    s = tl.load(sin + at, mask=mask, other=0.0)
    scale = 1.0 / (tl.maximum(tl.sum(alive.to(tl.float32), 0), 1.0) * tl.sqrt(2.0 * HALF))
    kv_head, tiles = head // GROUP, tl.num_programs(0)
    row = ((part * (tl.num_programs(1) // GROUP) + kv_head) * tiles + tile) * GROUP + head % GROUP
    out = pooled + row.to(tl.int64) * 2 * HALF + half
    tl.store(out, tl.sum(first * c - second * s, 0) * scale)
    tl.store(out + HALF, tl.sum(second * c + first * s, 0) * scale)


@triton.jit(do_not_specialize=["past"])
def _score_one(
    pooled,
    means,
    bounds,
    scores,
    past,
    mean_stride,
    GROUP: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """The scores of a run of Blocks with the query of each head of a KV head, turned for them."""
    kv_head = tl.program_id(1)
    block = tl.program_id(0) * BLOCKS + tl.arange(0, BLOCKS)
    dim = tl.arange(0, DIM)
    there = block < past
    at = means + kv_head.to(tl.int64) * mean_stride + block[:, None] * DIM + dim[None, :]
    mean = tl.load(at, mask=there[:, None], other=0.0)
    succ, intra = tl.load(bounds) // BLOCK, tl.load(bounds + 1) // BLOCK
    part = (block >= succ).to(tl.int32) + (block >= intra).to(tl.int32)
    for head in range(GROUP):
        row = ((part * tl.num_programs(1) + kv_head) * GROUP + head) * DIM
        query = tl.load(pooled + row[:, None] + dim[None, :])
        score = tl.sum(mean * query, 1)
        tl.store(scores + (kv_head * GROUP + head).to(tl.int64) * past + block, score, mask=there)


@triton.jit(do_not_specialize=["num_tokens", "past", "most"])
def _choose(
    scores,
    bounds,
    index,
    ends,
    num_tokens,
    past,
    width,
    sinks,
    window,
    most,
    may_be_left,
    dense_until,
    ALONE: tl.constexpr,
    GROUP: tl.constexpr,
    PAST: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The list of one tile and KV head, from the scores of the heads that share it."""
    tile, kv_head = tl.program_id(0), tl.program_id(1)
    tiles, num_groups = tl.num_programs(0), tl.num_programs(1)
    start = tl.load(bounds + 2)
    tile_start = (start // TILE + tile) * TILE
    before = tl.minimum(tile_start // BLOCK, past)
    block = tl.arange(0, PAST)
    there = block < before

    mass = tl.zeros([PAST], tl.float32)
    row = scores + ((kv_head * tiles + tile) * GROUP).to(tl.int64) * past
    for head in range(GROUP):
        score = tl.load(row + head * past + block, mask=there, other=float("-inf"))
        weight = tl.exp(score - tl.max(tl.where(there, score, -1e30), 0))
        mass += weight / (tl.maximum(tl.sum(weight, 0), 1e-30) * GROUP)

    forced = there & ((block < sinks) | (block >= before - window))
    left = 1.0 - tl.sum(tl.where(forced, mass, 0.0), 0)
    room = most - tl.sum(forced.to(tl.int32), 0)
    # less than any mass, as a number and by its bits, is what there is no choice about
    mass = tl.where(there & (block >= sinks) & (block < before - window), mass, -1.0)
    bits = mass.to(tl.int32, bitcast=True)
    low, high = tl.zeros([], tl.int32), tl.full([], ONE + 1, tl.int32)
    for _ in range(30):
        middle = (low + high) // 2
        better = bits > middle
        left_out = left - tl.sum(tl.where(better, mass, 0.0), 0)
        wanted = (left_out > may_be_left) & (tl.sum(better.to(tl.int32), 0) < room)
        high = tl.where(wanted, middle, high)
        low = tl.where(wanted, low, tl.minimum(middle + 1, high))
    # of Blocks with the very same mass the first ones are in, as many as there is room for
    better, equal = bits > high, bits == high
    rank = tl.cumsum(equal.to(tl.int32), 0) - 1
    left_out = left - tl.sum(tl.where(better, mass, 0.0), 0) - rank * mass
    room -= tl.sum(better.to(tl.int32), 0)
    chosen = better | (equal & (left_out > may_be_left) & (rank < room))
    chosen = chosen | (block < sinks) | (block >= before - window)
    torn = (tile_start < start) | (tile_start + TILE > start + num_tokens)
    whole = (tile_start < dense_until) | (torn if not ALONE else False)

    count = tl.where(there & (chosen | whole), 1, 0)
    at = (tile * num_groups + kv_head).to(tl.int64)
    place = tl.cumsum(count, 0) - 1
    tl.store(index + at * width + place, block, mask=count > 0)
    succ, intra = tl.load(bounds) // BLOCK, tl.load(bounds + 1) // BLOCK
    tl.store(ends + at * 3, tl.sum(tl.where(block < succ, count, 0), 0))
    tl.store(ends + at * 3 + 1, tl.sum(tl.where(block < intra, count, 0), 0))
    tl.store(ends + at * 3 + 2, tl.sum(count, 0))
