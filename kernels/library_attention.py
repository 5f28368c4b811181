"""Dense attention of many rows on a GPU by cuDNN, which is faster there than our own kernel.

It knows nothing of Dual Chunk Attention, so each range of keys (see `turns`) is a call of its own
with the queries turned for it, and what the calls give is merged by the logs of their sums.
Liu et al. 2023, "Ring attention", merge the same way.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from longctx.kernels.turns import RANGES, Turns

# Few lengths of calls, since each is planned anew, and small temporaries.
ROWS_AT_ONCE, KEYS_AT_ONCE = 8_192, 131_072

# Where it was measured to be the faster one.
LEAST_CAPABILITY = (9, 0)

# Fewer leave most of the processors without work: their keys are better shared out.
LEAST_ROWS = 1_024

TURN_TOKENS = 16


def has_library(q: Tensor, keys: Tensor) -> bool:
    """Returns whether queries [T, H, D] like these, to keys [G, S, D], are for the library."""
    if not q.is_cuda or len(q) < LEAST_ROWS or keys.dtype != q.dtype:
        return False
    if torch.cuda.get_device_capability(q.device) < LEAST_CAPABILITY:
        return False
    rows, own = q.transpose(0, 1)[None], keys[None, :, : len(q)]
    given = torch.backends.cuda.SDPAParams(rows, own, own, None, 0.0, True, True)
    return torch.backends.cuda.can_use_cudnn_attention(given)


def attend_densely(q: Tensor, keys: Tensor, values: Tensor, turns: Turns) -> Tensor:
    """Returns causal attention [T, H, D] of queries [T, H, D], not turned yet, to all before them.

    `keys` and `values` [G, S, D] hold the rows' own keys already.
    """
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    for first in range(0, len(q), ROWS_AT_ONCE):
        last = min(first + ROWS_AT_ONCE, len(q))
        out[first:last] = _attended(q, keys, values, turns, first, last)
    return out


def _attended(
    q: Tensor, keys: Tensor, values: Tensor, turns: Turns, first: int, last: int
) -> Tensor:
    """Returns attention of the rows from `first` to `last`."""
    start = turns.borders[2] + first
    found = None
    for part, begin, end in _ranges(turns, start):
        turned = turned_queries(q, turns, part, first, last)
        for at in range(begin, end, KEYS_AT_ONCE):
            run = slice(at, min(at + KEYS_AT_ONCE, end))
            found = _merged(found, *_attention(turned, keys[:, run], values[:, run]))
    turned = turned_queries(q, turns, RANGES - 1, first, last)
    own = slice(start, start + last - first)
    found = _merged(found, *_attention(turned, keys[:, own], values[:, own], causal=True))
    return found[0]


def _ranges(turns: Turns, start: int) -> Iterator[tuple[int, int, int]]:
    """Yields the ranges of the keys before `start` that are not empty: number, begin and end."""
    begin = 0
    for part, end in enumerate((*turns.borders[:2], start)):
        if end > begin:
            yield part, begin, end
        begin = end


def _attention(
    q: Tensor, keys: Tensor, values: Tensor, *, causal: bool = False
) -> tuple[Tensor, Tensor]:
    """Returns attention [T, H, D] to all keys or, where `causal`, to as many; and log sums [T, H].

    Without a GPU, that is in tests, torch's attention for CPUs takes the library's place.
    """
    rows, given = q.transpose(0, 1)[None], (keys[None], values[None])
    if q.is_cuda:
        attention = torch.ops.aten._scaled_dot_product_cudnn_attention
        out, sums = attention(rows, *given, None, True, 0.0, causal)[:2]
    else:
        attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        group = q.shape[1] // keys.shape[0]
        whole = [one.repeat_interleave(group, 1) for one in given]
        out, sums = attention(rows, *whole, 0.0, causal)
    return out[0].transpose(0, 1), sums.view(q.shape[1], len(q)).T


def _merged(
    found: tuple[Tensor, Tensor] | None, more: Tensor, more_sums: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns attention to the keys of both, and the logs of both sums."""
    if found is None:
        return more, more_sums
    out, sums = found
    both = torch.logaddexp(sums, more_sums)
    share = (sums - both).exp()[..., None]
    return torch.lerp(more.float(), out.float(), share), both


def turned_queries(q: Tensor, turns: Turns, part: int, first: int, last: int) -> Tensor:
    """Returns the rows [first, last) of queries [T, H, D], turned for one range of keys."""
    _, num_heads, head_dim = q.shape
    assert q.stride(1) == head_dim and q.stride(2) == 1, "the heads of a row lie together"
    out = torch.empty((last - first, num_heads, head_dim), dtype=q.dtype, device=q.device)
    _turn[(triton.cdiv(last - first, TURN_TOKENS), num_heads)](
        q[first:last],
        turns.cos[part, first:last],
        turns.sin[part, first:last],
        out,
        last - first,
        q.stride(0),
        HALF=head_dim // 2,
        TOKENS=TURN_TOKENS,
    )
    return out


@triton.jit(do_not_specialize=["num_tokens"])
def _turn(q, cos, sin, out, num_tokens, stride, HALF: tl.constexpr, TOKENS: tl.constexpr):
    """A run of queries of one head."""
    token = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    head, half = tl.program_id(1), tl.arange(0, HALF)
    mask = tl.broadcast_to((token < num_tokens)[:, None], [TOKENS, HALF])
    at = q + (token.to(tl.int64) * stride)[:, None] + (head * 2 * HALF + half)[None, :]
    turn = (token * HALF)[:, None] + half[None, :]
    c, s = tl.load(cos + turn, mask=mask, other=0.0), tl.load(sin + turn, mask=mask, other=0.0)
    a = tl.load(at, mask=mask, other=0.0).to(tl.float32)
    b = tl.load(at + HALF, mask=mask, other=0.0).to(tl.float32)
    row = (token * tl.num_programs(1) + head).to(tl.int64) * 2 * HALF
    target = out + row[:, None] + half[None, :]
    tl.store(target, (a * c - b * s).to(out.dtype.element_ty), mask=mask)
    tl.store(target + HALF, (b * c + a * s).to(out.dtype.element_ty), mask=mask)
