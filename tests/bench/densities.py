"""How many Blocks each KV head of a model attends to at a length, by the default Rule on real text.

The mean over the tiles of the last quarter, for `gpu.py --densities`, whose random weights choose
nothing that means anything.

Run: python -P tests/bench/densities.py MODEL_DIRECTORY TEXT OUT.json LENGTH [LENGTH ...]
"""

import json
import sys
from datetime import date
from pathlib import Path
from unittest import mock

import torch

from longctx.kernels.blocks import BlockRule
from longctx.kernels.flash import BLOCK
from longctx.runtime import load_engine
from longctx.runtime.bench import machine
from longctx.runtime.config import load_config
from longctx.runtime.sight import Sight
from longctx.runtime.tokenizer import Tokenizer


def blocks_chosen(directory: Path, ids: list[int]) -> list[list[float]]:
    """Returns the mean number of Blocks chosen by each KV head of each layer."""
    native, length = load_config(directory).native_window, len(ids)
    sight = Sight("blocks", "auto", "dca", 1 << (length - 1).bit_length())
    engine = load_engine(
        directory, window=length + 8, sight=sight if length > native else Sight("blocks")
    )
    found, choose = {}, BlockRule.choose

    def counting(rule, layer, queries, keys, means):
        chosen = choose(rule, layer, queries, keys, means)
        for one in chosen:
            if one.blocks.shape[1] * BLOCK >= length * 3 // 4:
                found.setdefault(layer, []).append(one.blocks.sum(1).float())
        return chosen

    with mock.patch.object(BlockRule, "choose", counting):
        next(iter(engine.generate(ids, max_tokens=1)))
    return [torch.stack(found[layer]).mean(0).tolist() for layer in sorted(found)]


def main(model: str, text: str, out: str, *lengths: str) -> None:
    directory = Path(model)
    whole = Tokenizer.load(directory).encode(Path(text).read_text("utf-8"))
    rows = []
    for length in map(int, lengths):
        layers = blocks_chosen(directory, whole[:length])
        most = BlockRule().max_keys // BLOCK
        rows.append({
            "length": length, "most": most,
            "mean": round(sum(map(sum, layers)) / sum(map(len, layers)), 1),
            "layers": [[round(count, 1) for count in layer] for layer in layers],
        })  # fmt: skip
        report = {
            "model": directory.name, "text": Path(text).name, "date": date.today().isoformat(),
            "machine": machine(), "rows": rows, "layers": rows[-1]["layers"],
        }  # fmt: skip
        Path(out).write_text(json.dumps(report, indent=2) + "\n")
        print(length, rows[-1]["mean"], "of", most, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
