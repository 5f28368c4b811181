"""Checks every kernel on a GPU, then measures the shapes of Qwen2.5-7B-1M and 14B-1M, to 1M tokens.

Run: python -P tests/bench/gpu.py OUT.json [--densities FILE] [--shape 7B] [--parts dense,sparse]
         [--small]

Speed and memory are those of random weights of the exact shapes. What such weights select means
nothing, so selection runs for its cost and then lists of the wanted density take its place: those
in FILE, {"layers": [[share of past Blocks per KV head] per layer]} as measured on a real model, or
else the most that the Rule allows, 8,192 keys a tile. The density stands beside each figure. Time
is taken Step by Step, so that one pass to 1M tokens gives every shorter length too. Dense attention
to 1M is run in one layer, and whole to 128K, which shows how far one layer speaks for all.
With --small everything is tiny, and without a GPU it runs in Triton's interpreter in float32
(TRITON_INTERPRET=1): that shows that the script runs and nothing else.

Floors on paper, N = 1,000,000, for the 790 TFLOP/s and 4.3 TB/s that an H200 was seen to reach in a
bfloat16 product and in a copy (the script measures both again):

                                   7B                               14B
  projections      2 * 6.53e9 * N = 1.3e16 FLOP   17 s    2 * 13.1e9 * N = 2.6e16   33 s
  dense attention  2 N^2 * 3584 * 28 = 2.0e17    254 s    2 N^2 * 5120 * 48 = 4.9e17  622 s
  8,192 keys       4 N * 8,320 * 3584 * 28 = 3.3e15  4 s  4 N * 8,320 * 5120 * 48  10 s
  activations      0.34 MB a token and layer       2 s    0.29 MB                   3 s
  scores           0.4 TB written and read       0.1 s    0.9 TB                  0.2 s
  decoding         14.1 + 57.3 GB a token      17 ms      28.0 + 196.6 GB: does not fit in bfloat16
                   60 tokens/s                            in 8 bits 126 GB, 29 ms, 34 tokens/s

So sparse prefill of the 7B cannot take less than 23 s, nor dense less than 273 s: 12 times, and the
60 s that are asked leave a third of the ceiling to reach. The 14B at 1M needs a KVCache of 8 bits,
which is what it is measured with; in bfloat16 it fits to 512K.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import torch
import triton

from longctx.kernels.blocks import BlockRule
from longctx.kernels.flash import BLOCK, TILE
from longctx.kernels.triton_attention import Lists, num_tiles
from longctx.kernels.triton_fp8 import has_fp8_products, quantize
from longctx.kernels.triton_selection import lists_of
from longctx.kernels.triton_tuning import interpreted
from longctx.kernels.turns import Turns
from longctx.runtime import device_reader
from longctx.runtime.config import ModelConfig
from longctx.runtime.device_memory import planned_bytes
from longctx.runtime.device_reader import DeviceReader
from longctx.runtime.device_weights import DeviceWeights, Projection
from longctx.runtime.sight import ANSWER_KEYS, ANSWER_MASS

sys.path.append(str(Path(__file__).parent))
from gpu_checks import all_errors, too_far  # noqa: E402
from gpu_host import host_rows  # noqa: E402
from gpu_lines import lines_alone, prefill_by_lines  # noqa: E402
from gpu_readers import random_weights, reader_of, shape  # noqa: E402
from gpu_timing import attention_alone, ceilings, seconds  # noqa: E402

MILLION = 1_000_000
LENGTHS = (32_768, 131_072, 262_144, 524_288, MILLION)
BUDGET_SECONDS = 560.0
PARTS = ("checks", "attention", "vertical-slash", "host", "dense", "sparse")


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's shape, how long it is read, and what of it is in 8 bits."""

    config: ModelConfig
    lengths: tuple[int, ...] = LENGTHS
    kv8: bool = False
    fp8: bool = False


OF_14B = shape(48, 5120, 13_824, 40, 8)
SHAPES = {
    "7B-1M": Shape(shape(28, 3584, 18_944, 28, 4)),
    "14B-1M, keys and values in 8 bits": Shape(OF_14B, kv8=True),
    "14B-1M, all in 8 bits, half of the window": Shape(OF_14B, LENGTHS[:4], kv8=True, fp8=True),
}


