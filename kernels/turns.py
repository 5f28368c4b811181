"""Turns: how the rows of a Step are rotated, and the borders between the ranges of their keys.

The attention kernel sees the keys before a tile as three ranges in a row: those that Dual Chunk
Attention calls inter, succ and intra (An et al. 2024, arXiv 2402.17463, section 3). Plain rotary
embedding is the case in which the first two are empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from longctx.kernels.dual_chunk import DualChunk, Plain
from longctx.kernels.rope import angles

RANGES = 3


@dataclass(frozen=True, slots=True)
class Turns:
    """What the kernels must know of T rows that lie in one Chunk, all on one device.

    `borders` are the first key of the range succ, that of intra, and the position of the first
    row; `bounds` is the same for the kernels, int32 [3]. `cos` and `sin` turn the queries, float32
    [3, T, D / 2] for inter, succ and intra, the temperature of each row in them; `key_cos` and
    `key_sin` [T, D / 2] turn the keys.
    """

    borders: tuple[int, int, int]
    bounds: Tensor
    cos: Tensor
    sin: Tensor
    key_cos: Tensor
    key_sin: Tensor

    @property
    def num_tokens(self) -> int:
        """The rows."""
        return self.cos.shape[1]

    def rows(self, first: int, last: int) -> Turns:
        """Returns the same for the rows [first, last) alone."""
        succ, intra, start = self.borders
        bounds = self.bounds.clone()
        bounds[2] += first
        cos, sin = (table[:, first:last].contiguous() for table in (self.cos, self.sin))
        key_cos, key_sin = self.key_cos[first:last], self.key_sin[first:last]
        return Turns((succ, intra, start + first), bounds, cos, sin, key_cos, key_sin)

    def copy_(self, other: Turns) -> None:
        """Take over the tensors of `other`, in place, for kernels that hold these addresses."""
        for name in ("bounds", "cos", "sin", "key_cos", "key_sin"):
            getattr(self, name).copy_(getattr(other, name))


def make_turns(
    reach: DualChunk | Plain,
    frequencies: Tensor,
    start: int,
    num_tokens: int,
    *,
    factor: float = 1.0,
) -> Turns:
    """Returns the Turns of the rows from `start` on, on the device of `frequencies` [D / 2].

    `factor` multiplies all scores, beside what `reach` says of each row.
    """
    device = frequencies.device
    positions = torch.arange(start, start + num_tokens)
    factors = (factor * reach.temperature(positions)).to(device)[:, None]
    views = reach.views(start, num_tokens)
    missing = RANGES - len(views)
    at = torch.stack([views[0].positions] * missing + [view.positions for view in views])
    cos, sin = angles(frequencies, at.flatten().to(device))
    shape = (RANGES, num_tokens, -1)
    key_cos, key_sin = angles(frequencies, reach.key_positions(positions).to(device))
    succ, intra = ([0] * missing + [view.begin for view in views])[1:]
    borders = (succ, intra, start)
    bounds = torch.tensor(borders, dtype=torch.int32).to(device)
    return Turns(
        borders, bounds, cos.view(shape) * factors, sin.view(shape) * factors, key_cos, key_sin
    )
