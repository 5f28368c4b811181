"""Which columns and diagonals of the attention matrix each head keeps, chosen on the device.

The sums are those of `vertical_slash`. TILE is a multiple of BLOCK, so a diagonal crosses Blocks
that lie as far back from every tile: one list of how far back they are serves a whole piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from longctx.kernels.eight_bits import Eight
from longctx.kernels.flash import BLOCK, TILE
from longctx.kernels.triton_attention import LN_2, LOG2_E, turned_rows
from longctx.kernels.triton_eight import whole_keys
from longctx.kernels.triton_tuning import allow_descriptors
from longctx.kernels.turns import RANGES, Turns
from longctx.kernels.vertical_slash import VerticalSlashRule

# Keys that one program sums up for one head.
RUN = 1_024


@dataclass(frozen=True, slots=True)
class Lines:
    """What each head attends to of the keys before each tile of a piece.

    `columns` are keys, int32 [H, most], ascending, of which the first `column_ends` int32 [H, 3]
    lie in the first range, in the first two, and in all. `back` int32 [H, N + 1] is how many Blocks
    before a tile those begin that are crossed by a diagonal, farthest first; `farther` int32
    [H, N + 1] is how many of them are farther back than 0, 1, ... N.
    """

    columns: Tensor
    column_ends: Tensor
    back: Tensor
    farther: Tensor


def estimate(
    q: Tensor, keys: Tensor, turns: Turns, num_last: int, eight: Eight | None = None
) -> tuple[Tensor, Tensor]:
    """Returns the attention of the last queries by key and by distance, each float32 [H, S].

    Of `q` [T, H, D], not turned yet, all that are not among the last `num_last` are passed over.
    """
    num_tokens, num_heads, head_dim = q.shape
    end = turns.borders[2] + num_tokens
    first = max(0, num_tokens - num_last)
    last, own = q[first:], turns.rows(first, num_tokens)
    runs = triton.cdiv(end, RUN)
    logs = torch.empty((runs, len(last), num_heads), device=q.device)
    columns = torch.empty((num_heads, end), device=q.device)
    diagonals = torch.zeros((num_heads, end), device=q.device)
    tables = key_tables(keys, turns, eight)
    allow_descriptors(q.device)
    # first the logs of the sums of every row, run by run, then the sums of what is left of each
    for known in (False, True):
        _sum_lines[(runs, num_heads)](
            last,
            keys,
            own.cos,
            own.sin,
            own.bounds,
            logs.logsumexp(0) if known else logs,
            *tables,
            columns,
            diagonals,
            len(last),
            q.stride(0),
            keys.stride(0),
            tables[0].stride(0),
            LOG2_E * head_dim**-0.5,
            KNOWN=known,
            GROUP=num_heads // keys.shape[0],
            HALF=head_dim // 2,
            EIGHT=eight is not None,
            RANGES=RANGES,
            ROWS=max(16, triton.next_power_of_2(len(last))),
            RUN=RUN,
            KEYS=BLOCK,
            # what keys of 8 bits bring along takes a third of an A100's shared memory a stage
            num_stages=2 if eight else 3,
        )
    return columns, diagonals


def choose_lines(
    columns: Tensor, diagonals: Tensor, turns: Turns, rule: VerticalSlashRule, layer: int
) -> Lines:
    """Returns the Lines of a piece by what its last queries attend to, each [H, S], overwritten.

    The piece ends with the keys.
    """
    num_heads, end = columns.shape
    columns[:, : rule.sinks] = float("inf")
    diagonals[:, : rule.window] = float("inf")
    quotas = rule.quotas[layer] if rule.quotas else [(rule.vertical, rule.slash)] * num_heads
    found, kept = _heaviest(columns, tuple(max(v, rule.sinks) for v, _ in quotas))
    found = torch.where(kept, found, end).sort(-1).values
    succ, intra, _ = turns.borders
    column_ends = torch.stack([(found < edge).sum(-1) for edge in (succ, intra, end)], -1)

    distances, kept = _heaviest(diagonals, tuple(max(s, rule.window) for _, s in quotas))
    num_blocks = end // BLOCK
    crossed = torch.zeros((num_heads, num_blocks + 1), dtype=torch.bool, device=columns.device)
    nearest = distances // BLOCK + 1 - TILE // BLOCK
    farthest = (distances + BLOCK - 1) // BLOCK
    for more in range(TILE // BLOCK + 1):
        back = torch.minimum(nearest + more, farthest)
        crossed.scatter_(1, torch.where(kept, back, 0).clamp(min=0), True)
    # what begins no Block back is the tile's own
    crossed[:, 0] = False
    farther = crossed.sum(-1, keepdim=True) - crossed.cumsum(-1)
    # where none is crossed the place is the last one, which is never read
    place = torch.where(crossed, farther, num_blocks)
    steps = torch.arange(num_blocks + 1, dtype=torch.int32, device=columns.device)
    index = torch.zeros(place.shape, dtype=torch.int32, device=columns.device)
    index.scatter_(1, place, steps.expand_as(place))
    return Lines(found.int(), column_ends.int(), index, farther.int())


def key_tables(
    keys: Tensor, turns: Turns, eight: Eight | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the scales, bias, cos and sin that make keys whole, or what stands for none."""
    if eight is None:
        return turns.cos, turns.cos, turns.cos, turns.cos
    return eight.key_scales, eight.bias, eight.cos, eight.sin


