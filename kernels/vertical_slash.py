"""The mode `vertical-slash`: columns and diagonals of the attention matrix, for each head.

MInference (Jiang et al. 2024, arXiv 2407.02490, section 3.2): the last queries tell which keys are
attended to from everywhere (columns) and at which distances (diagonals); the heaviest of both are
kept, as many as each head's quota says. There the last queries are those of the prompt; here they
are those of each piece of GRID queries, so that nothing depends on where a prompt ends. As there, a
diagonal is kept by whole Blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longctx.kernels.blocks import Chosen
from longctx.kernels.coded import Rows
from longctx.kernels.flash import BLOCK, TILE, Queries

GRID = 512
KEY_RUN = 1_024


@dataclass(frozen=True, slots=True)
class VerticalSlashRule:
    """How many columns and diagonals each head gets.

    `quotas` holds for every layer a pair of both for every head, where they were searched for the
    model; else it is `vertical` and `slash` for all. The first `sinks` columns and the diagonals
    nearer than `window` are always in. Queries before `dense_below` attend to everything.
    """

    vertical: int = 1_000
    slash: int = 6_096
    sinks: int = 30
    window: int = 100
    last_queries: int = 64
    dense_below: int = 8_192
    quotas: Sequence[Sequence[tuple[int, int]]] = ()

    @property
    def grid(self) -> int:
        """The queries that are chosen for together."""
        return GRID

    def dense_until(self, layer: int) -> int:
        """Returns the position before which queries attend to everything."""
        return self.dense_below

    def choose(self, layer: int, queries: Queries, keys: Rows, means: Tensor) -> Sequence[Chosen]:
        """Returns what each tile of the queries attends to."""
        end, num_heads = queries[-1][1], queries[-1][2].shape[0]
        columns, diagonals = estimate(queries, keys, self.last_queries)
        columns[:, : self.sinks] = float("inf")
        diagonals[:, : self.window] = float("inf")
        quotas = self.quotas[layer] if self.quotas else [(self.vertical, self.slash)] * num_heads
        lines = _heaviest(columns, [max(v, self.sinks) for v, _ in quotas])
        slashes = _heaviest(diagonals, [max(s, self.window) for _, s in quotas])
        start = end - queries[-1][2].shape[1]
        return [_chosen_by(lines, slashes, at) for at in range(start, end, TILE)]


def estimate(queries: Queries, keys: Rows, num_last: int) -> tuple[Tensor, Tensor]:
    """Returns the attention of the last queries by key and by distance, each float32 [H, S]."""
    num_heads, end = queries[-1][2].shape[0], queries[-1][1]
    sums = torch.full((num_heads, num_last), float("-inf"))
    for _, scores in _last_scores(queries, keys, num_last):
        sums = torch.logaddexp(sums, scores.logsumexp(-1))
    columns, diagonals = torch.zeros(num_heads, end), torch.zeros(num_heads, end)
    for begin, scores in _last_scores(queries, keys, num_last):
        weights = (scores - sums[..., None]).exp_()
        width = weights.shape[-1]
        columns[:, begin : begin + width] += weights.sum(1)
        # rows set off against each other by one: what is on one diagonal stands in one column
        room = torch.zeros(num_heads, num_last, width + 2 * num_last - 2)
        room[..., num_last - 1 : num_last - 1 + width] = weights
        length, across = room.shape[-1], width + num_last - 1
        skewed = room.as_strided(
            (num_heads, num_last, across), (num_last * length, length + 1, 1)
        ).sum(1)
        farthest = end - 1 - begin
        nearest = max(0, farthest - across + 1)
        diagonals[:, nearest : farthest + 1] += skewed[:, : farthest - nearest + 1].flip(-1)
    return columns, diagonals


def _last_scores(queries: Queries, keys: Rows, num_last: int) -> Iterator[tuple[int, Tensor]]:
    """Yields runs of the scores of the last queries: the first key, and float32 [H, T, run]."""
    num_groups, _, head_dim = keys.shape
    end = queries[-1][1]
    positions = torch.arange(end - num_last, end)[:, None]
    for view_begin, view_end, q in queries:
        rows = q[:, -num_last:].float() * head_dim**-0.5
        rows = rows.reshape(num_groups, -1, head_dim)
        for begin in range(view_begin, view_end, KEY_RUN):
            last = min(begin + KEY_RUN, view_end)
            scores = torch.bmm(rows, keys[:, begin:last].float().transpose(1, 2))
            scores = scores.view(q.shape[0], num_last, -1)
            if last > end - num_last:
                hidden = torch.arange(begin, last)[None, :] > positions
                scores = scores.masked_fill_(hidden, float("-inf"))
            yield begin, scores


def _heaviest(weights: Tensor, counts: Sequence[int]) -> Tensor:
    """Returns which of the weights [H, S] are the heaviest, bool, as many as each head's count."""
    order = weights.argsort(-1, descending=True)
    ranks = torch.arange(weights.shape[1])[None, :] < torch.tensor(counts)[:, None]
    return torch.zeros_like(ranks).scatter(-1, order, ranks)


def _chosen_by(lines: Tensor, slashes: Tensor, start: int) -> Chosen:
    """Returns what the tile at `start` attends to: Blocks that a diagonal crosses, and columns."""
    num_heads, num_blocks = lines.shape[0], start // BLOCK
    blocks = torch.zeros(num_heads, num_blocks, dtype=torch.bool)
    distances = torch.arange(slashes.shape[1])
    for offset in (0, TILE // 2, TILE - 1):
        crossed = torch.div(start + offset - distances, BLOCK, rounding_mode="floor")
        inside = (crossed >= 0) & (crossed < num_blocks)
        index = crossed[inside].expand(num_heads, -1)
        hits = torch.zeros(num_heads, num_blocks, dtype=torch.int32)
        blocks |= hits.scatter_add_(1, index, slashes[:, inside].int()) > 0
    columns = lines[:, :start] & ~blocks.repeat_interleave(BLOCK, 1)
    return Chosen(blocks, columns)
