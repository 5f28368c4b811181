"""The plain form of every mode of sparse attention: which keys a tile sees, by its dense scores.

Each function named after a mode takes the scores [H, T, S] of the last T of S positions, T one
piece of the mode's grid, as dense attention has them, turned for each View and scaled, and returns
what is seen, bool [K, T, S]; `reference.attention_of_scores` makes attention of both.
"""

from __future__ import annotations

import torch
from torch import Tensor

from longctx.kernels.blocks import BlockRule
from longctx.kernels.flash import BLOCK, TILE, Queries
from longctx.kernels.vertical_slash import VerticalSlashRule


def tri_shape(scores: Tensor, rule: BlockRule) -> Tensor:
    """Returns the first keys and the last ones before a tile, and the tile itself."""
    num_queries, num_keys = scores.shape[1:]
    start = num_keys - num_queries
    seen = torch.zeros(1, num_queries, num_keys, dtype=torch.bool)
    seen[:, :, : rule.sinks * BLOCK] = True
    seen[:, :, max(0, start - rule.window * BLOCK) :] = True
    return seen


def blocks(scores: Tensor, num_groups: int, rule: BlockRule) -> Tensor:
    """Returns the Blocks with the highest means of scores until their mass is enough.

    The score of pooled queries and a mean key is the mean of the scores between them.
    """
    num_queries, num_keys = scores.shape[1:]
    num_blocks = (num_keys - num_queries) // BLOCK
    past = scores[:, :, : num_blocks * BLOCK].reshape(len(scores), num_queries, num_blocks, BLOCK)
    mass = past.mean((1, 3)).softmax(-1).reshape(num_groups, len(scores) // num_groups, num_blocks)
    mass = mass.mean(1)
    seen = tri_shape(scores, rule).repeat(num_groups, 1, 1)
    for group in range(num_groups):
        chosen = {n for n in range(num_blocks) if n < rule.sinks or n >= num_blocks - rule.window}
        for block in mass[group].argsort(descending=True).tolist():
            found = sum(mass[group, n].item() for n in chosen)
            if found >= rule.mass or len(chosen) >= rule.max_keys // BLOCK:
                break
            chosen.add(block)
        for block in chosen:
            seen[group, :, block * BLOCK : (block + 1) * BLOCK] = True
    return seen


def predicted_mass(queries: Queries, means: Tensor) -> Tensor:
    """Returns the attention [G, N] of pooled queries [H, T, D] to the means [G, N, D] of Blocks.

    `queries` as in `attention.attend`; `means` are those of the Blocks before the tile.
    """
    num_groups, num_blocks, head_dim = means.shape
    parts = []
    for begin, end, q in queries:
        pooled = q.float().mean(1).view(num_groups, -1, head_dim)
        seen = means[:, begin // BLOCK : min(end // BLOCK, num_blocks)]
        parts.append(pooled @ seen.transpose(1, 2) * head_dim**-0.5)
    return torch.cat(parts, -1).softmax(-1).mean(1)


def vertical_slash(scores: Tensor, layer: int, rule: VerticalSlashRule) -> Tensor:
    """Returns the heaviest columns and the Blocks that the heaviest diagonals cross."""
    num_heads, num_queries, num_keys = scores.shape
    start = num_keys - num_queries
    later = torch.arange(num_keys) > torch.arange(start, num_keys)[:, None]
    weights = scores.masked_fill(later, float("-inf"))[:, -rule.last_queries :].softmax(-1)
    columns, diagonals = weights.sum(1), torch.zeros(num_heads, num_keys)
    for row in range(rule.last_queries):
        at = num_keys - rule.last_queries + row
        diagonals[:, : at + 1] += weights[:, row, : at + 1].flip(-1)
    columns[:, : rule.sinks], diagonals[:, : rule.window] = float("inf"), float("inf")
    seen = torch.zeros(num_heads, num_queries, num_keys, dtype=torch.bool)
    for head in range(num_heads):
        vertical, slash = rule.quotas[layer][head] if rule.quotas else (rule.vertical, rule.slash)
        seen[head][:, columns[head].topk(min(num_keys, max(vertical, rule.sinks))).indices] = True
        kept = diagonals[head].topk(min(num_keys, max(slash, rule.window))).indices
        for first in range(0, num_queries, TILE):
            tile = seen[head, first : first + TILE]
            crossed = (start + first + torch.arange(TILE))[:, None] - kept
            for block in {key // BLOCK for key in crossed[crossed >= 0].tolist()}:
                tile[:, block * BLOCK : (block + 1) * BLOCK] = True
            tile[:, start + first :] = True
    return seen
