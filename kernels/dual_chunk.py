"""Which positions queries and keys are turned to, so that no distance exceeds what was trained.

Plain rotary embedding turns a query and a key to their own positions. Dual Chunk Attention (An et
al. 2024, arXiv 2402.17463; in the Qwen2.5-1M report, arXiv 2501.15383, section 3.1) cuts the text
into Chunks of `stride` tokens, turns every key to its position inside its Chunk, once, and gives a
query up to three turns: one for its own Chunk, one for the Chunk before, one for all earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class View:
    """The keys [begin, end) as a run of queries sees them: turned to `positions`, float32 [T]."""

    begin: int
    end: int
    positions: Tensor


@dataclass(frozen=True, slots=True)
class DualChunk:
    """The numbers of Dual Chunk Attention, in tokens.

    `chunk_size` is the longest distance that is ever seen, `local_size` the reach across the end
    of a Chunk in which distances are true ones. `trained` is the window of the training, past
    which attention is sharpened: each row by its own position, or all of them by `total`, the
    length of the whole prompt, as published.
    """

    chunk_size: int
    local_size: int
    trained: int
    total: int | None = None

    @property
    def stride(self) -> int:
        """The tokens of a Chunk."""
        return self.chunk_size - self.local_size

    def key_positions(self, positions: Tensor) -> Tensor:
        """Returns what keys at `positions` are turned to, once and for all."""
        return positions % self.stride

    def views(self, start: int, num_tokens: int) -> list[View]:
        """Returns the Views of the queries from `start` on, which lie in one Chunk; own last.

        The last View ends with the queries themselves and is causal; the others are seen whole.
        """
        own = start - start % self.stride
        assert start + num_tokens <= own + self.stride, "the queries lie in two Chunks"
        inside = torch.arange(start - own, start - own + num_tokens)
        views = [View(own, start + num_tokens, inside)]
        before = max(0, own - self.stride)
        if own:
            views.append(View(before, own, (inside + self.stride).clamp(max=self.chunk_size)))
        if before:
            views.append(View(0, before, torch.full_like(inside, self.chunk_size)))
        return views[::-1]

    def temperature(self, positions: Tensor) -> Tensor:
        """Returns what the scores of queries at `positions` are multiplied with, float32.

        The square of 0.1 ln(n / trained) + 1, n the tokens seen (Peng et al. 2023, "YaRN", section
        3.4; the Qwen2.5-1M report, section 3.1). The published rule takes `total` for n; unless
        that is given it is the row's own, so that a row never depends on what follows it.
        """
        seen = (positions + 1).float()
        if self.total is not None:
            seen = torch.full_like(seen, self.total)
        return (0.1 * (seen / self.trained).log() + 1.0).clamp(min=1.0).square()


@dataclass(frozen=True, slots=True)
class Plain:
    """Plain rotary embedding: every query and key at its own position."""

    stride = None

    def key_positions(self, positions: Tensor) -> Tensor:
        """Returns `positions`."""
        return positions

    def views(self, start: int, num_tokens: int) -> list[View]:
        """Returns the one View of the queries from `start` on."""
        end = start + num_tokens
        return [View(0, end, torch.arange(start, end))]

    def temperature(self, positions: Tensor) -> Tensor:
        """Returns ones."""
        return torch.ones(positions.shape)
