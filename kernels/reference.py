"""The plain float32 form of every operation: the oracle that the fast paths are tested against."""

from __future__ import annotations

import torch
from torch import Tensor


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
    num_heads, num_queries, head_dim = q.shape
    num_keys = keys.shape[1]
    group = num_heads // keys.shape[0]
    k = keys.float().repeat_interleave(group, dim=0)
    v = values.float().repeat_interleave(group, dim=0)
    scores = q.float() @ k.transpose(1, 2) / head_dim**0.5
    last_seen = torch.arange(num_keys - num_queries, num_keys)[:, None]
    hidden = torch.arange(num_keys)[None, :] > last_seen
    weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)
    return torch.matmul(weights, v)
