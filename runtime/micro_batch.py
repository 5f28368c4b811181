"""The rows of a Step in pieces that go through a layer together, and how they are turned."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from longctx.kernels.dual_chunk import DualChunk, Plain
from longctx.kernels.rope import angles

# Rows that go through a layer together: few enough that their temporaries stay in cache.
MICRO_BATCH = 512

Turn = tuple[Tensor, Tensor]
"""The cos and sin of a rotation, each [T, D / 2]."""

Reach = DualChunk | Plain


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Rows of a Step that go through a layer together.

    `keys` turns their keys; `queries` holds, for each View, its begin, its end and the Turn of
    their queries, with what multiplies the scores in it.
    """

    rows: slice
    position: int
    keys: Turn
    queries: tuple[tuple[int, int, Turn], ...]


def micro_batches(
    reach: Reach, frequencies: Tensor, start: int, num_tokens: int, *, factor: float
) -> list[MicroBatch]:
    """Returns the rows of a Step in pieces that end on an absolute grid and at ends of Chunks.

    `factor` multiplies all scores, beside what `reach` says of each row.
    """
    first, pieces = 0, []
    while first < num_tokens:
        position = start + first
        last = min(num_tokens, first + MICRO_BATCH - position % MICRO_BATCH)
        if stride := reach.stride:
            last = min(last, first + stride - position % stride)
        pieces.append(_micro_batch(reach, frequencies, position, slice(first, last), factor))
        first = last
    return pieces


def _micro_batch(
    reach: Reach, frequencies: Tensor, position: int, rows: slice, factor: float
) -> MicroBatch:
    """Returns the rows that begin at `position`, with the Turns of their keys and queries."""
    num_tokens = rows.stop - rows.start
    positions = torch.arange(position, position + num_tokens)
    factors = factor * reach.temperature(positions)[:, None]

    def queries(at: Tensor) -> Turn:
        cos, sin = angles(frequencies, at)
        return cos * factors, sin * factors

    return MicroBatch(
        rows,
        position,
        keys=angles(frequencies, reach.key_positions(positions)),
        queries=tuple(
            (view.begin, view.end, queries(view.positions))
            for view in reach.views(position, num_tokens)
        ),
    )
