"""Causal attention of the newest tokens over the KVCache, on a CPU.

Two forms of one operation, chosen by what the processor is fast at. `flash` walks the keys with
float32 scores inside. `tiled` is two big matrix products with the scores in the dtype of the
inputs; in bfloat16 on a processor with instructions for it this is about three times as fast.
Dao et al. 2022, "FlashAttention", section 3.1 for the merge of two partial softmaxes.
"""

from __future__ import annotations

import torch
from torch import Tensor

QUERY_TILE = 128
KEY_RUN = 1024


def flash(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Returns attention [H, T, D] of the last T positions; shapes as in `reference.attention`."""
    num_heads, num_queries, head_dim = q.shape
    num_groups, num_keys, _ = keys.shape
    start = num_keys - num_queries
    group = num_heads // num_groups
    # every query of this call sees all keys before it: the heads of a group become rows of one
    rows = q.reshape(num_groups, group * num_queries, head_dim)
    if num_queries == 1:
        return _flash(rows, keys, values, causal=False)[0].view_as(q)
    newest = [t[:, start:].repeat_interleave(group, dim=0) for t in (keys, values)]
    out, lse = _flash(q, newest[0], newest[1], causal=True)
    if start == 0:
        return out
    past, past_lse = _flash(rows, keys[:, :start], values[:, :start], causal=False)
    share = torch.sigmoid(past_lse.reshape(lse.shape) - lse)[..., None]
    return torch.lerp(out.float(), past.reshape(out.shape).float(), share).to(q.dtype)


def _flash(q: Tensor, keys: Tensor, values: Tensor, *, causal: bool) -> tuple[Tensor, Tensor]:
    """Returns the output [H, T, D] and the log of the softmax sums, float32 [H, T]."""
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q[None], keys[None], values[None], 0.0, causal
    )
    return out[0], lse[0]


def tiled(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Returns attention [H, T, D] of the last T positions; shapes as in `reference.attention`."""
    num_heads, num_queries, head_dim = q.shape
    num_groups, num_keys, _ = keys.shape
    start = num_keys - num_queries
    grouped = q.reshape(num_groups, -1, num_queries, head_dim)
    out = torch.empty_like(grouped)
    first = 0
    while first < num_queries:
        # tiles end on an absolute grid, so that a token's neighbours do not depend on the Step
        last = min(num_queries, first + QUERY_TILE - (start + first) % QUERY_TILE)
        seen = start + last
        tile = grouped[:, :, first:last]
        out[:, :, first:last] = _attend(tile, keys[:, :seen], values[:, :seen])
        first = last
    return out.view(num_heads, num_queries, head_dim)


def _attend(tile: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Returns attention of a tile [G, R, T, D], the last T of S positions."""
    num_groups, repeats, num_queries, head_dim = tile.shape
    num_keys = keys.shape[1]
    rows = tile.reshape(num_groups, repeats * num_queries, head_dim)
    total: Tensor | None = None
    for begin in range(0, num_keys, KEY_RUN):
        end = min(num_keys, begin + KEY_RUN)
        k, v = keys[:, begin:end], values[:, begin:end]
        # bfloat16 scores lose digits when keys share a large constant, as the key bias of Qwen2.5
        # makes them: without their mean the scores are small, and the mean's own product is exact
        mean = k.mean(1, keepdim=True, dtype=torch.float32)
        centred = ((k - mean) * head_dim**-0.5).to(k.dtype)
        scores = torch.bmm(rows, centred.transpose(1, 2))
        if end > num_keys - num_queries:
            hidden = _hidden(begin, end, num_keys - num_queries, num_queries)
            scores.view(num_groups, repeats, num_queries, -1).masked_fill_(hidden, float("-inf"))
        peak = scores.amax(-1, keepdim=True)
        weights = scores.sub_(peak).exp_()
        weight = weights.sum(-1, keepdim=True, dtype=torch.float32)
        part = torch.bmm(weights, v).float() / weight
        offset = torch.bmm(rows.float(), mean.transpose(1, 2)) * head_dim**-0.5
        lse = weight.log() + peak.float() + offset
        if total is None:
            total, total_lse = part, lse
        else:
            total = torch.lerp(total, part, torch.sigmoid(lse - total_lse))
            total_lse = torch.logaddexp(lse, total_lse)
    assert total is not None, "attention over no keys"
    return total.view_as(tile).to(tile.dtype)


def _hidden(begin: int, end: int, start: int, num_queries: int) -> Tensor:
    """Returns which keys of [begin, end) lie after each query, bool [T, end - begin]."""
    queries = torch.arange(start, start + num_queries)[:, None]
    return torch.arange(begin, end)[None, :] > queries
