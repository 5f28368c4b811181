"""Attention over all Blocks of keys or over lists of them, as one Triton kernel.

One program holds a tile of rows, the query heads of one KV head packed together, so that keys are
read once for all of them. It walks the keys before its tile range by range (see `turns`) with the
queries turned anew for each range, then the keys of its own tile under the causal mask, all in one
softmax. Decoding is the same kernel with the keys split among programs and their parts merged.
Dao et al. 2022, "FlashAttention", section 3.1; Dao et al. 2023, "Flash-Decoding", for the split.
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
from longctx.kernels.triton_eight import whole_keys
from longctx.kernels.triton_tuning import tuned
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
    if eight:
        tables = [eight.key_scales, eight.value_scales, eight.bias, eight.cos, eight.sin]
    else:
        tables = [turns.cos] * 5
    dtype = torch.float32 if splits > 1 else q.dtype
    out = torch.empty((splits, *q.shape), dtype=dtype, device=q.device)
    lse = torch.empty((splits, num_tokens, num_heads), device=q.device)
    tiles, tile_rows = num_tiles(num_tokens), min(num_tokens, TILE) * group
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
        key_scales=tables[0],
        value_scales=tables[1],
        bias=tables[2],
        block_cos=tables[3],
        block_sin=tables[4],
        out=out,
        lse=lse,
        num_tokens=num_tokens,
        num_heads=num_heads,
        tiles=tiles,
        tile_rows=tile_rows,
        q_stride=q.stride(0),
        head_stride=keys.stride(0),
        list_stride=lists.index.stride(1) if lists else 0,
        scale_stride=tables[0].stride(0),
        scale=LOG2_E * head_dim**-0.5,
        GROUP=group,
        HALF=head_dim // 2,
        SPLITS=splits,
        LISTED=lists is not None,
        EIGHT=eight is not None,
        TILE=TILE,
        RANGES=RANGES,
    )
    if splits == 1:
        return out[0], lse[0]
    return _merge(out, lse, q.dtype)


def _merge(parts: Tensor, sums: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Returns what attention to all parts of the keys gives, of [splits, T, H, D]."""
    splits, num_tokens, num_heads, head_dim = parts.shape
    out = torch.empty(parts.shape[1:], dtype=dtype, device=parts.device)
    lse = torch.empty(sums.shape[1:], device=parts.device)
    _merge_parts[(num_tokens * num_heads,)](
        parts,
        sums,
        out,
        lse,
        num_tokens * num_heads,
        splits,
        SPLITS=triton.next_power_of_2(splits),
        DIM=head_dim,
    )
    return out, lse


def _fits(config: Mapping[str, Any], args: Mapping[str, Any]) -> bool:
    """Whether a configuration has as few rows as hold a tile's, and reads lists Block by Block."""
    needed = max(16, triton.next_power_of_2(args["tile_rows"]))
    rows = config["ROWS"] == needed if needed < 64 else 64 <= config["ROWS"] <= needed
    by_block = args["LISTED"] or args["EIGHT"]
    return rows and (config["KEYS"] == BLOCK or not by_block)


