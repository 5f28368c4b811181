"""Attention over all Blocks of keys or over lists of them, as one Triton kernel.

One program holds a tile of rows, the query heads of one KV head packed together, so that keys are
read once for all of them. It walks the keys before its tile range by range (see `turns`) with the
queries turned anew for each range, then the keys of its own tile under the causal mask, all in one
softmax. Decoding is the same kernel with the keys split among programs and their parts merged.
Dao et al. 2022, "FlashAttention", section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from longctx.kernels.eight_bits import Eight
from longctx.kernels.flash import BLOCK, TILE
from longctx.kernels.triton_eight import bias_scores, bias_terms, whole_keys
from longctx.kernels.triton_merge import merge
from longctx.kernels.triton_tuning import allow_descriptors, tuned
from longctx.kernels.turns import RANGES, Turns

LOG2_E = 1.4426950408889634
LN_2 = tl.constexpr(0.6931471805599453)


@dataclass(frozen=True, slots=True)
class Lists:
    """The Blocks before each tile that it attends to, ascending.

    `index` is int32 [tiles, G, most]; `ends` int32 [tiles, G, 3] is how many entries lie in the
    first range, in the first two, and in all.
    """

    index: Tensor
    ends: Tensor


def num_tiles(num_tokens: int) -> int:
    """Returns the most tiles that `num_tokens` rows can touch, wherever they begin."""
    return (num_tokens + TILE - 2) // TILE + 1


def attend(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    turns: Turns,
    lists: Lists | None = None,
    *,
    splits: int = 1,
    eight: Eight | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns causal attention [T, H, D] and the log of its sums, float32 [T, H].

    `q` [T, H, D] is not turned yet, its rows may lie apart; `keys` and `values` [G, S, D] hold the
    rows' own keys already. Chunks begin at multiples of TILE. Without `lists` every row attends to
    everything before it. With `splits` the keys are shared out among so many programs. Keys and
    values of int8 come with their `eight`.
    """
    num_tokens, num_heads, head_dim = q.shape
    group = num_heads // keys.shape[0]
    assert q.stride(1) == head_dim and q.stride(2) == 1, "the heads of a row lie together"
    assert keys.stride() == values.stride() and keys.stride(1) == head_dim, "so do a head's tokens"
    scales, more = (turns.cos, turns.cos), [turns.cos] * 4
    if eight:
        scales = eight.key_scales, eight.value_scales
        more = [eight.bias, eight.cos, eight.sin, eight.places]
    dtype = torch.float32 if splits > 1 else q.dtype
    out = torch.empty((splits, *q.shape), dtype=dtype, device=q.device)
    lse = torch.empty((splits, num_tokens, num_heads), device=q.device)
    tiles, tile_rows = num_tiles(num_tokens), min(num_tokens, TILE) * group
    allow_descriptors(q.device)
    _attend(
        lambda given: (tiles * triton.cdiv(tile_rows, given["ROWS"]), keys.shape[0], splits),
        q=q,
        keys=keys,
        values=values,
        cos=turns.cos,
        sin=turns.sin,
        bounds=turns.bounds,
        index=lists.index if lists else turns.bounds,
        ends=lists.ends if lists else turns.bounds,
        key_scales=scales[0],
        value_scales=scales[1],
        bias=more[0],
        block_cos=more[1],
        block_sin=more[2],
        places=more[3],
        out=out,
        lse=lse,
        num_tokens=num_tokens,
        num_heads=num_heads,
        tiles=tiles,
        tile_rows=tile_rows,
        q_stride=q.stride(0),
        head_stride=keys.stride(0),
        list_stride=lists.index.stride(1) if lists else 0,
        scale_stride=scales[0].stride(0),
        scale=LOG2_E * head_dim**-0.5,
        GROUP=group,
        HALF=head_dim // 2,
        SPLITS=splits,
        LISTED=lists is not None,
        EIGHT=eight is not None,
        TILE=TILE,
        RANGES=RANGES,
        ROOM=max(16, min(TILE, triton.next_power_of_2(tile_rows))),
    )
    if splits == 1:
        return out[0], lse[0]
    return merge(out, lse, q.dtype)


def _fits(config: Mapping[str, Any], args: Mapping[str, Any]) -> bool:
    """Whether a configuration has as few rows as hold a tile's, and reads lists Block by Block."""
    rows = config["ROWS"] == args["ROOM"] if args["ROOM"] < 64 else config["ROWS"] <= args["ROOM"]
    by_block = args["LISTED"] or args["EIGHT"]
    return (
        rows
        and config["ROWS"] >= min(64, args["ROOM"])
        and config["KEYS"] in ((BLOCK,) if by_block else (BLOCK, 2 * BLOCK))
    )


