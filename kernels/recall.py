"""How much of its full attention a query pays to the keys that were chosen for it.

The recall is exp(LSE of the chosen - LSE of all) (the Qwen2.5-1M report, arXiv 2501.15383, section
on sparsity refinement): the chosen share of the full softmax, computed exactly, one query at a
time, over runs of keys.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from longctx.kernels.coded import Rows
from longctx.kernels.flash import TILE, Queries

KEY_RUN = 4_096

# Checked tiles for every doubling of the position: the cost stays small however long the text is.
CHECKS_PER_DOUBLING = 32


def is_checked(tile: int) -> bool:
    """Returns whether the tile of that number, on the absolute grid, has a row checked."""
    doubling = 1 << max(0, tile.bit_length() - 1)
    return tile % max(1, doubling // CHECKS_PER_DOUBLING) == 0


def checked_row(tile: int) -> int:
    """Returns which row of a tile is checked: another of each, so that no place is favoured."""
    return tile * 61 % TILE


def recall(queries: Queries, keys: Rows, row: int, seen: Tensor) -> Tensor:
    """Returns for each head the share [H] of a row's attention that goes to what is `seen`.

    `seen` is bool [K, P], K a divisor of H, over the first P keys; those after P are all seen.
    """
    num_heads = queries[-1][2].shape[0]
    total = kept = torch.full((num_heads,), float("-inf"))
    for begin, scores in _row_scores(queries, keys, row):
        total = torch.logaddexp(total, scores.logsumexp(-1))
        mask = torch.ones(len(seen), scores.shape[1], dtype=torch.bool)
        known = seen[:, begin : begin + scores.shape[1]]
        mask[:, : known.shape[1]] = known
        hidden = ~mask.repeat_interleave(num_heads // len(seen), 0)
        kept = torch.logaddexp(kept, scores.masked_fill(hidden, float("-inf")).logsumexp(-1))
    return (kept - total).exp()


def block_shares(queries: Queries, keys: Rows, row: int, block: int) -> Tensor:
    """Returns the shares [H, N] of a row's attention that go to each `block` keys; the last short.

    Views begin where a Block does.
    """
    parts = []
    for _, scores in _row_scores(queries, keys, row):
        short = -scores.shape[1] % block
        padded = torch.nn.functional.pad(scores, (0, short), value=float("-inf"))
        parts.append(padded.view(len(padded), -1, block).logsumexp(-1))
    return torch.cat(parts, 1).softmax(-1)


def _row_scores(queries: Queries, keys: Rows, row: int) -> Iterator[tuple[int, Tensor]]:
    """Yields runs of the scores of one row in order: the first key, and float32 [H, run]."""
    num_groups, _, head_dim = keys.shape
    newest = queries[-1]
    last = newest[1] - newest[2].shape[1] + row + 1
    for begin, end, q in queries:
        rows = q[:, row].float().view(num_groups, -1, head_dim) * head_dim**-0.5
        for first in range(begin, min(end, last), KEY_RUN):
            run = keys[:, first : min(first + KEY_RUN, end, last)].float()
            yield first, torch.bmm(rows, run.transpose(1, 2)).flatten(0, 1)
