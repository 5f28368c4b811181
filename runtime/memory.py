"""Memory: the peak of a run, predicted before it starts, and what this machine has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from longctx.kernels.flash import BLOCK
from longctx.kernels.narrow import narrow_bytes
from longctx.runtime.config import ModelConfig
from longctx.runtime.decoder import fitted, head_name
from longctx.runtime.errors import OutOfMemory
from longctx.runtime.micro_batch import MICRO_BATCH
from longctx.runtime.narrow_weights import can_narrow, keeping_of, narrowed_names, own_bits
from longctx.runtime.numerics import Numerics
from longctx.runtime.weights import open_weights

# The peak of an interpreter with torch, a tokenizer and the command line loaded, before any
# weights: measured with torch 2.13 on Linux.
PROCESS_BYTES = 280 * 2**20
# numba with the loops that it compiled.
_LOOPS_BYTES = 120 * 2**20
# Rows of the stored embeddings and of the head that are in memory at a time.
_LOOKED_UP = 48 * 2**20


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The bytes a run will hold at its peak, by what holds them, and the bytes there are."""

    process_bytes: int
    weights_bytes: int
    cache_bytes: int
    workspace_bytes: int
    available_bytes: int

    @property
    def peak_bytes(self) -> int:
        """The most the process will hold at once."""
        return self.process_bytes + self.weights_bytes + self.cache_bytes + self.workspace_bytes

    def check(self) -> None:
        """Return if the run fits.

        Raises:
            OutOfMemory: it does not.
        """
        if self.peak_bytes > self.available_bytes:
            raise OutOfMemory(
                f"the run would hold {gib(self.peak_bytes)} at its peak (weights "
                f"{gib(self.weights_bytes)}, cache {gib(self.cache_bytes)}); "
                f"{gib(self.available_bytes)} are free",
                "read less (--window N, --fit, --split) or a smaller model (--model NAME)",
            )


def plan_memory(
    config: ModelConfig,
    directory: Path,
    num_tokens: int,
    *,
    step_size: int,
    numerics: Numerics,
) -> MemoryPlan:
    """Returns the MemoryPlan of reading and writing `num_tokens` with the model in `directory`."""
    weights = open_weights(directory)
    numerics = fitted(numerics, config, weights)
    item_bytes = numerics.dtype.itemsize
    weights_bytes, upcast = _weights_bytes(config, directory, weights, numerics)
    step = min(step_size, num_tokens)
    return MemoryPlan(
        process_bytes=PROCESS_BYTES + (_LOOPS_BYTES if numerics.narrows else 0),
        weights_bytes=weights_bytes,
        cache_bytes=_cache_bytes(config, num_tokens, numerics),
        workspace_bytes=upcast + _activation_bytes(config, step, item_bytes),
        available_bytes=available_bytes(),
    )


def _cache_bytes(config: ModelConfig, num_tokens: int, numerics: Numerics) -> int:
    """Returns the bytes of the KVCache, the mean keys of its Blocks among them, float32."""
    each = config.cache_bytes_per_token(1 if numerics.kv8 else numerics.dtype.itemsize)
    if numerics.kv8:
        # the step of each row, float32
        each += 4 * config.cache_bytes_per_token(1) // config.head_dim
    means = 2 * config.cache_bytes_per_token(1)
    return each * num_tokens + means * (num_tokens // BLOCK)


def _layer_parameters(config: ModelConfig) -> int:
    attention = 2 * (config.num_heads + config.num_kv_heads) * config.head_dim
    return config.hidden_size * (attention + 3 * config.mlp_size)


def _activation_bytes(config: ModelConfig, step: int, item_bytes: int) -> int:
    """Returns the bytes of the rows of a Step and of the temporaries of a micro-batch."""
    rows = min(step, MICRO_BATCH)
    heads = config.num_heads * config.head_dim
    return item_bytes * (
        2 * step * config.hidden_size
        + rows * (3 * config.mlp_size + 6 * heads + 3 * config.hidden_size)
        + 2 * config.vocab_size
    )


def _weights_bytes(
    config: ModelConfig, directory: Path, weights: Mapping[str, Tensor], numerics: Numerics
) -> tuple[int, int]:
    """Returns what the weights take, and a layer of them in the precision of the activations."""
    shape = (config.num_layers, head_name(config))
    stored = sum(path.stat().st_size for path in directory.glob("*.safetensors"))
    # an untied embedding is only looked up in: its pages stay on disk
    stored -= 0 if config.tied_head else config.vocab_size * config.hidden_size * 2
    layer_bytes = numerics.dtype.itemsize * _layer_parameters(config)
    upcast = layer_bytes if numerics.dtype.itemsize > 2 else 0
    if not numerics.narrows or not can_narrow(weights, *shape):
        return stored, upcast
    names = list(narrowed_names(*shape))
    keeping, narrowed = keeping_of(directory, numerics), 0
    if kept := keeping is not None and keeping.path.is_file():
        narrowed = keeping.path.stat().st_size
    else:
        for name in names:
            bits = numerics.narrow_bits or own_bits(weights[name], name == shape[1])
            narrowed += narrow_bytes(tuple(weights[name].shape), bits)
    numbers = sum(weights[name].numel() for name in names if ".layers." in name)
    if numerics.reading == "stored":
        return stored + narrowed, upcast
    # the stored ones are let go of, a layer at a time, and the rows that are looked up now and then
    a_layer = 2 * numbers // config.num_layers
    return min(stored - 2 * numbers, _LOOKED_UP) + (0 if kept else a_layer) + narrowed, 0


def available_bytes() -> int:
    """Returns the bytes that this process may still take."""
    free = [_free_of_machine(), *_free_of_group()]
    return min(free)


def _free_of_machine() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _free_of_group() -> list[int]:
    """Returns what the control group leaves free, if it has a limit (cgroup v2)."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return []
    return [] if limit == "max" else [max(0, int(limit) - used)]


def peak_bytes() -> int:
    """Returns the most that this process has held so far."""
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def gib(num_bytes: int) -> str:
    """Returns `num_bytes` for people: "1.9 GiB"."""
    return f"{num_bytes / 2**30:.1f} GiB"