def _heaviest(weights: Tensor, counts: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Returns the places of the heaviest of weights [H, S], and which of them a head keeps."""
    most = min(max(counts), weights.shape[1])
    places = weights.topk(most, -1).indices
    ranks = torch.arange(most, device=weights.device)
    return places, ranks < _on_device(counts, weights.device)


# a copy to the device waits for all that was launched before it
@lru_cache(maxsize=1_024)
def _on_device(counts: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(counts, device=device)[:, None]


@triton.jit(do_not_specialize=["num_last"])
def _sum_lines(
    q,
    keys,
    cos,
    sin,
    bounds,
    logs,
    key_scales,
    bias,
    block_cos,
    block_sin,
    columns,
    diagonals,
    num_last,
    q_stride,
    head_stride,
    scale_stride,
    scale,
    KNOWN: tl.constexpr,
    GROUP: tl.constexpr,
    HALF: tl.constexpr,
    EIGHT: tl.constexpr,
    RANGES: tl.constexpr,
    ROWS: tl.constexpr,
    RUN: tl.constexpr,
    KEYS: tl.constexpr,
):
    """One run of keys of one head: the logs of the rows' sums or, once known, the attention."""
    run, head = tl.program_id(0) * RUN, tl.program_id(1)
    kv_head = (head // GROUP).to(tl.int64)
    wide: tl.constexpr = 2 * HALF
    first = tl.load(bounds + 2)
    num_keys = first + num_last
    row, in_tile = tl.arange(0, ROWS), tl.arange(0, KEYS)
    alive = row < num_last
    mask = tl.broadcast_to(alive[:, None], [ROWS, wide])
    rows = q + row.to(tl.int64) * q_stride + head * wide
    logs += row * tl.num_programs(1) + head
    if KNOWN:
        log_sum = tl.load(logs, mask=alive, other=0.0) / LN_2
    else:
        peak = tl.full([ROWS], -1e30, tl.float32)
        total = tl.zeros([ROWS], tl.float32)
    keys += kv_head * head_stride
    key_tiles = tl.make_tensor_descriptor(keys, [num_keys, wide], [wide, 1], [KEYS, wide])
    columns += head.to(tl.int64) * num_keys
    diagonals += head.to(tl.int64) * num_keys
    # one row further the same diagonal is one column further: so far is each row moved back
    shift = row[:, None] + in_tile[None, :]
    begin = 0
    for part in range(RANGES):
        end = num_keys
        if part < RANGES - 1:
            end = tl.load(bounds + part)
        left, right = tl.maximum(begin, run), tl.minimum(end, run + RUN)
        if left < right:
            own, _ = turned_rows(rows, cos, sin, part * num_last + row, mask, scale, HALF)
            turned = own.to(q.dtype.element_ty)
            for step in range(left, right, KEYS):
                key = step + in_tile
                k = key_tiles.load([step, 0]).T
                if EIGHT:
                    k_scale = tl.load(key_scales + kv_head * scale_stride + key)
                    own_bias = bias + kv_head * KEYS * wide
                    block = step // KEYS
                    k = whole_keys(k, k_scale, own_bias, block_cos, block_sin, block, HALF, KEYS)
                scores = tl.dot(turned, k.to(turned.dtype), input_precision="ieee")
                seen = alive[:, None] & (key[None, :] <= first + row[:, None])
                scores = tl.where(seen, scores, float("-inf"))
                if KNOWN:
                    weights = tl.exp2(scores - log_sum[:, None])
                    tl.store(columns + key, tl.sum(weights, 0))
                    moved = tl.gather(weights, shift % KEYS, 1)
                    for turn in tl.static_range((ROWS + KEYS - 2) // KEYS + 1):
                        sums = tl.sum(tl.where(shift // KEYS == turn, moved, 0.0), 0)
                        distance = first - key + turn * KEYS
                        inside = (distance >= 0) & (distance < num_keys)
                        tl.atomic_add(diagonals + distance, sums, mask=inside, sem="relaxed")
                else:
                    higher = tl.maximum(peak, tl.max(scores, 1))
                    total *= tl.exp2(peak - higher)
                    total += tl.sum(tl.exp2(scores - higher[:, None]), 1)
                    peak = higher
        begin = end
    if not KNOWN:
        # nothing seen in this run: as little as counts for nothing
        found = tl.where(total > 0, peak + tl.log2(tl.maximum(total, 1e-30)), -1e30)
        tl.store(logs + tl.program_id(0) * num_last * tl.num_programs(1), found * LN_2, mask=alive)
