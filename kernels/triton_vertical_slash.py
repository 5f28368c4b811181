"""The mode `vertical-slash` on a GPU: columns and diagonals for each query head, in Triton.

What is kept is what `vertical_slash` keeps, for larger pieces of the grid. One program attends for
a tile and a query head: to the tile's own keys, the Blocks that a diagonal crosses and the columns
outside of them, in one softmax. Jiang et al. 2024, "MInference", arXiv 2407.02490, section 3.2.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from longctx.kernels.eight_bits import Eight
from longctx.kernels.flash import BLOCK, TILE
from longctx.kernels.library_attention import attend_densely, has_library
from longctx.kernels.triton_attention import LOG2_E, absorb, attend, turned_rows
from longctx.kernels.triton_eight import whole_columns, whole_keys
from longctx.kernels.triton_lines import Lines, choose_lines, estimate, key_tables
from longctx.kernels.triton_tuning import allow_descriptors, tuned
from longctx.kernels.turns import RANGES, Turns
from longctx.kernels.vertical_slash import VerticalSlashRule

# Queries that are chosen for together: estimating costs 64 of so many rows of dense attention.
# Chunks of the published models are 31 times as long, and Steps 4 times.
GRID = 8_192


# Programs among which the keys of a few queries are shared out.
SPLITS = 16


def attend_lines(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    turns: Turns,
    rule: VerticalSlashRule,
    layer: int,
    *,
    grid: int = GRID,
    eight: Eight | None = None,
) -> Tensor:
    """Returns causal attention [T, H, D] to the columns and diagonals that `rule` keeps.

    `q` [T, H, D] is not turned yet; `keys` and `values` [G, S, D] hold the rows' own keys already.
    Pieces of the absolute `grid`, a multiple of TILE, that are torn by an end or lie before
    `rule.dense_below` attend to everything.
    """
    start, out = turns.borders[2], torch.empty(q.shape, dtype=q.dtype, device=q.device)
    first = 0
    while first < len(q):
        last = min(len(q), first + grid - (start + first) % grid)
        rows, own = q[first:last], turns.rows(first, last)
        if last - first < grid or start + first < rule.dense_until(layer):
            out[first:last] = _attend_all(rows, keys, values, own, eight)
        else:
            columns, diagonals = estimate(rows, keys, own, rule.last_queries, eight)
            lines = choose_lines(columns, diagonals, own, rule, layer)
            out[first:last] = attend_kept(rows, keys, values, own, lines, eight)
        first = last
    return out


def attend_kept(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    turns: Turns,
    lines: Lines,
    eight: Eight | None = None,
) -> Tensor:
    """Returns causal attention [T, H, D] of whole tiles to the Lines and to the tiles' own keys."""
    num_tokens, num_heads, head_dim = q.shape
    assert num_tokens % TILE == 0 and turns.borders[2] % TILE == 0, "torn tiles have no Lines"
    assert q.stride(1) == head_dim and q.stride(2) == 1, "the heads of a row lie together"
    assert keys.stride() == values.stride() and keys.stride(1) == head_dim, "so do a head's tokens"
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    key_scales, bias, cos, sin = key_tables(keys, turns, eight)
    allow_descriptors(q.device)
    _attend_lines(
        lambda given: (num_tokens // given["ROWS"], num_heads),
        q=q,
        keys=keys,
        values=values,
        cos=turns.cos,
        sin=turns.sin,
        bounds=turns.bounds,
        columns=lines.columns,
        column_ends=lines.column_ends,
        back=lines.back,
        farther=lines.farther,
        key_scales=key_scales,
        value_scales=eight.value_scales if eight else key_scales,
        bias=bias,
        block_cos=cos,
        block_sin=sin,
        out=out,
        num_tokens=num_tokens,
        num_columns=lines.columns.shape[1],
        num_blocks=lines.back.shape[1],
        q_stride=q.stride(0),
        head_stride=keys.stride(0),
        scale_stride=key_scales.stride(0),
        scale=LOG2_E * head_dim**-0.5,
        GROUP=num_heads // keys.shape[0],
        HALF=head_dim // 2,
        EIGHT=eight is not None,
        TILE=TILE,
        RANGES=RANGES,
    )
    return out


def _attend_all(
    q: Tensor, keys: Tensor, values: Tensor, turns: Turns, eight: Eight | None
) -> Tensor:
    """Returns causal attention [T, H, D] to everything."""
    if has_library(q, keys):
        return attend_densely(q, keys, values, turns)
    splits = SPLITS if len(q) <= TILE else 1
    return attend(q, keys, values, turns, splits=splits, eight=eight)[0]


@tuned(
    [
        triton.Config({"ROWS": rows, "KEYS": BLOCK}, num_warps=warps, num_stages=stages)
        for rows, warps, stages in [(128, 8, 3), (128, 4, 3), (128, 8, 2), (64, 4, 3)]
    ],
    key=["GROUP", "HALF", "EIGHT"],
    fits=lambda config, args: True,
)
@triton.jit(do_not_specialize=["num_columns", "num_blocks"])
def _attend_lines(
    q,
    keys,
    values,
    cos,
    sin,
    bounds,
    columns,
    column_ends,
    back,
    farther,
    key_scales,
    value_scales,
    bias,
    block_cos,
    block_sin,
    out,
    num_tokens,
    num_columns,
    num_blocks,
    q_stride,
    head_stride,
    scale_stride,
    scale,
    GROUP: tl.constexpr,
    HALF: tl.constexpr,
    EIGHT: tl.constexpr,
    TILE: tl.constexpr,
    RANGES: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
):
    """A tile of rows, or a part of it, of one query head."""
    head = tl.program_id(1)
    kv_head = (head // GROUP).to(tl.int64)
    wide: tl.constexpr = 2 * HALF
    start = tl.load(bounds + 2)
    token = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    position = start + token
    tile_start = start + tl.program_id(0) * ROWS // TILE * TILE
    last = start + tl.program_id(0) * ROWS + ROWS
    # columns of 8 bits bring along so much that a second stage finds no room
    column_stages: tl.constexpr = 1 if EIGHT else 2
    dim, in_tile = tl.arange(0, wide), tl.arange(0, KEYS)
    rows = q + token.to(tl.int64) * q_stride + head * wide
    mask = tl.broadcast_to((token < num_tokens)[:, None], [ROWS, wide])
    keys += kv_head * head_stride
    values += kv_head * head_stride
    if EIGHT:
        key_scales += kv_head * scale_stride
        value_scales += kv_head * scale_stride
        bias += kv_head * KEYS * wide
    columns += head * num_columns
    back += head * num_blocks
    farther += head * num_blocks

    written = start + num_tokens
    key_tiles = tl.make_tensor_descriptor(keys, [written, wide], [wide, 1], [KEYS, wide])
    value_tiles = tl.make_tensor_descriptor(values, [written, wide], [wide, 1], [KEYS, wide])
    acc = tl.zeros([ROWS, wide], tl.float32)
    peak = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    # the tile's own keys first: every row sees itself, whatever it sees of the columns
    own, _ = turned_rows(rows, cos, sin, (RANGES - 1) * num_tokens + token, mask, scale, HALF)
    turned = own.to(q.dtype.element_ty)
    for step in range(tile_start, last, KEYS):
        key = step + in_tile
        k = key_tiles.load([step, 0]).T
        v = value_tiles.load([step, 0])
        v_scale = 1.0
        if EIGHT:
            k_scale, v_scale = tl.load(key_scales + key), tl.load(value_scales + key)
            k = whole_keys(k, k_scale, bias, block_cos, block_sin, step // KEYS, HALF, KEYS)
            v = v.to(turned.dtype)
        scores = tl.dot(turned, k.to(turned.dtype), input_precision="ieee")
        scores = tl.where(key[None, :] <= position[:, None], scores, float("-inf"))
        acc, peak, total = absorb(acc, peak, total, scores, v, v_scale, EIGHT)

    here = tile_start // KEYS
    # the first of the list may lie before the first Block of all
    first = tl.load(farther + here)
    first_column = 0
    for part in range(RANGES):
        border = here
        if part < RANGES - 1:
            border = tl.load(bounds + part) // KEYS
        end = tl.load(farther + here - border)
        last_column = tl.load(column_ends + head * RANGES + part)
        if (first < end) | (first_column < last_column):
            own, _ = turned_rows(rows, cos, sin, part * num_tokens + token, mask, scale, HALF)
            turned = own.to(q.dtype.element_ty)
            for step in range(first, end):
                block = here - tl.load(back + step)
                k = key_tiles.load([block * KEYS, 0]).T
                v = value_tiles.load([block * KEYS, 0])
                v_scale = 1.0
                if EIGHT:
                    key = block * KEYS + in_tile
                    k_scale, v_scale = tl.load(key_scales + key), tl.load(value_scales + key)
                    k = whole_keys(k, k_scale, bias, block_cos, block_sin, block, HALF, KEYS)
                    v = v.to(turned.dtype)
                scores = tl.dot(turned, k.to(turned.dtype), input_precision="ieee")
                acc, peak, total = absorb(acc, peak, total, scores, v, v_scale, EIGHT)
            for step in tl.range(first_column, last_column, KEYS, num_stages=column_stages):
                there = step + in_tile < last_column
                key = tl.load(columns + step + in_tile, mask=there, other=written)
                seen = key < tile_start
                key = tl.where(seen, key, 0)
                away = here - key // KEYS
                with_block = tl.load(farther + away - 1, mask=seen, other=0)
                seen = seen & (with_block == tl.load(farther + away, mask=seen, other=0))
                k = tl.load(keys + key[None, :] * wide + dim[:, None])
                v = tl.load(values + key[:, None] * wide + dim[None, :])
                v_scale = 1.0
                if EIGHT:
                    k_scale, v_scale = tl.load(key_scales + key), tl.load(value_scales + key)
                    k = whole_columns(k, k_scale, bias, block_cos, block_sin, key, HALF, KEYS)
                    v = v.to(turned.dtype)
                scores = tl.dot(turned, k.to(turned.dtype), input_precision="ieee")
                scores = tl.where(seen[None, :], scores, float("-inf"))
                acc, peak, total = absorb(acc, peak, total, scores, v, v_scale, EIGHT)
        first, first_column = end, last_column

    at = (token.to(tl.int64) * tl.num_programs(1) + head) * wide
    acc = acc / total[:, None]
    tl.store(out + at[:, None] + dim[None, :], acc.to(out.dtype.element_ty), mask=mask)
