"""Readers of random weights on a GPU, and what of them is held against one another."""

import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from gpu_distance import DTYPE, distance, worst_of

from longctx.kernels.blocks import BlockRule
from longctx.kernels.dual_chunk import DualChunk
from longctx.kernels.triton_fp8 import quantize
from longctx.runtime.config import ModelConfig
from longctx.runtime.device_reader import STEP_SIZE, DeviceReader
from longctx.runtime.device_weights import DeviceWeights, Layer, Projection
from longctx.runtime.engine import Engine
from longctx.runtime.host_reader import HostReader
from longctx.runtime.numerics import Numerics
from longctx.runtime.prefix_keeper import Origin, PrefixKeeper
from longctx.runtime.prefix_store import PrefixStore


def random_weights(config: ModelConfig, *, fp8: bool = False) -> DeviceWeights:
    """Returns weights of the shape of `config`, small enough that activations stay finite."""

    def drawn(rows: int, columns: int) -> torch.Tensor:
        return torch.empty(rows, columns, dtype=DTYPE).normal_(0, columns**-0.5)

    def matrix(rows: int, columns: int, bias: bool = False) -> Projection:
        weight = quantize(drawn(rows, columns)) if fp8 else drawn(rows, columns)
        return Projection(weight, torch.zeros(rows, dtype=DTYPE) if bias else None)

    hidden, mlp, dim = config.hidden_size, config.mlp_size, config.head_dim
    ones = torch.ones(hidden, dtype=DTYPE)
    qkv = (config.num_heads + 2 * config.num_kv_heads) * dim
    layers = tuple(
        Layer(ones, matrix(qkv, hidden, True), None, None, matrix(hidden, config.num_heads * dim),
              ones, matrix(2 * mlp, hidden), matrix(hidden, mlp))
        for _ in range(config.num_layers)
    )  # fmt: skip
    ends = [drawn(config.vocab_size, hidden) for _ in range(2)]
    return DeviceWeights(ends[0], layers, ones, ends[1])


def reader_of(
    config: ModelConfig,
    weights: DeviceWeights,
    capacity: int,
    rule: BlockRule | None,
    kv8: bool = False,
    *,
    kind: type[DeviceReader] = DeviceReader,
    decode_rule: BlockRule | None = None,
) -> DeviceReader:
    reach = DualChunk(*config.dual_chunk, trained=config.native_window)
    numerics = Numerics("bfloat16", DTYPE, "as read", kv8=kv8)
    given = {"reach": reach, "rule": rule, "decode_rule": decode_rule}
    reader = kind(config, weights, numerics, capacity, **given)
    assert (reader.cache.keys[0].dtype == torch.int8) == kv8
    return reader


def shape(layers: int, hidden: int, mlp: int, heads: int, kv_heads: int) -> ModelConfig:
    return ModelConfig(
        "qwen2", layers, hidden, mlp, heads, kv_heads, 128, 152_064, 1e-5, 1e7,
        native_window=262_144, window=1_010_000, dual_chunk=(262_144, 8_192),
    )  # fmt: skip


def check_host() -> float:
    """Returns how far keys and values on the host lead from the same on the device."""
    config = replace(shape(3, 512, 1024, 8, 2), vocab_size=1000)
    config = replace(config, dual_chunk=(768, 256), native_window=768)
    weights, ids = random_weights(config), torch.randint(0, 1000, (1_350,))
    rule = BlockRule(max_keys=256, mass=0.99, sinks=1, window=2, dense_below=128)
    plain, host = (
        reader_of(config, weights, 1_400, rule, kind=kind, decode_rule=rule)
        for kind in (DeviceReader, HostReader)
    )
    found = []
    for begin, end, dense in ((0, 768, False), (768, 1_152, False), (1_152, 1_276, True)):
        rows = [one.read(ids[begin:end], lambda part: None, dense=dense) for one in (plain, host)]
        found.append(distance(rows[1], rows[0]))
    # over the ends of a tile and of two Blocks
    for token in ids[1_276:].split(1):
        rows = [one.decode(token) for one in (plain, host)]
        found.append(distance(rows[1], rows[0]))
    return worst_of(found)


def check_store() -> float:
    """Returns how far what was brought from the disk lies from what was read; 1 for other answers.

    The first token is recorded for replay while the thread that stores is at work.
    """
    config = replace(shape(3, 512, 1024, 8, 2), vocab_size=1000)
    weights, ids = random_weights(config), torch.randint(0, 1000, (2_300,)).tolist()
    rule, found = BlockRule(max_keys=256, mass=0.99, sinks=1, window=2, dense_below=128), []
    with tempfile.TemporaryDirectory() as folder:
        for kv8, kind in ((False, DeviceReader), (False, HostReader), (True, DeviceReader)):
            runs = []
            for _ in range(2):
                reader = reader_of(config, weights, 2_400, rule, kv8, kind=kind, decode_rule=rule)
                origin, notices = Origin("random", reader.settings), []
                store = PrefixStore(Path(folder, f"{kv8} {kind.__name__}"))
                keeper = PrefixKeeper(store, origin, reader.cache, notices.append)
                with Engine(reader, STEP_SIZE, keeper) as engine:
                    stored = engine.num_stored(ids, 2_200)
                    answer = list(engine.generate(ids, max_tokens=4, question_start=2_200))
                runs.append((reader, answer, stored))
                assert not notices, notices
            (first, expected, _), (second, answer, stored) = runs
            runs = [reader.cache.runs(0, 2_200) for reader in (second, first)]
            found += [distance(one, other) for one, other in zip(*runs, strict=True)]
            found.append(float(answer != expected or stored != 2_200))
    return worst_of(found)


def check_replay() -> float:
    """Returns how far a token from the CUDA graph lies from one that was launched by itself."""
    config = replace(shape(2, 512, 1024, 8, 2), vocab_size=1000)
    weights, ids = random_weights(config), torch.randint(0, 1000, (9,))
    readers = [reader_of(config, weights, 100, None) for _ in range(2)]
    for reader in readers:
        reader.read(ids, lambda part: None, dense=True)
    found = []
    for token in ids[:3].split(1):
        graph = readers[0].decode(token)[0]
        start = readers[1].cache.length
        plain = readers[1].piece(token, readers[1]._turns(start, 1))[0]
        readers[1]._finish(start, start + 1)
        found.append(distance(graph, plain.cpu()))
    return worst_of(found)


def check_rows() -> float:
    """Returns how far several tokens of an answer at once lie from the same one by one."""
    config = replace(shape(2, 512, 1024, 8, 2), vocab_size=1000)
    weights, ids = random_weights(config), torch.randint(0, 1000, (90,))
    readers = [reader_of(config, weights, 120, None) for _ in range(2)]
    for reader in readers:
        reader.read(ids[:60], lambda part: None, dense=True)
    found = []
    # over the end of a Block
    for begin in range(60, 75, 5):
        several = readers[0].decode(ids[begin : begin + 5])
        one_by_one = [readers[1].decode(token) for token in ids[begin : begin + 5].split(1)]
        found.append(distance(several, torch.cat(one_by_one)))
    return worst_of(found)
