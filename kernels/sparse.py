"""Sparse prefill: attention of queries, tile by tile, to the keys that a Rule chooses for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from longctx.kernels.attention import attend, merge, part
from longctx.kernels.blocks import BlockRule, Chosen
from longctx.kernels.coded import Coded, Rows
from longctx.kernels.flash import (
    BLOCK,
    TILE,
    Items,
    Partial,
    Queries,
    attend_all,
    attend_items,
    can_flash,
    items_of,
)
from longctx.kernels.recall import checked_row, is_checked, recall

OnRecall = Callable[[int, Tensor], None]
"""Told the position of a checked query and the recall of each of its heads, float32 [H]."""


class Rule(Protocol):
    """A mode of sparse attention: what the tiles of queries attend to."""

    @property
    def grid(self) -> int:
        """The queries that are chosen for together, a multiple of TILE."""

    def dense_until(self, layer: int) -> int:
        """Returns the position before which queries of a layer attend to everything."""

    def choose(self, layer: int, queries: Queries, keys: Rows, means: Tensor) -> Sequence[Chosen]:
        """Returns what each tile attends to of whole tiles that end with the keys [G, S, D]."""


def attend_tiles(
    rule: Rule,
    layer: int,
    queries: Queries,
    keys: Rows,
    values: Rows,
    means: Tensor,
    on_recall: OnRecall | None = None,
    value_means: Tensor | None = None,
) -> Tensor:
    """Returns attention [H, T, D] to what the Rule chooses; early queries see everything.

    So do those whose piece of the Rule's absolute grid is torn by an end or by a border.
    """
    num_queries, end = queries[-1][2].shape[1], keys.shape[1]
    start, first = end - num_queries, 0
    pieces: list[tuple[Queries, Chosen | None]] = []
    while first < num_queries:
        last = min(num_queries, first + rule.grid - (start + first) % rule.grid)
        views = _rows(queries, start, first, last)
        if last - first < rule.grid or start + first < rule.dense_until(layer):
            tiles = range(first - (start + first) % TILE, last, TILE)
            ends = [(max(first, at), min(last, at + TILE)) for at in tiles]
            pieces += [(_rows(queries, start, *ends_of), None) for ends_of in ends]
        else:
            chosen = rule.choose(layer, views, keys[:, : start + last], means)
            for index, choice in enumerate(chosen):
                tile = _rows(queries, start, first + index * TILE, first + (index + 1) * TILE)
                if on_recall is not None:
                    _check(tile, keys[:, : start + last], values, choice, on_recall)
                pieces.append((tile, choice))
        first = last
    if can_flash(queries[-1][2]) and all(_is_of_blocks(c, len(keys)) for _, c in pieces):
        lists = [[_items(tile, choice, g) for g in range(len(keys))] for tile, choice in pieces]
        return attend_items(queries, keys, values, lists)[0].to(queries[-1][2].dtype)
    return torch.cat(
        [_attend_tile(tile, keys, values, choice, means, value_means) for tile, choice in pieces], 1
    )


def attend_one(
    rule: BlockRule,
    queries: Queries,
    keys: Rows,
    values: Rows,
    means: Tensor,
    value_means: Tensor | None = None,
) -> Tensor:
    """Returns attention [H, 1, D] of the newest token alone to what the Rule chooses for it."""
    if can_flash(queries[-1][2]) and not rule.stand_ins:
        lists = items_for_one(rule, queries, means, keys.shape[1])
        return attend_items(queries, keys, values, [lists])[0].to(queries[-1][2].dtype)
    chosen = rule.choose_for_one(queries, means[:, : (keys.shape[1] - 1) // BLOCK])
    return _attend_tile(queries, keys, values, chosen, means, value_means)


def items_for_one(rule: BlockRule, queries: Queries, means: Tensor, num_keys: int) -> list[Items]:
    """Returns for each KV head what the newest of `num_keys` tokens attends to: whole Blocks."""
    chosen = rule.choose_for_one(queries, means[:, : (num_keys - 1) // BLOCK])
    assert chosen.stand_ins is None and len(chosen.blocks) == len(means)
    return [_items(queries, chosen, group) for group in range(len(means))]


def _attend_tile(
    tile: Queries,
    keys: Rows,
    values: Rows,
    chosen: Chosen | None,
    means: Tensor,
    value_means: Tensor | None,
) -> Tensor:
    """Returns attention [H, T, D] of a tile to what is chosen for it, to everything if None."""
    kept = keys[:, : tile[-1][1]], values[:, : tile[-1][1]]
    if chosen is None:
        return attend(tile, *kept)
    return attend_chosen(tile, *kept, chosen, means, value_means)[0].to(tile[-1][2].dtype)


def _is_of_blocks(chosen: Chosen | None, num_groups: int) -> bool:
    """Returns whether a choice is nothing but Blocks, one choice for each KV head."""
    if chosen is None:
        return True
    return chosen.columns is None and chosen.stand_ins is None and len(chosen.blocks) == num_groups


def _items(tile: Queries, chosen: Chosen | None, group: int) -> Items:
    """Returns what a tile attends to: the chosen Blocks and its own keys, or all it may see."""
    if chosen is None:
        return np.concatenate([items_of(b, e, view) for view, (b, e, _) in enumerate(tile)])
    from longctx.kernels.block_loops import items_of_chosen

    # every View begins where a Block does
    borders = np.array([end for _, end, _ in tile[:-1]], dtype=np.int64)
    blocks = chosen.blocks[group].numpy()
    found: Items = items_of_chosen(blocks, BLOCK, borders, len(blocks) * BLOCK, tile[-1][1])
    return found


def _rows(queries: Queries, start: int, first: int, last: int) -> Queries:
    """Returns the Views of the rows [first, last); the last one, the causal one, ends with them."""
    return [(b, min(e, start + last), q[:, first:last]) for b, e, q in queries]


def _check(tile: Queries, keys: Rows, values: Rows, chosen: Chosen, on_recall: OnRecall) -> None:
    """Tell the recall of a row, if the tile is one of those that are checked."""
    number = tile[-1][1] // TILE - 1
    if not is_checked(number):
        return
    row = checked_row(number)
    if can_flash(tile[-1][2]) and _is_of_blocks(chosen, len(keys)):
        found = _recall_in_flash(_rows(tile, number * TILE, row, row + 1), keys, values, chosen)
    else:
        found = recall(tile, keys, row, chosen.keys())
    on_recall(number * TILE + row, found)


def _recall_in_flash(one: Queries, keys: Rows, values: Rows, chosen: Chosen) -> Tensor:
    """Returns the recall [H] of a query alone, as `recall` does, by the logs of sums of `flash`.

    So nothing that is kept in few bits is made whole in memory first.
    """
    lists = [_items(one, chosen, group) for group in range(len(keys))]
    kept = attend_items(one, keys, values, [lists])[1]
    return (kept - attend_all(one, keys, values)[1])[:, 0].exp()


def attend_chosen(
    queries: Queries,
    keys: Rows,
    values: Rows,
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
    found = part(newest, keys[:, start:end], values[:, start:end])
    found = found[0].float(), found[1]
    per_choice = newest.shape[0] // len(chosen.blocks)
    per_group = newest.shape[0] // keys.shape[0]
    for begin, last, q in queries:
        parts = list[Partial]()
        for k in range(len(chosen.blocks)):
            heads = slice(k * per_choice, (k + 1) * per_choice)
            group = heads.start // per_group
            picked = [
                _gathered(t, group, chosen, k, begin, min(last, start)) for t in (keys, values)
            ]
            one = _to_gathered(q[heads], picked[0], picked[1])
            if chosen.stand_ins is not None:
                assert means is not None and value_means is not None, "stand-ins without means"
                blocks = slice(begin // BLOCK, min(last, start) // BLOCK)
                stood = chosen.stand_ins[k, blocks].nonzero()[:, 0]
                if len(stood):
                    both = [t[group, blocks][stood].to(q.dtype) for t in (means, value_means)]
                    out, lse = _to_gathered(q[heads], both[0], both[1])
                    one = merge(one, (out, lse + math.log(BLOCK)))
            parts.append(one)
        found = merge(found, (torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])))
    return found


def _gathered(rows: Rows, group: int, chosen: Chosen, k: int, begin: int, end: int) -> Tensor:
    """Returns the rows [n, D] in [begin, end) that choice `k` holds, of those [S, D] of a group."""
    blocks = chosen.blocks[k, begin // BLOCK : end // BLOCK].nonzero()[:, 0]
    columns = None
    if chosen.columns is not None:
        columns = chosen.columns[k, begin:end].nonzero()[:, 0]
    if isinstance(rows, Coded):
        places = (blocks[:, None] * BLOCK + torch.arange(BLOCK)).flatten()
        if columns is not None:
            places = torch.cat((places, columns))
        return rows.picked(group, places + begin)
    own = rows[group, begin:end]
    picked = own.reshape(-1, BLOCK, own.shape[-1])[blocks].flatten(0, 1)
    return picked if columns is None else torch.cat((picked, own[columns]))


def _to_gathered(q: Tensor, keys: Tensor, values: Tensor) -> Partial:
    """Returns attention of q [R, T, D] to all of the keys [n, D], which may be none."""
    if not len(keys):
        return torch.zeros(q.shape), torch.full(q.shape[:2], -math.inf)
    out, lse = part(q, keys[None], values[None], causal=False)
    return out.float(), lse
