"""How well Blocks are chosen: the recall of several ways to score them, and of an oracle.

Of a text read densely, tiles of queries on the way are kept; each way then takes as many Blocks as
the Rule of `blocks` may, and the exact share of attention that goes to them is told, over all rows.

Run: python -P tests/bench/selection.py MODEL_DIRECTORY TEXT OUT.json [NUM_TOKENS]
"""

import json
import sys
from datetime import date
from pathlib import Path
from unittest import mock

import torch

from longctx.kernels.blocks import BlockRule
from longctx.kernels.flash import BLOCK, TILE
from longctx.runtime import decoder, load_engine
from longctx.runtime.bench import machine
from longctx.runtime.tokenizer import Tokenizer

# Every so many tokens a tile is kept, of every third layer.
EVERY, LAYERS = 2_048, 3
PARTS = 4


def kept_tiles(directory, ids, first):
    """Returns for each layer the tiles (end, queries [H, TILE, D]), and the keys [G, S, D]."""
    engine = load_engine(directory, window=len(ids) + 8)
    tiles, attend = [], decoder.attend

    def keeping(queries, keys, values):
        _, end, newest = queries[-1]
        if newest.shape[1] >= TILE and end % EVERY == 0 and end >= first:
            tiles.append((end, newest[:, -TILE:].float()))
        return attend(queries, keys, values)

    with mock.patch.object(decoder, "attend", keeping):
        next(iter(engine.generate(ids, max_tokens=1)))
    layers = engine.reader.cache.keys
    return [(tiles[index :: len(layers)], keys[:, : len(ids)]) for index, keys in enumerate(layers)]


def ways(q, past):
    """Yields names and predicted masses [N] of Blocks; q [h, TILE, D] scaled, past [N, B, D]."""
    means, variances = past.mean(1), past.var(1, unbiased=False)
    parts = past.view(len(past), PARTS, -1, past.shape[-1]).mean(2)

    def mass(scores):
        return scores.softmax(-1).mean((0, 1))

    pooled, some = q.mean(1, keepdim=True), q[:, 7::16]
    yield "pooled queries, means (the Rule)", mass(pooled @ means.T)
    yield "8 rows, means", mass(some @ means.T)
    spread = 0.5 * (some**2 @ variances.T)
    yield "8 rows, means and variances", mass(some @ means.T + spread)
    yield (
        "pooled queries, means of quarters",
        mass(torch.einsum("htd,npd->htnp", pooled, parts).logsumexp(-1)),
    )


def shares(q, keys, end):
    """Returns the exact shares of attention [h, TILE, N] of the Blocks before the tile, and own."""
    scores = torch.einsum("htd,sd->hts", q, keys)
    hidden = torch.arange(end) > (end - TILE + torch.arange(TILE))[:, None]
    weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)
    past = weights[..., : end - TILE].unflatten(-1, (-1, BLOCK)).sum(-1)
    return past, weights[..., end - TILE :].sum(-1)


def main(directory, text, out, num_tokens="16384"):
    rule = BlockRule()
    ids = Tokenizer.load(Path(directory)).encode(Path(text).read_text())[: int(num_tokens)]
    recalls, low = {}, {}
    for tiles, keys in kept_tiles(Path(directory), ids, rule.dense_below)[::LAYERS]:
        for end, queries in tiles:
            for q, seen in zip(queries.view(len(keys), -1, *queries.shape[1:]), keys, strict=True):
                q, seen = q * q.shape[-1] ** -0.5, seen[:end].float()
                past, own = shares(q, seen, end)
                known = seen[: end - TILE].view(-1, BLOCK, seen.shape[-1])
                for name, mass in [*ways(q, known), ("an oracle", past.mean((0, 1)))]:
                    forced = mass.clone()
                    forced[: rule.sinks] = forced[-rule.window :] = float("inf")
                    best = forced.topk(min(len(forced), rule.max_keys // BLOCK)).indices
                    rows = past[..., best].sum(-1) + own
                    recalls.setdefault(name, []).append(rows.mean())
                    low.setdefault(name, []).append(rows.quantile(0.05))
    report = {
        "model": Path(directory).name,
        "text": Path(text).name,
        "num_tokens": len(ids),
        "max_keys": rule.max_keys,
        "date": date.today().isoformat(),
        "machine": machine(),
        "ways": {
            name: {
                "recall": round(torch.stack(found).mean().item(), 4),
                "recall_of_the_lowest_20th_of_rows": round(torch.stack(low[name]).mean().item(), 4),
            }
            for name, found in recalls.items()
        },
    }
    Path(out).write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report["ways"], indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
