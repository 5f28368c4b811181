"""What keeping and finding a prefix costs: seconds, bytes, and the share of a prefill.

    python -P tests/bench/prefixes.py OUT.json [LENGTH ...]

The KVCache has the shape of the 0.5B and random content; the share of a prefill is measured on a
tiny random model, against the same prefill without a store, alternating.
"""

import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch

from longctx.runtime.config import load_config
from longctx.runtime.kv_cache import KVCache
from longctx.runtime.loading import load_engine
from longctx.runtime.prefix_chain import NODE
from longctx.runtime.prefix_keeper import Origin, PrefixKeeper
from longctx.runtime.prefix_store import PrefixStore

sys.path.insert(0, str(Path(__file__).parent))
from tiny_model import prompt, tiny_model  # noqa: E402

SHAPES = {"0.5b": (24, 2, 64), "1.5b": (28, 2, 128)}
REPEATS = 5
MOST_BYTES = 2 * 10**9


def cache_of(config, shape, num_tokens, dtype):
    layers, groups, head_dim = SHAPES[shape]
    config = replace(config, num_layers=layers, num_kv_heads=groups, head_dim=head_dim)
    cache = KVCache(config, num_tokens, dtype)
    for tensor in (*cache.keys, *cache.values, *cache.means):
        tensor.normal_()
    return cache


def keep_and_find(root, config, shape, num_tokens, dtype):
    """Seconds to keep that many tokens and, with the files in the page cache, to find them."""
    cache = cache_of(config, shape, num_tokens, dtype)
    store = PrefixStore(root / f"{shape}-{num_tokens}-{dtype}", 10**12)
    ids = np.random.default_rng(0).integers(0, 10**5, num_tokens)

    def keeper():
        return PrefixKeeper(store, Origin("digest", "settings", "model", "bench"), cache)

    writing = keeper()
    writing.restore(ids, num_tokens, 0)
    began, worked = time.perf_counter(), time.process_time()
    writing.keep(num_tokens)
    writing.close()
    keep_seconds, keep_cpu = time.perf_counter() - began, time.process_time() - worked
    found = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        assert keeper().restore(ids, num_tokens, 0) == num_tokens - num_tokens % NODE
        found.append(time.perf_counter() - began)
    num_bytes = store.num_bytes()
    for path in store.directory.iterdir():
        path.unlink()
    return {
        "shape": shape,
        "dtype": str(dtype),
        "num_tokens": num_tokens,
        "bytes_per_token": round(num_bytes / num_tokens),
        "keep_cpu_seconds_per_1000_tokens": round(1000 * keep_cpu / num_tokens, 4),
        "keep_seconds_per_1000_tokens": round(1000 * keep_seconds / num_tokens, 4),
        "find_seconds": round(statistics.median(found), 3),
    }


def share_of_prefill(root):
    """A tiny model's prefill with and without a store, and its second question."""
    model = tiny_model(root / "model")
    ids = prompt(1)
    seconds = {"without": [], "with": [], "second": []}

    def first_token(store):
        with load_engine(model, numerics="float32", prefixes=store) as engine:
            began = time.perf_counter()
            next(engine.generate(ids, max_tokens=1, question_start=len(ids) - 40))
            return time.perf_counter() - began

    for index in range(2 * REPEATS):
        store = PrefixStore(root / f"tiny-{index}", 10**12)
        seconds["without"].append(first_token(None))
        seconds["with"].append(first_token(store))
        seconds["second"].append(first_token(store))
    return {
        "num_tokens": len(ids),
        **{f"{name}_seconds": round(min(times), 4) for name, times in seconds.items()},
    }


def main(out, *lengths):
    with tempfile.TemporaryDirectory(prefix="longctx-prefixes-") as folder:
        root = Path(folder)
        config = load_config(tiny_model(root / "shape"))
        rows = []
        for length in map(int, lengths or ("8192",)):
            for shape, dtype in product(SHAPES, (torch.float32, torch.bfloat16)):
                if 2 * np.prod(SHAPES[shape]) * dtype.itemsize * length > MOST_BYTES:
                    continue
                rows.append(keep_and_find(root, config, shape, length, dtype))
                print(json.dumps(rows[-1]), flush=True)
        tiny = share_of_prefill(root)
    command = " ".join(["python -P tests/bench/prefixes.py OUT.json", *lengths])
    report = {"command": command, "node": NODE, "stores": rows, "tiny_model": tiny}
    Path(out).write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(tiny))


if __name__ == "__main__":
    main(*sys.argv[1:])
