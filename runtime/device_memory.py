"""What the path for a GPU holds there, and so where keys and values are kept."""

from __future__ import annotations

from enum import StrEnum

from longctx.kernels.flash import BLOCK, TILE
from longctx.kernels.library_attention import ROWS_AT_ONCE
from longctx.kernels.triton_attention import num_tiles
from longctx.runtime.config import ModelConfig
from longctx.runtime.device_reader import MLP_ROWS, STEP_SIZE
from longctx.runtime.errors import OutOfMemory
from longctx.runtime.memory import available_bytes, gib


class Place(StrEnum):
    """Where keys and values are kept, the best first."""

    whole = "in 16 bits"
    eight = "in 8 bits"
    host = "in the memory of the host"


def find_place(
    config: ModelConfig, capacity: int, free: int, *, fp8: bool = False, near: int = 0
) -> Place:
    """Returns the best Place of `capacity` tokens with `free` bytes on the GPU.

    On the host written tokens see `near` keys of each layer.

    Raises:
        OutOfMemory: there is none.
    """
    if sum(planned_bytes(config, capacity, fp8=fp8)) <= free:
        return Place.whole
    weights, cache, temporaries = planned_bytes(config, capacity, fp8=fp8, kv8=True)
    if weights + cache + temporaries <= free:
        return Place.eight
    beside_host = sum(host_bytes(config, capacity, near, fp8=fp8))
    # pinned memory is taken in powers of two, for the keys and for the values of each layer
    one = 2 * config.num_kv_heads * config.head_dim * capacity
    on_host = 2 * config.num_layers * (1 << (one - 1).bit_length())
    if beside_host <= free and on_host <= available_bytes():
        return Place.host
    raise OutOfMemory(
        f"the run would hold {gib(weights + cache + temporaries)} on the GPU (weights "
        f"{gib(weights)}, cache in 8 bits {gib(cache)}); {gib(free)} are free there. With keys and "
        f"values on the host it would hold {gib(beside_host)} there and {gib(on_host)} on the "
        f"host, of which {gib(available_bytes())} are free",
        "read less (--window N, --fit, --split) or a smaller model (--model NAME)",
    )


def planned_bytes(
    config: ModelConfig, capacity: int, *, fp8: bool = False, kv8: bool = False
) -> tuple[int, int, int]:
    """Returns the bytes of the weights, of the KVCache and of the temporaries of a Step."""
    hidden, mlp, kv = config.hidden_size, config.mlp_size, config.num_kv_heads * config.head_dim
    heads = config.num_heads * config.head_dim
    matrices = hidden * (2 * heads + 2 * kv + 3 * mlp) * config.num_layers
    ends = config.vocab_size * hidden * (1 if config.tied_head else 2)
    weights = matrices * (1 if fp8 else 2) + 2 * ends
    # the means of Blocks are float32, and so are the scales of rows in 8 bits
    means = config.cache_bytes_per_token(2) // BLOCK
    scales = 2 * 4 * config.num_layers * config.num_kv_heads if kv8 else 0
    cache = (config.cache_bytes_per_token(1 if kv8 else 2) + means + scales) * capacity
    step = min(STEP_SIZE, capacity)
    past = capacity // BLOCK
    temporaries = (
        2 * step * (3 * hidden + 3 * heads + 2 * kv)
        + 2 * min(step, MLP_ROWS) * (3 * mlp + hidden)
        # scores of the tiles with the Blocks before, once in pieces; cos and sin of three ranges
        + 2 * 4 * num_tiles(step) * config.num_heads * past
        + 4 * num_tiles(step) * config.num_kv_heads * past
        + 4 * 8 * step * config.head_dim
        # queries turned for one range, and in float32 what is merged from all
        + 16 * min(step, ROWS_AT_ONCE) * heads
    )
    return weights, cache, temporaries


def host_bytes(
    config: ModelConfig, capacity: int, near: int, *, fp8: bool = False
) -> tuple[int, int, int]:
    """Returns the same three where keys and values are on the host."""
    weights, _, temporaries = planned_bytes(config, capacity, fp8=fp8)
    a_token = config.cache_bytes_per_token(2)
    # two layers' keys and values, the means of all, and what one token sees of each
    stages = 2 * a_token * capacity // config.num_layers
    return weights, stages + a_token * capacity // BLOCK + a_token * (near + TILE), temporaries
