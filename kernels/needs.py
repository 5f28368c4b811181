"""What checked rows would have needed: how many Blocks for a wanted share of their attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from longctx.kernels.blocks import BlockRule, Chosen, free_blocks, in_order, predicted_mass
from longctx.kernels.coded import Rows
from longctx.kernels.flash import BLOCK, TILE, Queries
from longctx.kernels.quotas import Quota
from longctx.kernels.recall import block_shares, checked_row, is_checked


@dataclass(frozen=True, slots=True)
class Needs:
    """What one row has of its full attention, and what it would take to have more.

    `recalls` [H] is the share of it that goes to what was chosen; `taken` [G] are the Blocks that
    were. For each of W wanted shares `counts` [W, H] are the Blocks, the best predicted first, that
    it takes, and `let_in` [W, H] says whether the mass of the head's Quota lets so many in.
    """

    recalls: Tensor
    taken: Tensor
    counts: Tensor
    let_in: Tensor


OnNeeds = Callable[[int, int, Needs], None]
"""Told the layer, the position and the Needs of a checked row."""


@dataclass(frozen=True, slots=True)
class MeasuringRule:
    """A BlockRule whose checked rows from a position on are told of.

    Numbers and name are those of the Rule itself.
    """

    rule: BlockRule
    first: int = field(repr=False)
    wanted: Sequence[float] = field(repr=False)
    on_needs: OnNeeds = field(repr=False)

    def __repr__(self) -> str:
        """What the Rule is named: what is read under it is the same."""
        return repr(self.rule)

    @property
    def grid(self) -> int:
        """The queries that are chosen for together."""
        return self.rule.grid

    @property
    def stand_ins(self) -> int:
        """How many Blocks are stood for by their means."""
        return self.rule.stand_ins

    def dense_until(self, layer: int) -> int:
        """Returns the position before which queries of a layer attend to everything."""
        return self.rule.dense_until(layer)

    def choose(self, layer: int, queries: Queries, keys: Rows, means: Tensor) -> Sequence[Chosen]:
        """Returns what the Rule chooses for a tile."""
        assert self.rule.grid == TILE, "a piece of several tiles"
        found = self.rule.choose(layer, queries, keys, means)
        tile = queries[-1][1] // TILE - 1
        if tile and tile * TILE >= self.first and is_checked(tile):
            row, quotas = checked_row(tile), self.rule.quotas_of(layer, len(keys))
            mass = predicted_mass(queries, means[:, : tile * TILE // BLOCK])
            shares = block_shares(queries, keys, row, BLOCK)
            needs = needs_of(self.rule, quotas, mass, shares, found[0].blocks, self.wanted)
            self.on_needs(layer, tile * TILE + row, needs)
        return found


def needs_of(
    rule: BlockRule,
    quotas: Sequence[Quota],
    mass: Tensor,
    shares: Tensor,
    chosen: Tensor,
    wanted: Sequence[float],
) -> Needs:
    """Returns the Needs of a row that pays `shares` [H, M] of its attention to each Block.

    The first N of the M Blocks are those before its tile: `mass` [G, N] was predicted for them, and
    `chosen`, bool [G, N], were taken.
    """
    num_groups, num_blocks = mass.shape
    per_group = len(shares) // num_groups
    past, own = shares[:, :num_blocks], shares[:, num_blocks:].sum(-1)
    order = in_order(mass, rule)
    gained = own[:, None] + past.gather(-1, order.repeat_interleave(per_group, 0)).cumsum(-1)
    first, last = free_blocks(num_blocks, rule)
    num_forced = num_blocks - (last - first)
    free = mass.gather(-1, order)[:, num_forced:].double()
    # what may be left out, by the number of Blocks that are taken: a choice goes on above it
    out = free.sum(-1, keepdim=True) - torch.cat((torch.zeros(num_groups, 1), free.cumsum(-1)), 1)
    may_be_out = torch.tensor([[1 - quota.mass] for quota in quotas])
    # so many Blocks are let in by mass alone
    most = num_forced + (out[:, :-1] > may_be_out).sum(-1)
    short = [(own < share, (gained < share).sum(-1)) for share in wanted]
    counts = torch.stack([few.long() + more.clamp(max=num_blocks - 1) for few, more in short])
    return Needs(
        recalls=own + (past * chosen.repeat_interleave(per_group, 0)).sum(-1),
        taken=chosen.sum(-1),
        counts=counts,
        let_in=counts <= most.repeat_interleave(per_group),
    )
