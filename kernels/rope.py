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
    divided by the factor, short ones kept, those between blended) or "yarn" (Peng et al. 2023,
    "YaRN", section 3.2: the same by the number of turns within the trained window).
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim
    frequencies = 1.0 / theta**exponents
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return frequencies
    factor = float(scaling["factor"])
    if kind == "linear":
        return frequencies / factor
    if kind == "yarn":
        kept = _kept_by_yarn(head_dim, theta, scaling)
        return frequencies * (kept + (1 - kept) / factor)
    assert kind == "llama3", f"rope_scaling {kind!r} reached the kernels"
    low, high = float(scaling["low_freq_factor"]), float(scaling["high_freq_factor"])
    original = float(scaling["original_max_position_embeddings"])
    turns = original * frequencies / (2 * math.pi)
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return frequencies * (kept + (1 - kept) / factor)


def _kept_by_yarn(head_dim: int, theta: float, scaling: Mapping[str, Any]) -> Tensor:
    """Returns how much of each pair's frequency YaRN keeps, from 1 (all) to 0, float32 [D / 2]."""
    original = float(scaling["original_max_position_embeddings"])

    def pair_of(turns: float) -> float:
        """Returns which pair turns so often within the trained window."""
        return head_dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = (
        pair_of(float(scaling.get("beta_fast") or 32)),
        pair_of(float(scaling.get("beta_slow") or 1)),
    )
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    pairs = torch.arange(head_dim // 2, dtype=torch.float32)
    return 1 - ((pairs - low) / max(high - low, 0.001)).clamp(0, 1)


def score_factor(scaling: Mapping[str, Any]) -> float:
    """Returns what all scores are multiplied with: 1, but for YaRN (section 3.4) more."""
    if scaling.get("rope_type", scaling.get("type", "default")) != "yarn":
        return 1.0
    factor = scaling.get("attention_factor")
    if factor is None:
        factor = 0.1 * math.log(max(1.0, float(scaling["factor"]))) + 1.0
    # it is meant for queries and keys alike
    return float(factor) ** 2


def angles(frequencies: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Returns cos and sin, float32 [T, D / 2], of `positions` [T]."""
    turned = torch.outer(positions.float(), frequencies)
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
