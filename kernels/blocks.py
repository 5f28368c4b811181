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
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longctx.kernels.coded import Rows
from longctx.kernels.flash import BLOCK, TILE, Queries
from longctx.kernels.quotas import Quota, Quotas
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
    them would cost as much as the rest at a million tokens. `quotas` stand in place of `max_keys`
    and `mass` where they were tuned for each head of the model.
    """

    max_keys: int = 8_192
    mass: float = 0.99
    sinks: int = 2
    window: int = 8
    dense_below: int = 8_192
    early_layers: int = 0
    early_below: int = 32_768
    fidelity: float | None = None
    stand_ins: int = 0
    quotas: Quotas | None = None

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
        quotas = self.quotas_of(layer, len(means))
        if self.fidelity is not None:
            quotas = self._enough(tiles[-1][1], keys, masses[-1], quotas)
        return [self._with_stand_ins(mass, choose_blocks(mass, self, quotas)) for mass in masses]

    def choose_for_one(self, queries: Queries, means: Tensor) -> Chosen:
        """Returns what a single query attends to among the Blocks that `means` [G, N, D] are of."""
        mass = predicted_mass(queries, means)
        return self._with_stand_ins(mass, choose_blocks(mass, self))

    def quotas_of(self, layer: int, num_groups: int) -> Sequence[Quota]:
        """Returns the Quota of each KV head of a layer."""
        if self.quotas is not None:
            return self.quotas.layers[layer]
        return [Quota(self.max_keys, self.mass)] * num_groups

    def _with_stand_ins(self, mass: Tensor, blocks: Tensor) -> Chosen:
        """Returns the Chosen of Blocks, bool [G, N], with the next best as stand-ins."""
        if not self.stand_ins:
            return Chosen(blocks)
        first, last = free_blocks(mass.shape[1], self)
        rooms = blocks[:, first:last].sum(-1) + self.stand_ins
        best = _best(mass, first, last, rooms.tolist(), [-math.inf] * len(mass))
        return Chosen(blocks, stand_ins=best & ~blocks)

    def _enough(
        self, views: Queries, keys: Rows, mass: Tensor, quotas: Sequence[Quota]
    ) -> list[Quota]:
        """Returns for each KV head the Quota under which the tile's last row is faithful."""
        assert self.fidelity is not None
        num_groups, num_blocks = mass.shape
        shares = block_shares(views, keys, views[-1][2].shape[1] - 1, BLOCK)
        shares = shares.view(num_groups, -1, shares.shape[1]).mean(1)
        past, own = shares[:, :num_blocks], shares[:, num_blocks:].sum(-1)
        kept = own + (past * choose_blocks(mass, self, quotas)).sum(-1)
        order = in_order(mass, self)
        short = own[:, None] + past.gather(-1, order).cumsum(-1) < self.fidelity
        counts = short.sum(-1) + 1
        return [
            quota if kept[g] >= self.fidelity else Quota(int(counts[g]) * BLOCK, math.inf)
            for g, quota in enumerate(quotas)
        ]


def tri_shape(window: int = 62, **settings: Any) -> BlockRule:
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
    from longctx.kernels.block_loops import predict
    from longctx.kernels.threads import use_threads

    threads = torch.get_num_threads()
    use_threads(threads)
    num_groups, num_blocks, head_dim = means.shape
    pooled = torch.stack([q.float().mean(1) for _, _, q in queries])
    ends = np.minimum([end // BLOCK for _, end, _ in queries], num_blocks)
    mass = np.empty((num_groups, num_blocks), dtype=np.float32)
    by_group = pooled.view(len(queries), num_groups, -1, head_dim).transpose(0, 1).contiguous()
    assert means.stride()[1:] == (head_dim, 1)
    predict(by_group.numpy(), ends, means.numpy(), head_dim**-0.5, mass, threads)
    return torch.from_numpy(mass)


def choose_blocks(mass: Tensor, rule: BlockRule, quotas: Sequence[Quota] = ()) -> Tensor:
    """Returns which past Blocks are attended to, bool [G, N], from their predicted mass [G, N].

    Each row has the Quota of its KV head, that of the Rule unless given. Of Blocks of the very
    same mass the first ones are in. Nothing is sorted but what can be taken.
    """
    quotas = quotas or [Quota(rule.max_keys, rule.mass)] * len(mass)
    first, last = free_blocks(mass.shape[1], rule)
    num_forced = mass.shape[1] - (last - first)
    rooms = [max(1, quota.max_keys // BLOCK) - num_forced for quota in quotas]
    # a Block is in while what the better ones leave out is more than may be left out
    return _best(mass, first, last, rooms, [1 - quota.mass for quota in quotas])


def _best(
    mass: Tensor, first: int, last: int, rooms: Sequence[int], least: Sequence[float]
) -> Tensor:
    """Returns the Blocks outside [first, last) and the best of those within, bool [G, N]."""
    from longctx.kernels.block_loops import choose

    chosen = np.ones(mass.shape, dtype=np.bool_)
    limits = np.maximum(rooms, 0), np.array(least, dtype=np.float64)
    choose(mass.numpy(), first, last, *limits, chosen)
    return torch.from_numpy(chosen)


def in_order(mass: Tensor, rule: BlockRule) -> Tensor:
    """Returns the Blocks from the first to be chosen on, [G, N], those that are always in first.

    It sorts them all: for what is checked, not for what is read.
    """
    first, last = free_blocks(mass.shape[1], rule)
    wanted = torch.full(mass.shape, math.inf)
    wanted[:, first:last] = mass[:, first:last]
    return wanted.sort(dim=-1, descending=True, stable=True).indices


def free_blocks(num_blocks: int, rule: BlockRule) -> tuple[int, int]:
    """Returns the first and the end of the Blocks that are not always in."""
    first = min(rule.sinks, num_blocks)
    return first, max(first, num_blocks - rule.window)


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
