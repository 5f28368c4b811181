"""Rotary position embedding: the angles, and the rotation of queries and keys."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def inverse_frequencies(head_dim: int, theta: float, scaling: Mapping[str, Any]) -> Tensor:
    """Returns the angle per position of every pair, float32 [D / 2].

    `scaling` is the model's rope_scaling: empty, "linear" (Chen et al. 2023, "Extending Context
    Window via Position Interpolation") or "llama3" (the Llama 3.1 model card: long wavelengths are
    divided by the factor, short ones kept, those between blended).
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim
    frequencies = 1.0 / theta**exponents
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return frequencies
    factor = float(scaling["factor"])
    if kind == "linear":
        return frequencies / factor
    assert kind == "llama3", f"rope_scaling {kind!r} reached the kernels"
    low, high = float(scaling["low_freq_factor"]), float(scaling["high_freq_factor"])
    original = float(scaling["original_max_position_embeddings"])
    turns = original * frequencies / (2 * math.pi)
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return frequencies * (kept + (1 - kept) / factor)


def angles(frequencies: Tensor, start: int, num_tokens: int) -> tuple[Tensor, Tensor]:
    """Returns cos and sin, float32 [T, D / 2], of the positions from `start` on."""
    positions = torch.arange(start, start + num_tokens, dtype=torch.float32)
    turned = torch.outer(positions, frequencies)
    return turned.cos(), turned.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Returns `x` [T, H, D] rotated, in its own dtype, by `cos` and `sin` [T, D / 2]."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos[:, None], sin[:, None]
    turned = torch.empty_like(x)
    half = x.shape[-1] // 2
    turned[..., :half] = first * cos - second * sin
    turned[..., half:] = second * cos + first * sin
    return turned
