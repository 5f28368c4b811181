"""The plain float32 form of every operation: the oracle that the fast paths are tested against."""

from __future__ import annotations

import torch
from torch import Tensor

from longctx.kernels.dual_chunk import DualChunk


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Returns `x` [..., D] scaled to unit root mean square, times `weight` [D].

    Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", equation 4.
    """
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight.float()


def rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Returns `x` [T, H, D] rotated by the angles in `cos` and `sin` [T, D / 2].

    Pair i is (x[i], x[i + D/2]). Su et al. 2021, "RoFormer", section 3.2.2.
    """
    first, second = x.float().chunk(2, dim=-1)
    cos, sin = cos[:, None].float(), sin[:, None].float()
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """Returns silu(gate) * up. Shazeer 2020, "GLU Variants Improve Transformer"."""
    return torch.nn.functional.silu(gate.float()) * up.float()


def attention(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Returns causal grouped-query attention [H, T, D] of the last T of S positions.

    `q` [H, T, D]; `keys` and `values` [G, S, D], H a multiple of G, S at least T. Query t sees the
    keys up to S - T + t. Ainslie et al. 2023, "GQA", with the scale 1 / sqrt(D).
    """
    everything = torch.ones(keys.shape[0], q.shape[1], keys.shape[1], dtype=torch.bool)
    return chosen_attention(q, keys, values, everything)


def dual_chunk_attention(
    q: Tensor, keys: Tensor, values: Tensor, frequencies: Tensor, numbers: DualChunk
) -> Tensor:
    """Returns Dual Chunk Attention [H, T, D] of the last T of S positions.

    Shapes as in `attention`, but `q` and `keys` are not turned yet.
    """
    scores = dual_chunk_scores(q, keys, frequencies, numbers)
    everything = torch.ones(1, q.shape[1], keys.shape[1], dtype=torch.bool)
    return attention_of_scores(scores, values, everything)


def dual_chunk_scores(q: Tensor, keys: Tensor, frequencies: Tensor, numbers: DualChunk) -> Tensor:
    """Returns the scores [H, T, S] of Dual Chunk Attention, those of later keys among them.

    Every pair of a query and a key is turned by itself, to a distance that follows from how many
    Chunks lie between them (An et al. 2024, arXiv 2402.17463, sections 3.1 to 3.3).
    """
    num_heads, num_queries, head_dim = q.shape
    num_keys, stride = keys.shape[1], numbers.stride
    k = keys.float().repeat_interleave(num_heads // keys.shape[0], dim=0)
    at_q = torch.arange(num_keys - num_queries, num_keys)[:, None]
    at_k = torch.arange(num_keys)[None, :]
    chunks = at_q // stride - at_k // stride
    inside = at_q % stride
    turned_q = torch.where(
        chunks == 0,
        inside,
        torch.where(chunks == 1, (inside + stride).clamp(max=numbers.chunk_size), inside * 0)
        + torch.where(chunks > 1, numbers.chunk_size, 0),
    )
    distance = (turned_q - at_k % stride).float()
    angle = distance[..., None] * frequencies
    cos, sin = angle.cos(), angle.sin()
    q1, q2 = q.float().chunk(2, dim=-1)
    k1, k2 = k.chunk(2, dim=-1)
    # R(a) q . R(b) k depends on a - b alone
    even = torch.einsum("htd,hsd,tsd->hts", q1, k1, cos) + torch.einsum(
        "htd,hsd,tsd->hts", q2, k2, cos
    )
    odd = torch.einsum("htd,hsd,tsd->hts", q1, k2, sin) - torch.einsum(
        "htd,hsd,tsd->hts", q2, k1, sin
    )
    scale: Tensor = numbers.temperature(at_q) / head_dim**0.5
    return (even + odd) * scale


def plain_scores(q: Tensor, keys: Tensor) -> Tensor:
    """Returns the scores [H, T, S] of queries and keys that are turned, scaled by 1 / sqrt(D)."""
    k = keys.float().repeat_interleave(len(q) // len(keys), dim=0)
    return torch.bmm(q.float() * q.shape[-1] ** -0.5, k.transpose(1, 2))


def chosen_attention(q: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> Tensor:
    """Returns attention [H, T, D] of the last T of S positions to the keys that are `seen`.

    Shapes as in `attention`; `seen` is bool [K, T, S], K a divisor of H, and what lies after a
    query is not seen whatever it says.
    """
    return attention_of_scores(plain_scores(q, keys), values, seen)


def attention_of_scores(scores: Tensor, values: Tensor, seen: Tensor) -> Tensor:
    """Returns attention [H, T, D] by the scores [H, T, S] of the last T of S positions."""
    v = values.float().repeat_interleave(len(scores) // len(values), dim=0)
    return torch.matmul(_visible(scores, seen).softmax(-1), v)


def recall(scores: Tensor, seen: Tensor) -> Tensor:
    """Returns the share [H, T] of full attention that goes to what is `seen`."""
    everything = _visible(scores, torch.ones_like(seen)).softmax(-1)
    return (everything * seen.repeat_interleave(len(scores) // len(seen), dim=0)).sum(-1)


def _visible(scores: Tensor, seen: Tensor) -> Tensor:
    """Returns the scores, minus infinity where a key is not seen or lies after the query."""
    num_queries, num_keys = scores.shape[1:]
    last_seen = torch.arange(num_keys - num_queries, num_keys)[:, None]
    visible = seen.repeat_interleave(len(scores) // len(seen), dim=0)
    return scores.masked_fill(~(visible & (torch.arange(num_keys) <= last_seen)), float("-inf"))
