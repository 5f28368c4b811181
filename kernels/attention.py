"""Causal attention of the newest tokens over the KVCache, on a CPU.

The keys are seen through one or more Views (see `dual_chunk`), each with queries turned for it; the
last holds the newest tokens and is causal. There are two forms of one operation, chosen by what the
processor is fast at. `flash` walks the keys with float32 scores inside. `tiled` is two big matrix
products with the scores in the dtype of the inputs; in bfloat16 on a processor with instructions
for it this is about three times as fast.
Dao et al. 2022, "FlashAttention", section 3.1 for the merge of two partial softmaxes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

QUERY_TILE = 128
KEY_RUN = 1024

Partial = tuple[Tensor, Tensor]
"""What attention to a part of the keys gives: its output [H, T, D] and log of sums [H, T]."""

Form = Callable[[Tensor, Tensor, Tensor, bool], Partial]


def attend(
    form: Form, queries: Sequence[tuple[int, int, Tensor]], keys: Tensor, values: Tensor
) -> Tensor:
    """Returns attention [H, T, D] of the newest T positions, one softmax over all Views.

    `queries` holds begin, end and the queries turned for keys [begin, end); the last View ends
    with the newest token and is causal. `keys` and `values` [G, S, D].
    """
    begin, end, newest = queries[-1]
    out, lse = form(newest, keys[:, begin:end], values[:, begin:end], True)
    for begin, end, q in queries[:-1]:
        out, lse = merge((out, lse), form(q, keys[:, begin:end], values[:, begin:end], False))
    return out.to(newest.dtype)


def merge(one: Partial, other: Partial) -> Partial:
    """Returns what attention to both parts of the keys gives, in float32."""
    (out, lse), (more, more_lse) = one, other
    share = torch.sigmoid(more_lse - lse)[..., None]
    return torch.lerp(out.float(), more.float(), share), torch.logaddexp(lse, more_lse)


def flash(q: Tensor, keys: Tensor, values: Tensor, causal: bool = True) -> Partial:
    """Returns attention of q [H, T, D]: the last T positions, or all keys if not `causal`."""
    num_heads, num_queries, head_dim = q.shape
    num_groups, num_keys, _ = keys.shape
    group = num_heads // num_groups
    # queries that see all of some keys: the heads of a group become rows of one
    rows = q.reshape(num_groups, group * num_queries, head_dim)
    if num_queries == 1 or not causal:
        out, lse = _flash(rows, keys, values, causal=False)
        return out.reshape(q.shape), lse.reshape(q.shape[:2])
    start = num_keys - num_queries
    newest = [t[:, start:].repeat_interleave(group, dim=0) for t in (keys, values)]
    recent = _flash(q, newest[0], newest[1], causal=True)
    if start == 0:
        return recent
    return merge(recent, flash(q, keys[:, :start], values[:, :start], causal=False))


def _flash(q: Tensor, keys: Tensor, values: Tensor, *, causal: bool) -> tuple[Tensor, Tensor]:
    """Returns the output [H, T, D] and the log of the softmax sums, float32 [H, T]."""
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q[None], keys[None], values[None], 0.0, causal
    )
    return out[0], lse[0]


def tiled(q: Tensor, keys: Tensor, values: Tensor, causal: bool = True) -> Partial:
    """Returns attention of q [H, T, D]: the last T positions, or all keys if not `causal`."""
    num_heads, num_queries, head_dim = q.shape
    num_groups, num_keys, _ = keys.shape
    start = num_keys - num_queries if causal else num_keys
    grouped = q.reshape(num_groups, -1, num_queries, head_dim)
    out = torch.empty(grouped.shape)
    lse = torch.empty(grouped.shape[:-1])
    first = 0
    while first < num_queries:
        # tiles end on an absolute grid, so that a token's neighbours do not depend on the Step
        last = min(num_queries, first + QUERY_TILE - (start + first) % QUERY_TILE)
        seen = min(num_keys, start + last)
        out[:, :, first:last], lse[:, :, first:last] = _tile(
            grouped[:, :, first:last], keys[:, :seen], values[:, :seen], causal
        )
        first = last
    return out.view(q.shape), lse.view(q.shape[:2])


def _tile(tile: Tensor, keys: Tensor, values: Tensor, causal: bool) -> Partial:
    """Returns float32 attention of a tile [G, R, T, D], the last T of S positions if `causal`."""
    num_groups, repeats, num_queries, head_dim = tile.shape
    num_keys = keys.shape[1]
    rows = tile.reshape(num_groups, repeats * num_queries, head_dim)
    found: Partial | None = None
    for begin in range(0, num_keys, KEY_RUN):
        end = min(num_keys, begin + KEY_RUN)
        k, v = keys[:, begin:end], values[:, begin:end]
        # bfloat16 scores lose digits when keys share a large constant, as the key bias of Qwen2.5
        # makes them: without their mean the scores are small, and the mean's own product is exact
        mean = k.mean(1, keepdim=True, dtype=torch.float32)
        centred = ((k - mean) * head_dim**-0.5).to(k.dtype)
        scores = torch.bmm(rows, centred.transpose(1, 2))
        if causal and end > num_keys - num_queries:
            hidden = _hidden(begin, end, num_keys - num_queries, num_queries)
            scores.view(num_groups, repeats, num_queries, -1).masked_fill_(hidden, float("-inf"))
        peak = scores.amax(-1, keepdim=True)
        weights = scores.sub_(peak).exp_()
        weight = weights.sum(-1, keepdim=True, dtype=torch.float32)
        part = torch.bmm(weights, v).float() / weight
        offset = torch.bmm(rows.float(), mean.transpose(1, 2)) * head_dim**-0.5
        lse = (weight.log() + peak.float() + offset).squeeze(-1)
        found = (part, lse) if found is None else merge(found, (part, lse))
    assert found is not None, "attention over no keys"
    return found[0].view_as(tile), found[1].view(tile.shape[:-1])


def _hidden(begin: int, end: int, start: int, num_queries: int) -> Tensor:
    """Returns which keys of [begin, end) lie after each query, bool [T, end - begin]."""
    queries = torch.arange(start, start + num_queries)[:, None]
    return torch.arange(begin, end)[None, :] > queries