def random_lists(densities: list[float], turns: Turns) -> tuple[Lists, float]:
    """Returns lists of random Blocks, a share of the past for each KV head, and the share in all.

    A density of more than 1 is a number of Blocks.
    """
    start, tokens = turns.borders[2], turns.num_tokens
    tiles = num_tiles(tokens)
    first = start // TILE * TILE // BLOCK
    past = (start + tokens - 1) // TILE * TILE // BLOCK
    before = first + torch.arange(tiles).clamp(max=(past - first) // 2) * (TILE // BLOCK)
    wanted = torch.tensor(densities)[None, :]
    shares = torch.where(wanted > 1, wanted / before[:, None].clamp(min=1), wanted)[..., None]
    blocks = torch.arange(past)
    there = blocks < before[:, None, None]
    chosen = (torch.rand(tiles, len(densities), past) < shares) & there
    chosen |= there & ((blocks < 2) | (blocks >= before[:, None, None] - 8))
    place = torch.where(chosen, chosen.cumsum(-1) - 1, past)
    index = torch.zeros(tiles, len(densities), past + 1, dtype=torch.int32)
    index.scatter_(-1, place, blocks.int().expand_as(place).contiguous())
    ends = [chosen[..., : edge // BLOCK].sum(-1) for edge in (*turns.borders[:2], past * BLOCK)]
    most = -(-int(ends[-1].max()) // 16) * 16
    index = index[..., : max(16, most)].contiguous()
    share = float(chosen.sum() / (there.sum() * len(densities)).clamp(min=1))
    return Lists(index, torch.stack(ends, -1).int().contiguous()), share


def spread(densities: list[list[float]], config: ModelConfig) -> list[list[float]]:
    """Returns densities of another model's layers and KV heads for those of this one."""
    layers, heads = config.num_layers, config.num_kv_heads
    taken = [densities[layer * len(densities) // layers] for layer in range(layers)]
    return [[layer[head * len(layer) // heads] for head in range(heads)] for layer in taken]


def prefill(reader: DeviceReader, length: int, densities: list[list[float]] | None) -> list[dict]:
    """Returns seconds and density of every Step to `length`; dense without `densities`."""
    rows, real = [], device_reader.choose_lists
    ids = torch.randint(0, 1000, (length,))
    reader.truncate(0)
    steps = range(0, length, device_reader.STEP_SIZE)
    for begin in steps:
        for first, last in reader._pieces(begin, min(device_reader.STEP_SIZE, length - begin)):
            start, end = begin + first, begin + last
            turns = reader._turns(start, end - start)
            kinds = {tuple(layer) for layer in densities or []}
            lists = {kind: random_lists(list(kind), turns) for kind in kinds}
            drawn = [lists[tuple(layer)] for layer in densities or []]
            replayed = iter(drawn)

            def replay(q, means, turns, rule, replayed=replayed):
                real(q, means, turns, rule)
                return next(replayed)[0]

            def read(start=start, end=end, turns=turns):
                reader.piece(ids[start:end], turns, reader.rule if densities else None)
                reader._finish(start, end)

            device_reader.choose_lists = replay
            try:
                took = seconds(read)
            finally:
                device_reader.choose_lists = real
            shares = [share for _, share in drawn]
            density = sum(shares) / len(shares) if shares else 1.0
            rows.append({"end": end, "seconds": took, "density": density})
    return rows


def warm_up(reader: DeviceReader, densities: list[list[float]] | None) -> None:
    """Compile and tune what a prefill launches, outside of the time that is taken."""
    prefill(reader, min(reader.capacity, 2 * device_reader.STEP_SIZE), densities)
    config, past = reader.config, 16
    group = config.num_heads // config.num_kv_heads
    while past * BLOCK < 2 * reader.capacity:
        scores = torch.zeros(config.num_kv_heads, num_tiles(TILE), group, past)
        lists_of(scores, reader._turns(0, TILE), BlockRule())
        past *= 2


def upto(rows: list[dict], length: int, times: int = 1) -> dict:
    """Returns the seconds that the Steps to `length` took together, and their mean density."""
    rows = [row for row in rows if row["end"] <= length]
    took = sum(row["seconds"] for row in rows) * times
    weight = sum(row["end"] for row in rows)
    density = sum(row["density"] * row["end"] for row in rows) / weight
    return {"length": length, "seconds": took, "density": density}


def decoding(reader: DeviceReader, length: int, rule: BlockRule | None, tokens: int = 12) -> dict:
    """Returns the tokens per second after `length` tokens, by `rule` or to everything."""
    reader.cache.length, reader.decode_rule, reader._replays = length, rule, {}
    token = torch.tensor([1])
    reader.decode(token)
    began = time.perf_counter()
    for _ in range(tokens):
        reader.decode(token)
    took = (time.perf_counter() - began) / tokens
    several = None
    if rule is None:
        # as many as are guessed from what was read before
        reader.cache.length, guessed = length, token.expand(reader.most_rows)
        reader.decode(guessed)
        began = time.perf_counter()
        reader.decode(guessed)
        several = time.perf_counter() - began
    config, head = reader.config, reader.weights.head
    kept = [
        one.weight if isinstance(one.weight, torch.Tensor) else one.weight.codes
        for layer in reader.weights.layers
        for one in (layer.qkv, layer.out, layer.gate_up, layer.down)
    ]
    weights = sum(one.numel() * one.element_size() for one in kept)
    keys = length if rule is None else min(length, rule.max_keys)
    means = 0 if rule is None else config.cache_bytes_per_token(2) * length // BLOCK
    cache = config.cache_bytes_per_token(reader.cache.keys[0].itemsize) * keys + means
    moved = weights + head.numel() * head.element_size() + cache
    return {"length": length, "attention": "blocks" if rule else "dense",
            "tokens_per_second": 1 / took, "bytes_per_second": moved / took,
            "several_tokens_seconds": several}  # fmt: skip


def in_fp8(weights: DeviceWeights) -> DeviceWeights:
    """Returns the weights with the matrices of their layers rounded to 8 bits."""

    def rounded(one: Projection) -> Projection:
        return Projection(quantize(one.weight), one.bias)

    names = ("qkv", "out", "gate_up", "down")
    layers = tuple(
        replace(layer, **{name: rounded(getattr(layer, name)) for name in names})
        for layer in weights.layers
    )
    return replace(weights, layers=layers)


def measure(name: str, model: Shape, densities, ceiling, report, parts: list[str]) -> None:
    """Adds to the report what one shape does, the cheapest figures first."""
    config, lengths, kv8, fp8 = model.config, model.lengths, model.kv8, model.fp8
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info()[0] if on_gpu else 2**40
    planned = {one: sum(planned_bytes(config, one + 64, fp8=fp8, kv8=kv8)) for one in lengths}
    fits = [one for one in lengths if planned[one] < free]
    row = report["shapes"][name] = {
        "planned_gib": {one: planned[one] / 2**30 for one in lengths},
        "does_not_fit": [one for one in lengths if one not in fits],
    }
    if "attention" in parts:
        row["attention"] = [line for one in fits for line in attention_alone(config, one, ceiling)]
    if "vertical-slash" in parts:
        row["vertical-slash"] = [line for one in fits for line in lines_alone(config, one, ceiling)]
        short = [one for one in fits if one <= LENGTHS[2]]
        weights = random_weights(config, fp8=fp8)
        reader = reader_of(config, weights, short[-1], BlockRule(), kv8)
        prefill_by_lines(reader, min(short[-1], 2 * device_reader.STEP_SIZE))
        steps = prefill_by_lines(reader, short[-1])
        row["vertical-slash whole"] = [upto(steps, one) for one in short]
        del reader, weights
    if "host" in parts:
        row["host"] = host_rows(config, fits[-1] if on_gpu else fits[0])
    if "dense" in parts:
        one_layer = replace(config, num_layers=1)
        reader = reader_of(one_layer, random_weights(one_layer, fp8=fp8), fits[-1], None, kv8)
        warm_up(reader, None)
        # each new length of a call of cuDNN is planned, once for all layers
        first = upto(prefill(reader, fits[-1], None), fits[-1])
        steps = prefill(reader, fits[-1], None)
        row["planning_seconds"] = first["seconds"] - upto(steps, fits[-1])["seconds"]
        row["dense_by_one_layer"] = [upto(steps, one, config.num_layers) for one in fits]
        del reader
    if "sparse" not in parts:
        return
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    weights = random_weights(config, fp8=fp8)
    reader = reader_of(config, weights, fits[-1] + 64, BlockRule(), kv8)
    most = BlockRule().max_keys / BLOCK
    layers = spread(densities or [[most]], config)
    warm_up(reader, layers)
    steps = prefill(reader, fits[-1], layers)
    row["sparse"] = [upto(steps, one) for one in fits]
    row["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None
    rules = (None, BlockRule(ANSWER_KEYS, ANSWER_MASS))
    row["decoding"] = [decoding(reader, one, rule) for rule in rules for one in fits]
    if "dense" not in parts:
        return
    # more would take too long
    whole = [one for one in fits if one <= LENGTHS[1]]
    steps = prefill(reader, whole[-1], None)
    row["dense"] = [upto(steps, one) for one in whole]
    # in 8 bits there is no room for both forms of the weights
    if has_fp8_products(reader.device) and not kv8:
        reader.weights = in_fp8(reader.weights)
        warm_up(reader, layers)
        steps = prefill(reader, whole[-1], layers)
        row["sparse_fp8"] = [upto(steps, one) for one in whole]
    pairs = zip(row["dense_by_one_layer"], row["sparse"], strict=True)
    row["times_faster"] = [dense["seconds"] / sparse["seconds"] for dense, sparse in pairs]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--densities", type=Path)
    parser.add_argument("--shape", default="", help="only those whose name begins so")
    parser.add_argument("--parts", default=",".join(PARTS), help="with commas")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    parts, densities = options.parts.split(","), None
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--parts {', '.join(unknown)}: there are {', '.join(PARTS)}")
    if options.densities:
        densities = json.loads(options.densities.read_text())["layers"]
    on_gpu = torch.cuda.is_available()
    if not on_gpu and not (options.small and interpreted()):
        raise SystemExit("torch finds no CUDA device")
    shapes = {name: one for name, one in SHAPES.items() if name.startswith(options.shape)}
    if options.small:
        tiny = replace(shape(2, 128, 192, 4, 2), head_dim=32, vocab_size=1000)
        tiny = replace(tiny, dual_chunk=(384, 128), native_window=384)
        shapes = {"tiny": Shape(tiny, (256, 640), kv8=True, fp8=True)}
        device_reader.STEP_SIZE = 256
    torch.set_default_device("cuda" if on_gpu else "cpu")
    torch.manual_seed(0)
    began, report = time.perf_counter(), {
        "device": torch.cuda.get_device_name() if on_gpu else None,
        "memory_gib": torch.cuda.mem_get_info()[1] / 2**30 if on_gpu else None,
        "capability": torch.cuda.get_device_capability() if on_gpu else None,
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "densities": str(options.densities or "the most that the Rule allows"),
        "shapes": {},
        "left_out": [],
    }  # fmt: skip

    def save() -> None:
        report["seconds"] = time.perf_counter() - began
        options.out.write_text(json.dumps(report, indent=2) + "\n")

    with torch.inference_mode():
        if "checks" in parts:
            report["errors"] = all_errors(small=options.small)
            print(json.dumps(report["errors"], indent=2), flush=True)
        report["ceilings"] = ceilings(64 if options.small else 8192)
        save()
        if wrong := too_far(report.get("errors", {})):
            raise SystemExit("kernels that compute something else:\n" + "\n".join(wrong))
        for name, model in shapes.items():
            if time.perf_counter() - began > BUDGET_SECONDS / 2:
                report["left_out"].append(f"{name}: no time left")
                continue
            ceiling = report["ceilings"]["bf16_flops"]
            measure(name, model, densities, ceiling, report, parts)
            print(json.dumps(report["shapes"][name], indent=2), flush=True)
            save()


if __name__ == "__main__":
    main()
