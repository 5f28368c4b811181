"""What it costs on a GPU to keep keys and values in the memory of the host."""

import time
from dataclasses import replace

import torch
from gpu_distance import DTYPE
from gpu_readers import random_weights, reader_of
from gpu_timing import seconds

from longctx.kernels.blocks import BlockRule
from longctx.runtime import device_reader
from longctx.runtime.config import ModelConfig
from longctx.runtime.device_reader import DeviceReader
from longctx.runtime.host_reader import HostReader
from longctx.runtime.sight import ANSWER_KEYS, ANSWER_MASS

# So many layers are measured, since pinning the memory of all would take longer than the rest.
LAYERS = 8
TOKENS = 16


def host_rows(config: ModelConfig, length: int) -> list[dict]:
    """Returns what the last Step to `length` and a token after it take, on the device and the host.

    All layers take as long, so the seconds of a Step stand for `LAYERS` of them, and those of a
    token too: the head, which is the same in both, is in them.
    """
    layers, step = min(LAYERS, config.num_layers), device_reader.STEP_SIZE
    length = length // step * step
    some, rule = replace(config, num_layers=layers), BlockRule()
    answers = BlockRule(ANSWER_KEYS, ANSWER_MASS)
    weights, ids, rows = random_weights(some), torch.randint(0, 1000, (step,)), []
    for kind in (DeviceReader, HostReader):
        began = time.perf_counter()
        reader = reader_of(some, weights, length + 64, rule, kind=kind, decode_rule=answers)
        made = time.perf_counter() - began
        _fill(reader)
        start = length - step
        for _ in range(2):
            reader.cache.length = start
            took = seconds(lambda reader=reader: reader.read(ids, _nothing, dense=False))
        reader.decode(ids[:1])
        began = time.perf_counter()
        reader.decode(ids[1 : 1 + TOKENS])
        a_token = (time.perf_counter() - began) / TOKENS
        moved = 4 * some.num_kv_heads * some.head_dim * layers
        rows.append({
            "keys and values": "on the host" if kind is HostReader else "on the device",
            "layers": layers, "length": length, "making_seconds": made, "step_seconds": took,
            "token_seconds": a_token,
        })  # fmt: skip
        if kind is HostReader:
            rows[-1]["copied_bytes_per_second"] = moved * start / took
        del reader
    rows.append(_copied(some, length))
    return rows


def _fill(reader: DeviceReader) -> None:
    """Put random numbers in place of what was never read."""
    some = torch.randn(reader.config.num_kv_heads, 8_192, reader.config.head_dim, dtype=DTYPE)
    for kept in (*reader.cache.keys, *reader.cache.values):
        for first in range(0, kept.shape[1], 8_192):
            room = kept[:, first : first + 8_192]
            room.copy_(some[:, : room.shape[1]])
    for means in reader.cache.means:
        means.normal_().mul_(0.2)


def _copied(config: ModelConfig, length: int) -> dict:
    """Returns the bytes per second of one copy from pinned memory."""
    on_gpu = torch.cuda.is_available()
    source = torch.ones(length * config.head_dim, dtype=DTYPE, device="cpu")
    source = source.pin_memory() if on_gpu else source
    target = torch.empty_like(source, device="cuda" if on_gpu else "cpu")
    took = [seconds(lambda: target.copy_(source, non_blocking=True)) for _ in range(3)][-1]
    return {"copy": "from pinned memory", "bytes_per_second": 2 * source.numel() / took}


def _nothing(part: float) -> None:
    pass
