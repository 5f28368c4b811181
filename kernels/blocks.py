"""The modes `blocks` and `tri-shape`: which Blocks of keys a tile of queries attends to.

A tile is TILE queries on an absolute grid; all heads of a KV head share its choice (as in
FlashPrefill V2, arXiv 2608.19758). A Block is BLOCK keys and stands in the choice by the mean of
its keys. First Blocks (attention sinks; Xiao et al. 2023, arXiv 2309.17453) and the last ones are
always in; the others come by the mass of attention that the tile's pooled queries predict for them,
until the wanted mass or the most keys are reached. Without any others it is the tri-shape of
MInference (Jiang et al. 2024, arXiv 2407.02490, section 2), the question being dense.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from longctx.kernels.coded import Rows
from longctx.kernels.flash import BLOCK, TILE, Queries
from longctx.kernels.recall import block_shares

# Tiles that share a check of their recall.
CHECKED_TILES = 4


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a tile attends to before its own keys: all of `blocks`, bool [K, N], and `columns`.

    The N Blocks are those before the tile, and K, the heads that choose for themselves, is G or H.
    `columns`, bool [K, N * BLOCK], are single keys of Blocks that are not chosen. `stand_ins`, bool
    [K, N], are Blocks that are not chosen either, but stood for by their means.
    """

    blocks: Tensor
    columns: Tensor | None = None
    stand_ins: Tensor | None = None

    def keys(self) -> Tensor:
        """Returns which of the keys are attended to, bool [K, N * BLOCK]."""
        whole = self.blocks.repeat_interleave(BLOCK, 1)
        return whole if self.columns is None else whole | self.columns