@tuned(
    [
        triton.Config({"ROWS": rows, "KEYS": keys}, num_warps=warps, num_stages=stages)
        for rows, keys, warps in [
            (128, 64, 8),
            (128, 128, 8),
            (64, 64, 4),
            (32, 64, 4),
            (32, 128, 4),
            (16, 64, 4),
            (16, 128, 4),
        ]
        for stages in (2, 3, 4)
    ],
    key=["tile_rows", "GROUP", "HALF", "SPLITS", "LISTED", "EIGHT"],
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
    half = tl.arange(0, HALF)
    dim = tl.arange(0, 2 * HALF)
    shape: tl.constexpr = [ROWS, HALF]
    mask = tl.broadcast_to(alive[:, None], shape)
    q_at = q + (token * q_stride + head * 2 * HALF)[:, None] + half[None, :]
    token_turn = (token * HALF)[:, None] + half[None, :]

    keys += kv_head.to(tl.int64) * head_stride
    values += kv_head.to(tl.int64) * head_stride
    if EIGHT:
        key_scales += kv_head.to(tl.int64) * scale_stride
        value_scales += kv_head.to(tl.int64) * scale_stride
        bias += kv_head * KEYS * 2 * HALF
    if LISTED:
        index += (tile * tl.num_programs(1) + kv_head).to(tl.int64) * list_stride
        ends += (tile * tl.num_programs(1) + kv_head) * RANGES
        before = tl.load(ends + 2)
    else:
        before = tile_start // KEYS
    share = tl.cdiv(before, SPLITS)
    mine = split * share
    mine_end = tl.minimum(before, mine + share)

    acc = tl.zeros([ROWS, 2 * HALF], tl.float32)
    peak = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    in_tile = tl.arange(0, KEYS)
    begin = 0
    for part in range(RANGES):
        if LISTED:
            end = tl.load(ends + part)
        elif part < 2:
            end = tl.load(bounds + part) // KEYS
        else:
            end = before
        turn_at = token_turn + part * num_tokens * HALF
        q1, q2 = _turned(q_at, cos, sin, turn_at, mask, scale, HALF)
        for step in range(tl.maximum(begin, mine), tl.minimum(end, mine_end)):
            block = tl.load(index + step) if LISTED else step
            key = block * KEYS + in_tile
            k_at = keys + key[None, :] * (2 * HALF) + half[:, None]
            k1, k2 = tl.load(k_at), tl.load(k_at + HALF)
            v = tl.load(values + key[:, None] * (2 * HALF) + dim[None, :])
            if EIGHT:
                k_scale, v_scale = tl.load(key_scales + key), tl.load(value_scales + key)
                k1, k2 = whole_keys(k1, k2, k_scale, bias, block_cos, block_sin, block, HALF, KEYS)
                k1, k2 = k1.to(q1.dtype), k2.to(q1.dtype)
                v = (v.to(tl.float32) * v_scale[:, None]).to(q1.dtype)
            scores = tl.dot(q1, k1, input_precision="ieee")
            scores = tl.dot(q2, k2, scores, input_precision="ieee")
            acc, peak, total = _absorb(acc, peak, total, scores, v)
        begin = end

    if split == SPLITS - 1:
        # the tile's own keys, which lie in the last range
        turn_at = token_turn + (RANGES - 1) * num_tokens * HALF
        q1, q2 = _turned(q_at, cos, sin, turn_at, mask, scale, HALF)
        for step in range(tile_start, last, KEYS):
            key = step + in_tile
            there = key < last
            k_at = keys + key[None, :] * (2 * HALF) + half[:, None]
            k1 = tl.load(k_at, mask=there[None, :], other=0.0)
            k2 = tl.load(k_at + HALF, mask=there[None, :], other=0.0)
            v_at = values + key[:, None] * (2 * HALF) + dim[None, :]
            v = tl.load(v_at, mask=there[:, None], other=0.0)
            if EIGHT:
                k_scale = tl.load(key_scales + key, mask=there, other=0.0)
                v_scale = tl.load(value_scales + key, mask=there, other=0.0)
                k1, k2 = whole_keys(
                    k1, k2, k_scale, bias, block_cos, block_sin, step // KEYS, HALF, KEYS
                )
                k1, k2 = k1.to(q1.dtype), k2.to(q1.dtype)
                v = (v.to(tl.float32) * v_scale[:, None]).to(q1.dtype)
            scores = tl.dot(q1, k1, input_precision="ieee")
            scores = tl.dot(q2, k2, scores, input_precision="ieee")
            # a row past the end sees what the last one sees, so that it has something to divide by
            seen = key[None, :] <= tl.minimum(position, last - 1)[:, None]
            scores = tl.where(seen, scores, float("-inf"))
            acc, peak, total = _absorb(acc, peak, total, scores, v)

    # a share of no keys: its sum of zero shows in the log only
    total = tl.where(total > 0, total, 1.0)
    acc = acc / total[:, None]
    at = split.to(tl.int64) * num_tokens * num_heads + token * num_heads + head
    wide = tl.broadcast_to(alive[:, None], [ROWS, 2 * HALF])
    tl.store(out + at[:, None] * (2 * HALF) + dim[None, :], acc.to(out.dtype.element_ty), mask=wide)
    tl.store(lse + at, (peak + tl.log2(total)) * LN_2, mask=alive)


@triton.jit
def _turned(q, cos, sin, turn, mask, scale, HALF: tl.constexpr):
    """The two halves of the queries rotated and scaled; read anew: no register is to spare."""
    first = tl.load(q, mask=mask, other=0.0)
    second = tl.load(q + HALF, mask=mask, other=0.0)
    c = tl.load(cos + turn, mask=mask, other=0.0) * scale
    s = tl.load(sin + turn, mask=mask, other=0.0) * scale
    turned_first = (first * c - second * s).to(first.dtype)
    return turned_first, (second * c + first * s).to(first.dtype)


@triton.jit
def _absorb(acc, peak, total, scores, v):
    """The running softmax with one more tile of keys in it."""
    higher = tl.maximum(peak, tl.max(scores, 1))
    weights = tl.exp2(scores - higher[:, None])
    kept = tl.exp2(peak - higher)
    acc = tl.dot(weights.to(v.dtype), v, acc * kept[:, None], input_precision="ieee")
    return acc, higher, total * kept + tl.sum(weights, 1)


@triton.jit(do_not_specialize=["num_rows"])
def _merge_parts(parts, sums, out, lse, num_rows, splits, SPLITS: tl.constexpr, DIM: tl.constexpr):
    """One row of one head: its parts weighed by their sums; an empty part has none."""
    row = tl.program_id(0).to(tl.int64)
    split = tl.arange(0, SPLITS)
    dim = tl.arange(0, DIM)
    there = split < splits
    part_sums = tl.load(sums + split * num_rows + row, mask=there, other=float("-inf"))
    peak = tl.max(part_sums, 0)
    weights = tl.exp(part_sums - peak)
    total = tl.sum(weights, 0)
    at = (split.to(tl.int64) * num_rows + row)[:, None] * DIM + dim[None, :]
    part = tl.load(parts + at, mask=there[:, None], other=0.0)
    merged = tl.sum(part * (weights / total)[:, None], 0)
    tl.store(out + row * DIM + dim, merged.to(out.dtype.element_ty))
    tl.store(lse + row, peak + tl.log(total))
