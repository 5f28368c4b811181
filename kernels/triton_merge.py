"""Parts of attention, each to a share of the keys, merged into attention to all of them.

Dao et al. 2023, "Flash-Decoding for long-context inference".
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


def merge(parts: Tensor, sums: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Returns what attention to all parts of the keys gives, of [splits, T, H, D]."""
    splits, num_tokens, num_heads, head_dim = parts.shape
    out = torch.empty(parts.shape[1:], dtype=dtype, device=parts.device)
    lse = torch.empty(sums.shape[1:], device=parts.device)
    _merge_parts[(num_tokens * num_heads,)](
        parts,
        sums,
        out,
        lse,
        num_tokens * num_heads,
        splits,
        SPLITS=triton.next_power_of_2(splits),
        DIM=head_dim,
    )
    return out, lse


@triton.jit(do_not_specialize=["num_rows"])
def _merge_parts(parts, sums, out, lse, num_rows, splits, SPLITS: tl.constexpr, DIM: tl.constexpr):
    """One row of one head: its parts weighed by their sums; an empty part has none."""
    row = tl.program_id(0).to(tl.int64)
    split = tl.arange(0, SPLITS)
    dim = tl.arange(0, DIM)
    there = split < splits
    part_sums = tl.load(sums + split * num_rows + row, mask=there, other=float("-inf"))
    peak = tl.max(part_sums, 0)
    weights = tl.exp(part_sums - peak)
    total = tl.sum(weights, 0)
    at = (split.to(tl.int64) * num_rows + row)[:, None] * DIM + dim[None, :]
    part = tl.load(parts + at, mask=there[:, None], other=0.0)
    merged = tl.sum(part * (weights / total)[:, None], 0)
    tl.store(out + row * DIM + dim, merged.to(out.dtype.element_ty))
    tl.store(lse + row, peak + tl.log(total))