@tuned(
    [
        triton.Config({"ROWS": rows, "KEYS": keys}, num_warps=warps, num_stages=stages)
        for rows, keys, warps, stages in [
            (128, 128, 8, 3),
            (128, 64, 8, 3),
            (64, 64, 4, 2),
            (64, 64, 4, 3),
            (32, 64, 4, 3),
            (32, 128, 4, 3),
            (16, 64, 4, 3),
            (16, 128, 4, 3),
        ]
    ],
    key=["ROOM", "GROUP", "HALF", "SPLITS", "LISTED", "EIGHT"],
    fits=_fits,
)
@triton.jit(do_not_specialize=["num_tokens", "tiles", "tile_rows"])
def _attend(
    q,
    keys,
    values,
    cos,
    sin,
    bounds,
    index,
    ends,
    key_scales,
    value_scales,
    bias,
    block_cos,
    block_sin,
    places,
    out,
    lse,
    num_tokens,
    num_heads,
    tiles,
    tile_rows,
    q_stride,
    head_stride,
    list_stride,
    scale_stride,
    scale,
    GROUP: tl.constexpr,
    HALF: tl.constexpr,
    SPLITS: tl.constexpr,
    LISTED: tl.constexpr,
    EIGHT: tl.constexpr,
    TILE: tl.constexpr,
    RANGES: tl.constexpr,
    ROOM: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
):
    """One tile of rows of one KV head, over one share of the keys before it and its own keys."""
    pieces = tl.cdiv(tile_rows, ROWS)
    # late tiles see the most and go first
    tile = tiles - 1 - tl.program_id(0) // pieces
    piece = tl.program_id(0) % pieces
    kv_head = tl.program_id(1)
    split = tl.program_id(2)

    start = tl.load(bounds + 2)
    tile_start = (start // TILE + tile) * TILE
    first = tl.maximum(tile_start, start)
    last = tl.minimum(tile_start + TILE, start + num_tokens)
    if first + piece * ROWS // GROUP >= last:
        return

    row = piece * ROWS + tl.arange(0, ROWS)
    position = first + row // GROUP
    alive = position < last
    token = (position - start).to(tl.int64)
    head = kv_head * GROUP + row % GROUP
    wide: tl.constexpr = 2 * HALF
    dim = tl.arange(0, wide)
    mask = tl.broadcast_to(alive[:, None], [ROWS, wide])
    q += token * q_stride + head * wide

    keys += kv_head.to(tl.int64) * head_stride
    values += kv_head.to(tl.int64) * head_stride
    if EIGHT:
        key_scales += kv_head.to(tl.int64) * scale_stride
        value_scales += kv_head.to(tl.int64) * scale_stride
        bias += kv_head * KEYS * wide
    if LISTED:
        index += (tile * tl.num_programs(1) + kv_head).to(tl.int64) * list_stride
        ends += (tile * tl.num_programs(1) + kv_head) * RANGES
        before = tl.load(ends + 2)
    else:
        before = tile_start // KEYS
    share = tl.cdiv(before, SPLITS)
    mine = split * share
    mine_end = tl.minimum(before, mine + share)

    # fetched by the copy engine where there is one; zeros stand for what nobody wrote yet
    written = start + num_tokens
    key_tiles = tl.make_tensor_descriptor(keys, [written, wide], [wide, 1], [KEYS, wide])
    value_tiles = tl.make_tensor_descriptor(values, [written, wide], [wide, 1], [KEYS, wide])
    acc = tl.zeros([ROWS, wide], tl.float32)
    peak = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    in_tile = tl.arange(0, KEYS)
    # few rows leave room to meet the bias by itself, which costs less than to add it to the keys
    apart: tl.constexpr = EIGHT and ROWS < 64
    if apart:
        place = tl.load(places + in_tile[None, :] * wide + dim[:, None])
        coarse = place.to(q.dtype.element_ty)
        fine = (place - coarse).to(q.dtype.element_ty)
    begin = 0
    for part in range(RANGES):
        if LISTED:
            end = tl.load(ends + part)
        elif part < 2:
            end = tl.load(bounds + part) // KEYS
        else:
            end = before
        left, right = tl.maximum(begin, mine), tl.minimum(end, mine_end)
        if left < right:
            own, other = turned_rows(q, cos, sin, part * num_tokens + token, mask, scale, HALF)
            turned = own.to(q.dtype.element_ty)
            if apart:
                term, swapped = bias_terms(own, other, bias, HALF)
            for step in range(left, right):
                block = tl.load(index + step) if LISTED else step
                k = key_tiles.load([block * KEYS, 0]).T
                v = value_tiles.load([block * KEYS, 0])
                v_scale = 1.0
                if EIGHT:
                    key = block * KEYS + in_tile
                    k_scale, v_scale = tl.load(key_scales + key), tl.load(value_scales + key)
                    v = v.to(turned.dtype)
                if apart:
                    at = block_cos + block * HALF, block_sin + block * HALF
                    more = bias_scores(term, swapped, at[0], at[1], coarse, fine, HALF)
                    scores = tl.dot(turned, k.to(turned.dtype), input_precision="ieee")
                    scores = scores * k_scale[None, :] + more
                else:
                    if EIGHT:
                        k = whole_keys(k, k_scale, bias, block_cos, block_sin, block, HALF, KEYS)
                    scores = tl.dot(turned, k.to(turned.dtype), input_precision="ieee")
                acc, peak, total = absorb(acc, peak, total, scores, v, v_scale, EIGHT)
        begin = end

    if split == SPLITS - 1:
        # the tile's own keys, which lie in the last range
        own, other = turned_rows(q, cos, sin, (RANGES - 1) * num_tokens + token, mask, scale, HALF)
        turned = own.to(q.dtype.element_ty)
        if apart:
            term, swapped = bias_terms(own, other, bias, HALF)
        for step in range(tile_start, last, KEYS):
            key = step + in_tile
            k = key_tiles.load([step, 0]).T
            v = value_tiles.load([step, 0])
            v_scale = 1.0
            if EIGHT:
                there = key < last
                k_scale = tl.load(key_scales + key, mask=there, other=0.0)
                v_scale = tl.load(value_scales + key, mask=there, other=0.0)
                block = step // KEYS
                v = v.to(turned.dtype)
            if apart:
                at = block_cos + block * HALF, block_sin + block * HALF
                more = bias_scores(term, swapped, at[0], at[1], coarse, fine, HALF)
                scores = tl.dot(turned, k.to(turned.dtype), input_precision="ieee")
                scores = scores * k_scale[None, :] + more
            else:
                if EIGHT:
                    k = whole_keys(k, k_scale, bias, block_cos, block_sin, block, HALF, KEYS)
                scores = tl.dot(turned, k.to(turned.dtype), input_precision="ieee")
            # a row past the end sees what the last one sees, so that it has something to divide by
            seen = key[None, :] <= tl.minimum(position, last - 1)[:, None]
            scores = tl.where(seen, scores, float("-inf"))
            acc, peak, total = absorb(acc, peak, total, scores, v, v_scale, EIGHT)

    # a share of no keys: its sum of zero shows in the log only
    total = tl.where(total > 0, total, 1.0)
    acc = acc / total[:, None]
    at = split.to(tl.int64) * num_tokens * num_heads + token * num_heads + head
    tl.store(out + at[:, None] * wide + dim[None, :], acc.to(out.dtype.element_ty), mask=mask)
    tl.store(lse + at, (peak + tl.log2(total)) * LN_2, mask=alive)


@triton.jit
def turned_rows(q, cos, sin, turn, mask, scale, HALF: tl.constexpr):
    """The queries rotated and scaled, and the same with their halves exchanged, float32.

    They are read anew each time, since no register is to spare.
    """
    dim = tl.arange(0, 2 * HALF)[None, :]
    own = tl.load(q[:, None] + dim, mask=mask, other=0.0).to(tl.float32)
    # what a half is turned with is as far into the other half
    other = tl.load(q[:, None] + (dim ^ HALF), mask=mask, other=0.0).to(tl.float32)
    at = turn[:, None] * HALF + dim % HALF
    c = tl.load(cos + at, mask=mask, other=0.0) * scale
    s = tl.load(sin + at, mask=mask, other=0.0) * tl.where(dim < HALF, -scale, scale)
    return own * c + other * s, other * c - own * s


@triton.jit
def absorb(acc, peak, total, scores, v, v_scale, SCALED: tl.constexpr):
    """The running softmax with one more tile of keys in it, each value times its scale."""
    higher = tl.maximum(peak, tl.max(scores, 1))
    weights = tl.exp2(scores - higher[:, None])
    kept = tl.exp2(peak - higher)
    total = total * kept + tl.sum(weights, 1)
    if SCALED:
        weights *= v_scale[None, :]
    acc = tl.dot(weights.to(v.dtype), v, acc * kept[:, None], input_precision="ieee")
    return acc, higher, total
