"""The modes of attention alone, on random keys of a model's shape: milliseconds for 512 rows.

Run: python -P tests/bench/attention.py MODEL_DIRECTORY bfloat16 8192 32768 131072
"""

import sys
import time
from functools import partial
from pathlib import Path

import torch

from longctx.kernels import attention
from longctx.kernels.blocks import BlockRule, block_means, tri_shape
from longctx.kernels.sparse import attend_one, attend_tiles
from longctx.kernels.vertical_slash import VerticalSlashRule
from longctx.runtime.config import load_config

ROWS = 512
RULES = {
    "blocks": BlockRule(dense_below=0, mass=1.0),
    "blocks, 1,024 stand-ins": BlockRule(dense_below=0, mass=1.0, stand_ins=1_024),
    "blocks, fidelity 0.95": BlockRule(dense_below=0, fidelity=0.95),
    "tri-shape": tri_shape(dense_below=0),
    "vertical-slash": VerticalSlashRule(dense_below=0),
}


def milliseconds(run, repeats=3):
    """Returns the least time of some runs."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return 1_000 * min(times)


@torch.inference_mode()
def measure(directory: Path, kind: torch.dtype, length: int) -> dict[str, float]:
    config = load_config(directory)
    keys, values = torch.randn(2, config.num_kv_heads, length, config.head_dim, dtype=kind)
    q = torch.randn(config.num_heads, ROWS, config.head_dim, dtype=kind)
    means = block_means(keys), block_means(values)
    seen = [(0, length, q)], keys, values
    last = [(0, length, q[:, -1:].contiguous())], keys, values
    found = {"dense": milliseconds(lambda: attention.attend(*seen))}
    for name, rule in RULES.items():
        run = partial(attend_tiles, rule, 0, *seen, means[0], None, means[1])
        found[name] = milliseconds(run)
    found["one row, dense"] = milliseconds(lambda: attention.attend(*last))
    one = partial(attend_one, RULES["blocks"], *last, means[0])
    found["one row, blocks"] = milliseconds(one)
    return found


def main(directory: str, dtype: str, *lengths: str) -> None:
    for length in map(int, lengths):
        print(f"{length:,} keys, {dtype}")
        for name, taken in measure(Path(directory), getattr(torch, dtype), length).items():
            print(f"  {name:26} {taken:10.2f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])
