"""The decoder on a GPU: a whole Step at a time through the kernels in Triton.

The layers are those of `decoder`, which is what this is tested against. A Step is read in pieces
that lie in one Chunk of Dual Chunk Attention; a decoded token is one piece, replayed from a CUDA
graph, so that its hundreds of small launches cost one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from longctx.kernels.blocks import BlockRule
from longctx.kernels.dual_chunk import DualChunk, Plain
from longctx.kernels.eight_bits import Eight, make_eight
from longctx.kernels.flash import BLOCK, TILE
from longctx.kernels.library_attention import attend_densely, has_library
from longctx.kernels.rope import inverse_frequencies, score_factor
from longctx.kernels.triton_attention import attend, num_tiles
from longctx.kernels.triton_fp8 import has_fp8_products
from longctx.kernels.triton_layer import rms_norm, store, swiglu
from longctx.kernels.triton_selection import choose_for_one, choose_lists, write_means
from longctx.kernels.triton_vertical_slash import GRID, attend_lines
from longctx.kernels.turns import Turns, make_turns
from longctx.kernels.vertical_slash import VerticalSlashRule
from longctx.runtime.config import ModelConfig
from longctx.runtime.decoder import build_decoder
from longctx.runtime.device_weights import DeviceWeights, Layer, to_device
from longctx.runtime.engine import Engine
from longctx.runtime.errors import ModelError, OutOfMemory
from longctx.runtime.extension import extend
from longctx.runtime.kv_cache import KVCache
from longctx.runtime.memory import gib
from longctx.runtime.numerics import ON_GPU, Numerics
from longctx.runtime.replay import Replay
from longctx.runtime.sight import Sight, decode_rule, prefill_rule
from longctx.runtime.weights import open_weights

DeviceRule = BlockRule | VerticalSlashRule
"""A mode that the kernels have."""

STEP_SIZE = 32_768

# Rows that go through the MLP together: its temporaries are the largest of all.
MLP_ROWS = 8_192

# Programs of the attention kernel per processor of the device that keep it busy.
PROGRAMS_EACH = 2


def load_device_reader(
    config: ModelConfig,
    weights: Mapping[str, Tensor],
    device: torch.device,
    capacity: int,
    rule: DeviceRule | None,
    on_notice: Callable[[str], None],
    *,
    decode_rule: BlockRule | None = None,
    fp8: bool = False,
    kv8: bool = False,
) -> DeviceReader:
    """Returns a DeviceReader of `weights`, in bfloat16, with room for `capacity` tokens.

    Where keys and values of 16 bits do not fit they are kept in 8 without being asked to by `kv8`,
    and `on_notice` is told. With `fp8` the matrices of the layers are rounded to 8 bits.

    Raises:
        OutOfMemory: they do not fit in 8 bits either.
    """
    numerics = Numerics("bfloat16", torch.bfloat16, "as read", "what the GPU multiplies fast")
    decoder = build_decoder(config, weights, numerics, rule=rule)
    free, _ = torch.cuda.mem_get_info()
    if needs_eight_bits(config, capacity, free, fp8=fp8) and not kv8:
        kv8 = True
        on_notice(f"keys and values are kept in 8 bits: in 16 they do not fit the {gib(free)} free")
    placed = to_device(config, weights, device, numerics.dtype, fp8=fp8, kv8=kv8)
    return DeviceReader(
        config,
        placed,
        numerics,
        capacity,
        reach=decoder.reach,
        rule=rule,
        decode_rule=decode_rule,
        kv8=kv8,
    )


def load_device_engine(
    config: ModelConfig,
    directory: Path,
    device: torch.device,
    window: int | None,
    numerics: str,
    sight: Sight,
    on_notice: Callable[[str], None],
    *,
    kv8: bool = False,
) -> Engine:
    """Returns an Engine whose Reader is on `device`.

    Raises:
        ModelError: numerics or a `sight` that the kernels do not have.
        OutOfMemory: the device is too small.
    """
    if numerics not in ON_GPU:
        raise ModelError(f"numerics {numerics!r} is not for a GPU, expected {', '.join(ON_GPU)}")
    fp8 = numerics == "fp8"
    if fp8 and not has_fp8_products(device):
        raise ModelError("this GPU has no products of 8-bit floats", "leave out --numerics fp8")
    config = extend(config, sight.extend, sight.window)
    capacity = min(window or config.native_window, config.window)
    rule, one_rule = prefill_rule(sight, config, directory), decode_rule(sight, config)
    assert rule is None or isinstance(rule, DeviceRule)
    if isinstance(rule, BlockRule) and rule.quotas is not None:
        on_notice("tuned quotas are not for a GPU: all heads get the same")
        rule = replace(rule, quotas=None)
    for one in (rule, one_rule):
        if not isinstance(one, BlockRule):
            continue
        if one.fidelity is not None or one.stand_ins or one.early_layers:
            raise ModelError(
                "fidelity, stand_ins and early_layers are not for a GPU", "leave them out"
            )
    weights = open_weights(directory)
    reader = load_device_reader(
        config, weights, device, capacity, rule, on_notice, decode_rule=one_rule, fp8=fp8, kv8=kv8
    )
    return Engine(reader, STEP_SIZE)


def needs_eight_bits(config: ModelConfig, capacity: int, free: int, *, fp8: bool = False) -> bool:
    """Returns whether keys and values of `capacity` tokens fit `free` bytes only in 8 bits.

    Raises:
        OutOfMemory: they do not fit in 8 bits either.
    """
    if sum(planned_bytes(config, capacity, fp8=fp8)) <= free:
        return False
    weights, cache, temporaries = planned_bytes(config, capacity, fp8=fp8, kv8=True)
    if weights + cache + temporaries > free:
        raise OutOfMemory(
            f"the run would hold {gib(weights + cache + temporaries)} on the GPU (weights "
            f"{gib(weights)}, cache in 8 bits {gib(cache)}); {gib(free)} are free there",
            "read less (--window N, --fit, --split) or a smaller model (--model NAME)",
        )
    return True


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
    )
    return weights, cache, temporaries


class DeviceReader:
    """The decoder with its KVCache on a device."""

    def __init__(
        self,
        config: ModelConfig,
        weights: DeviceWeights,
        numerics: Numerics,
        capacity: int,
        *,
        reach: DualChunk | Plain,
        rule: DeviceRule | None = None,
        decode_rule: BlockRule | None = None,
        kv8: bool = False,
    ) -> None:
        """Take the memory for `capacity` tokens; numbers are those of `weights`.

        Without a `rule` prompts attend to everything, without a `decode_rule` answers do.

        With `kv8` keys and values are kept in 8 bits, and `weights` hold the keys' bias apart.
        """
        self.config, self.weights, self.numerics = config, weights, numerics
        self.capacity, self.reach = capacity, reach
        self.rule, self.decode_rule = rule, decode_rule
        self.device = weights.embedding.device
        self.grid = GRID if isinstance(rule, VerticalSlashRule) else TILE if rule else 1
        # tokens of an answer are replayed one by one
        self.most_rows = 1
        with torch.device(self.device):
            self.cache = KVCache(config, capacity, torch.int8 if kv8 else weights.embedding.dtype)
        frequencies = inverse_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
        self._frequencies = frequencies.to(self.device)
        self._eights = [self._eight(layer) if kv8 else None for layer in weights.layers]
        self._processors = 4
        if self.device.type == "cuda":
            properties = torch.cuda.get_device_properties(self.device)
            self._processors = properties.multi_processor_count
        self._replay: Replay | None = None

    def read(self, token_ids: Tensor, on_part: Callable[[float], None], *, dense: bool) -> Tensor:
        """Returns float32 logits [V] after the last of `token_ids` [T], and remembers them."""
        start, logits = self.cache.length, None
        ids = token_ids.to(self.device)
        for first, last in self._pieces(start, len(ids)):
            turns = self._turns(start + first, last - first)
            # a row by itself is a torn tile, which sees everything
            rule = None if dense or last - first == 1 else self.rule
            logits = self.piece(ids[first:last], turns, rule)
            self._finish(start + first, start + last)
            on_part(last / len(ids))
        assert logits is not None, "a Step of no tokens"
        return logits.cpu()

    def decode(self, token_ids: Tensor) -> Tensor:
        """Returns float32 logits [T, V] after each of an answer's tokens, and remembers them."""
        found = []
        for token in torch.split(token_ids.to(self.device), 1):
            start = self.cache.length
            turns = self._turns(start, 1)
            if self._replay is None and self.device.type == "cuda":
                self._replay = Replay(self._decoded, token, turns)
            found.append((self._replay or self._decoded)(token, turns).clone())
            self._finish(start, start + 1)
        return torch.stack(found).cpu()

    def truncate(self, length: int) -> None:
        """Forget the tokens from position `length` on."""
        self.cache.truncate(length)

    def piece(self, ids: Tensor, turns: Turns, rule: DeviceRule | None = None) -> Tensor:
        """Returns float32 logits [V] after `ids` [T], which lie where `turns` say.

        They attend to what `rule` chooses, to everything without one. A single row chooses alone.

        The keys and values are written, but the cache is not yet said to hold them.
        """
        eps = self.config.norm_eps
        x, added = self.weights.embedding[ids], None
        for index, layer in enumerate(self.weights.layers):
            normed = rms_norm(x, layer.input_norm, eps, added)
            added = self._attention(index, layer, normed, turns, rule)
            normed = rms_norm(x, layer.mlp_norm, eps, added)
            added = _mlp(layer, normed)
        last = rms_norm(x[-1:], self.weights.norm, eps, None if added is None else added[-1:])
        return torch.nn.functional.linear(last, self.weights.head)[0].float()

    def _attention(
        self, index: int, layer: Layer, normed: Tensor, turns: Turns, rule: DeviceRule | None
    ) -> Tensor:
        """Returns what attention adds to the rows whose norm [T, hidden] is given."""
        config, cache = self.config, self.cache
        num_tokens, groups, dim = len(normed), config.num_kv_heads, config.head_dim
        rows = layer.qkv(normed).view(num_tokens, -1, dim)
        q, k, v = torch.split(rows, [config.num_heads, groups, groups], dim=1)
        if layer.q_norm is not None and layer.k_norm is not None:
            q = rms_norm(q.reshape(-1, dim), layer.q_norm, config.norm_eps).view(q.shape)
            k = rms_norm(k.reshape(-1, dim), layer.k_norm, config.norm_eps).view(k.shape)
            v = v.contiguous()
        keys, values = cache.keys[index], cache.values[index]
        eight = self._eights[index]
        store(k, v, keys, values, turns, eight)
        if isinstance(rule, VerticalSlashRule):
            out = attend_lines(q, keys, values, turns, rule, index, grid=self.grid, eight=eight)
            return layer.out(out.view(num_tokens, -1))
        lists, means = None, cache.means[index]
        if rule is not None and num_tokens == 1:
            lists = choose_for_one(q, means, turns, rule)
        elif rule is not None:
            start = turns.borders[2]
            end = start + num_tokens
            if end > rule.dense_until(index):
                write_means(keys, means, start, end, eight)
                lists = choose_lists(q, means, turns, rule)
        if lists is None and has_library(q, keys):
            out = attend_densely(q, keys, values, turns)
        else:
            splits = self._splits(num_tokens)
            out, _ = attend(q, keys, values, turns, lists, splits=splits, eight=eight)
        return layer.out(out.view(num_tokens, -1))

    def _eight(self, layer: Layer) -> Eight:
        """Returns what keeps the keys and values of a layer in 8 bits."""
        bias = layer.key_bias
        if bias is None:
            bias = torch.zeros(self.config.num_kv_heads, self.config.head_dim)
        return make_eight(bias, self.capacity, self._frequencies, self.reach)

    def _splits(self, num_tokens: int) -> int:
        """Returns among how many programs the keys are shared, so that all processors work."""
        rows = min(num_tokens, TILE) * self.config.num_heads // self.config.num_kv_heads
        programs = num_tiles(num_tokens) * -(-rows // TILE) * self.config.num_kv_heads
        return max(1, min(64, self._processors * PROGRAMS_EACH // programs))

    def _pieces(self, start: int, num_tokens: int) -> Iterator[tuple[int, int]]:
        """Yields the runs of a Step that lie in one Chunk each."""
        first = 0
        while first < num_tokens:
            last = num_tokens
            if stride := self.reach.stride:
                last = min(last, first + stride - (start + first) % stride)
            yield first, last
            first = last

    def _turns(self, start: int, num_tokens: int) -> Turns:
        factor = score_factor(self.config.rope_scaling)
        return make_turns(self.reach, self._frequencies, start, num_tokens, factor=factor)

    def _finish(self, start: int, end: int) -> None:
        """Count the tokens of a piece as read, and their Blocks as whole."""
        for keys, means, eight in zip(self.cache.keys, self.cache.means, self._eights, strict=True):
            write_means(keys, means, start, end, eight)
        self.cache.length = end

    def _decoded(self, ids: Tensor, turns: Turns) -> Tensor:
        return self.piece(ids, turns, self.decode_rule)


def _mlp(layer: Layer, normed: Tensor) -> Tensor:
    """Returns what the SwiGLU adds to the rows whose norm [T, hidden] is given."""
    out = torch.empty_like(normed)
    for rows, made in zip(torch.split(normed, MLP_ROWS), torch.split(out, MLP_ROWS), strict=True):
        made.copy_(layer.down(swiglu(layer.gate_up(rows))))
    return out