@dataclass(frozen=True, slots=True)
class BlockRule:
    """How many Blocks a tile gets: at most `max_keys` keys, fewer once `mass` is predicted.

    `sinks` and `window` are the Blocks at the beginning and right before the tile that are always
    in. Queries before the position `dense_below` attend to everything, those of the first
    `early_layers` layers before `early_below`. Where `fidelity` is given, tiles whose checked row
    pays less than this share of its attention to what is chosen get more. The next best
    `stand_ins` Blocks are stood for by their mean key and mean value, as BLOCK keys of that kind
    (FlashPrefill V2, arXiv 2608.19758, its mean correction); so many and not all, since all of
    them would cost as much as the rest at a million tokens.
    """

    max_keys: int = 4_096
    mass: float = 0.99
    sinks: int = 2
    window: int = 8
    dense_below: int = 8_192
    early_layers: int = 0
    early_below: int = 32_768
    fidelity: float | None = None
    stand_ins: int = 0

    @property
    def grid(self) -> int:
        """The queries that are chosen for together."""
        return TILE if self.fidelity is None else CHECKED_TILES * TILE

    def dense_until(self, layer: int) -> int:
        """Returns the position before which queries of a layer attend to everything."""
        early = self.early_below if layer < self.early_layers else 0
        return max(self.dense_below, early)

    def choose(self, layer: int, queries: Queries, keys: Rows, means: Tensor) -> Sequence[Chosen]:
        """Returns what each tile of the queries attends to; `means` [G, S // BLOCK, D]."""
        tiles = list(_tiles(queries))
        masses = [predicted_mass(views, means[:, : start // BLOCK]) for start, views in tiles]
        if self.fidelity is None:
            return [self._with_stand_ins(mass, choose_blocks(mass, self)) for mass in masses]
        rules = self._enough(tiles[-1][1], keys, masses[-1])
        return [
            self._with_stand_ins(
                mass,
                torch.cat([choose_blocks(mass[g : g + 1], rule) for g, rule in enumerate(rules)]),
            )
            for mass in masses
        ]

    def choose_for_one(self, queries: Queries, means: Tensor) -> Chosen:
        """Returns what a single query attends to among the Blocks that `means` [G, N, D] are of."""
        mass = predicted_mass(queries, means)
        return self._with_stand_ins(mass, choose_blocks(mass, self))

    def _with_stand_ins(self, mass: Tensor, blocks: Tensor) -> Chosen:
        """Returns the Chosen of Blocks, bool [G, N], with the next best as stand-ins."""
        if not self.stand_ins:
            return Chosen(blocks)
        best = mass.masked_fill(blocks, -1.0).argsort(-1, descending=True)[:, : self.stand_ins]
        return Chosen(blocks, stand_ins=torch.zeros_like(blocks).scatter(-1, best, True) & ~blocks)

    def _enough(self, views: Queries, keys: Rows, mass: Tensor) -> list[BlockRule]:
        """Returns for each KV head the Rule under which the tile's last row is faithful."""
        assert self.fidelity is not None
        num_groups, num_blocks = mass.shape
        shares = block_shares(views, keys, views[-1][2].shape[1] - 1, BLOCK)
        shares = shares.view(num_groups, -1, shares.shape[1]).mean(1)
        past, own = shares[:, :num_blocks], shares[:, num_blocks:].sum(-1)
        kept = own + (past * choose_blocks(mass, self)).sum(-1)
        order = _in_order(mass, self)[0]
        short = own[:, None] + past.gather(-1, order).cumsum(-1) < self.fidelity
        counts = short.sum(-1) + 1
        return [
            self
            if kept[g] >= self.fidelity
            else replace(self, max_keys=int(counts[g]) * BLOCK, mass=math.inf)
            for g in range(num_groups)
        ]


def tri_shape(window: int = 62, **settings: int) -> BlockRule:
    """Returns the Rule of the mode `tri-shape`: the first Blocks and the last, nothing between."""
    return BlockRule(mass=0.0, window=window, **settings)


def block_means(keys: Tensor) -> Tensor:
    """Returns the means [G, S // BLOCK, D] of the whole Blocks of keys [G, S, D], float32."""
    num_groups, num_keys, head_dim = keys.shape
    num_blocks = num_keys // BLOCK
    whole = keys[:, : num_blocks * BLOCK]
    return whole.reshape(num_groups, num_blocks, BLOCK, head_dim).mean(2, dtype=torch.float32)


def predicted_mass(queries: Queries, means: Tensor) -> Tensor:
    """Returns the share of attention [G, N] that a tile is predicted to pay to each past Block.

    `queries` as in `attention.attend`, [H, T, D]; `means` [G, N, D] of the N Blocks before the
    tile. Each head's mean query stands for the tile; heads of a group are averaged.
    """
    num_groups, num_blocks, head_dim = means.shape
    parts = []
    for begin, end, q in queries:
        pooled = q.float().mean(1).view(num_groups, -1, head_dim)
        seen = means[:, begin // BLOCK : min(end // BLOCK, num_blocks)]
        parts.append(torch.bmm(pooled, seen.transpose(1, 2)) * head_dim**-0.5)
    return torch.cat(parts, -1).softmax(-1).mean(1)


def choose_blocks(mass: Tensor, rule: BlockRule) -> Tensor:
    """Returns which past Blocks are attended to, bool [G, N], from their predicted mass [G, N]."""
    most = max(1, rule.max_keys // BLOCK)
    order, forced = _in_order(mass, rule)
    shares = torch.where(forced, 0.0, mass).gather(-1, order)
    left = 1 - torch.where(forced, mass, 0.0).sum(-1, keepdim=True)
    # a Block is in while what the better ones leave out is more than may be left out
    before = left - (shares.cumsum(-1) - shares)
    ranks = torch.arange(mass.shape[1])
    wanted = (before > 1 - rule.mass) & (ranks < most) | (ranks < forced.sum())
    return torch.zeros_like(wanted).scatter(-1, order, wanted)


def _in_order(mass: Tensor, rule: BlockRule) -> tuple[Tensor, Tensor]:
    """Returns the Blocks from the first to be chosen on, [G, N], and which are forced, bool [N]."""
    num_blocks = mass.shape[1]
    forced = torch.zeros(num_blocks, dtype=torch.bool)
    forced[: rule.sinks] = True
    forced[max(0, num_blocks - rule.window) :] = True
    return mass.masked_fill(forced, math.inf).argsort(-1, descending=True), forced


def _tiles(queries: Queries) -> Iterator[tuple[int, Queries]]:
    """Yields the begin of each tile and its Views."""
    _, end, newest = queries[-1]
    num_queries = newest.shape[1]
    for first in range(0, num_queries, TILE):
        start = end - num_queries + first
        yield (
            start,
            [(b, min(e, start + TILE), q[:, first : first + TILE]) for b, e, q in queries],
        )
