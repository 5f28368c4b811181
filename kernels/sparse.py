"""Sparse prefill: attention of queries, tile by tile, to the keys that a Rule chooses for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from longctx.kernels.attention import Form, Partial, attend, merge
from longctx.kernels.blocks import BLOCK, TILE, BlockRule, Chosen
from longctx.kernels.recall import Queries, is_checked, recall

OnRecall = Callable[[int, Tensor], None]
"""Told the position of a checked query and the recall of each of its heads, float32 [H]."""


class Rule(Protocol):
    """A mode of sparse attention: what the tiles of queries attend to."""

    @property
    def grid(self) -> int:
        """The queries that are chosen for together, a multiple of TILE."""

    def dense_until(self, layer: int) -> int:
        """Returns the position before which queries of a layer attend to everything."""

    def choose(self, layer: int, queries: Queries, keys: Tensor, means: Tensor) -> Sequence[Chosen]:
        """Returns what each tile attends to of whole tiles that end with the keys [G, S, D]."""


def attend_tiles(
    form: Form,
    rule: Rule,
    layer: int,
    queries: Queries,
    keys: Tensor,
    values: Tensor,
    means: Tensor,
    on_recall: OnRecall | None = None,
    value_means: Tensor | None = None,
) -> Tensor:
    """Returns attention [H, T, D] to what the Rule chooses; early queries see everything.

    So do those whose piece of the Rule's absolute grid is torn by an end or by a border.
    """
    num_queries, end = queries[-1][2].shape[1], keys.shape[1]
    start, first, outs = end - num_queries, 0, []
    while first < num_queries:
        last = min(num_queries, first + rule.grid - (start + first) % rule.grid)
        views = _rows(queries, start, first, last)
        seen = keys[:, : start + last], values[:, : start + last]
        if last - first < rule.grid or start + first < rule.dense_until(layer):
            outs.append(attend(form, views, *seen))
        else:
            for index, chosen in enumerate(rule.choose(layer, views, seen[0], means)):
                tile = _rows(queries, start, first + index * TILE, first + (index + 1) * TILE)
                if on_recall is not None:
                    _check(tile, seen[0], chosen, on_recall)
                kept = seen[0][:, : tile[-1][1]], seen[1][:, : tile[-1][1]]
                out = attend_chosen(form, tile, *kept, chosen, means, value_means)[0]
                outs.append(out.to(tile[-1][2].dtype))
        first = last
    return torch.cat(outs, 1)


def attend_one(
    form: Form,
    rule: BlockRule,
    queries: Queries,
    keys: Tensor,
    values: Tensor,
    means: Tensor,
    value_means: Tensor | None = None,
) -> Tensor:
    """Returns attention [H, 1, D] of the newest token alone to what the Rule chooses for it."""
    whole = means[:, : (keys.shape[1] - 1) // BLOCK]
    chosen = rule.choose_for_one(queries, whole)
    out, _ = attend_chosen(form, queries, keys, values, chosen, means, value_means)
    return out.to(queries[-1][2].dtype)


def _rows(queries: Queries, start: int, first: int, last: int) -> Queries:
    """Returns the Views of the rows [first, last); the last one, the causal one, ends with them."""
    return [(b, min(e, start + last), q[:, first:last]) for b, e, q in queries]


def _check(tile: Queries, keys: Tensor, chosen: Chosen, on_recall: OnRecall) -> None:
    """Tell the recall of a row, if the tile is one of those that are checked."""
    number = tile[-1][1] // TILE - 1
    if is_checked(number):
        # another row of each tile, so that no place within a tile is favoured
        row = number * 61 % TILE
        on_recall(number * TILE + row, recall(tile, keys, row, chosen.keys()))


def attend_chosen(
    form: Form,
    queries: Queries,
    keys: Tensor,
    values: Tensor,
    chosen: Chosen,
    means: Tensor | None = None,
    value_means: Tensor | None = None,
) -> Partial:
    """Returns attention of queries [H, T, D] to what is chosen and to all keys after that.

    `queries`, `keys` and `values` as in `attention.attend`; the last View is causal and holds all
    keys that are not chosen from. Both means [G, N, D] are needed where Blocks have stand-ins.
    """
    _, end, newest = queries[-1]
    start = chosen.blocks.shape[1] * BLOCK
    assert queries[-1][0] <= start <= end - newest.shape[1], "own keys begin where a Block ends"
    found = form(newest, keys[:, start:end], values[:, start:end], True)
    found = found[0].float(), found[1]
    per_choice = newest.shape[0] // len(chosen.blocks)
    per_group = newest.shape[0] // keys.shape[0]
    for begin, last, q in queries:
        parts = []
        for k in range(len(chosen.blocks)):
            heads = slice(k * per_choice, (k + 1) * per_choice)
            group = heads.start // per_group
            picked = [
                _gathered(t[group], chosen, k, begin, min(last, start)) for t in (keys, values)
            ]
            part = _to_gathered(form, q[heads], picked[0], picked[1])
            if chosen.stand_ins is not None:
                assert means is not None and value_means is not None, "stand-ins without means"
                blocks = slice(begin // BLOCK, min(last, start) // BLOCK)
                stood = chosen.stand_ins[k, blocks].nonzero()[:, 0]
                if len(stood):
                    both = [t[group, blocks][stood].to(q.dtype) for t in (means, value_means)]
                    out, lse = _to_gathered(form, q[heads], both[0], both[1])
                    part = merge(part, (out, lse + math.log(BLOCK)))
            parts.append(part)
        found = merge(found, (torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])))
    return found


def _gathered(rows: Tensor, chosen: Chosen, k: int, begin: int, end: int) -> Tensor:
    """Returns the rows [n, D] in [begin, end) that choice `k` holds, of rows [S, D]."""
    blocks = chosen.blocks[k, begin // BLOCK : end // BLOCK].nonzero()[:, 0]
    inside = rows[begin:end].reshape(-1, BLOCK, rows.shape[-1])
    picked = inside[blocks].flatten(0, 1)
    if chosen.columns is None:
        return picked
    columns = chosen.columns[k, begin:end].nonzero()[:, 0]
    return torch.cat((picked, rows[begin:end][columns]))


def _to_gathered(form: Form, q: Tensor, keys: Tensor, values: Tensor) -> Partial:
    """Returns attention of q [R, T, D] to all of the keys [n, D], which may be none."""
    if not len(keys):
        return torch.zeros(q.shape), torch.full(q.shape[:2], -math.inf)
    out, lse = form(q, keys[None], values[None], False)
    return out.float(), lse
