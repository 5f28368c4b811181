"""Causal attention of the newest tokens over the KVCache, on a CPU.

The keys are seen through one or more Views (see `dual_chunk`), each with queries turned for it; the
last holds the newest tokens and is causal. For bfloat16 the module `flash` does it all where the
processor has a form of it; else torch's kernel attends View by View, with float32 scores inside.
Dao et al. 2022, "FlashAttention", section 3.1 for the merge of two partial softmaxes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from longctx.kernels.coded import Rows
from longctx.kernels.flash import Partial, Queries, attend_all, can_flash


def attend(queries: Queries, keys: Rows, values: Rows) -> Tensor:
    """Returns attention [H, T, D] of the newest T positions, one softmax over all Views.

    `queries` holds begin, end and the queries turned for keys [begin, end); the last View ends
    with the newest token and is causal. `keys` and `values` [G, S, D].
    """
    begin, end, newest = queries[-1]
    if can_flash(newest):
        return attend_all(queries, keys, values)[0].to(newest.dtype)
    out, lse = part(newest, keys[:, begin:end], values[:, begin:end])
    for begin, end, q in queries[:-1]:
        more = part(q, keys[:, begin:end], values[:, begin:end], causal=False)
        out, lse = merge((out, lse), more)
    return out.to(newest.dtype)


def merge(one: Partial, other: Partial) -> Partial:
    """Returns what attention to both parts of the keys gives, in float32."""
    (out, lse), (more, more_lse) = one, other
    share = torch.sigmoid(more_lse - lse)[..., None]
    return torch.lerp(out.float(), more.float(), share), torch.logaddexp(lse, more_lse)


def part(q: Tensor, keys: Rows, values: Rows, causal: bool = True) -> Partial:
    """Returns attention of q [H, T, D]: the last T positions, or all keys if not `causal`."""
    if can_flash(q):
        return attend_all([(0, keys.shape[1], q)], keys, values, causal)
    assert isinstance(keys, Tensor) and isinstance(values, Tensor), "rows in 8 bits are for `flash`"
    num_heads, num_queries, head_dim = q.shape
    num_groups, num_keys, _ = keys.shape
    group = num_heads // num_groups
    # queries that see all of some keys: the heads of a group become rows of one
    rows = q.reshape(num_groups, group * num_queries, head_dim)
    if num_queries == 1 or not causal:
        out, lse = _by_torch(rows, keys, values, causal=False)
        return out.reshape(q.shape), lse.reshape(q.shape[:2])
    start = num_keys - num_queries
    newest = [t[:, start:].repeat_interleave(group, dim=0) for t in (keys, values)]
    recent = _by_torch(q, newest[0], newest[1], causal=True)
    if start == 0:
        return recent
    return merge(recent, part(q, keys[:, :start], values[:, :start], causal=False))


def _by_torch(q: Tensor, keys: Tensor, values: Tensor, *, causal: bool) -> Partial:
    """Returns the output [H, T, D] and the log of the softmax sums, float32 [H, T]."""
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q[None], keys[None], values[None], 0.0, causal
    )
    return out[0], lse[0]
