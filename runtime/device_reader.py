"""The decoder on a GPU: a whole Step at a time through the kernels in Triton.

The layers are those of `decoder`, which is what this is tested against. A Step is read in pieces
that lie in one Chunk of Dual Chunk Attention; a decoded token is one piece, or a few of them are,
replayed from a CUDA graph, so that their hundreds of small launches cost one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import triton
from torch import Tensor

from longctx.kernels.blocks import BlockRule
from longctx.kernels.dual_chunk import DualChunk, Plain
from longctx.kernels.eight_bits import Eight, make_eight
from longctx.kernels.flash import TILE
from longctx.kernels.library_attention import attend_densely, has_library
from longctx.kernels.rope import inverse_frequencies, score_factor
from longctx.kernels.triton_attention import attend, num_tiles
from longctx.kernels.triton_layer import rms_norm, store, swiglu
from longctx.kernels.triton_selection import choose_for_one, choose_lists, write_means
from longctx.kernels.triton_vertical_slash import GRID, attend_lines
from longctx.kernels.turns import Turns, make_turns
from longctx.kernels.vertical_slash import VerticalSlashRule
from longctx.runtime.config import ModelConfig
from longctx.runtime.device_weights import DeviceWeights, Layer
from longctx.runtime.kv_cache import KVCache
from longctx.runtime.numerics import Numerics
from longctx.runtime.prefix_settings import settings_of
from longctx.runtime.reader import Reader
from longctx.runtime.replay import Replay

DeviceRule = BlockRule | VerticalSlashRule
"""A mode that the kernels have."""

STEP_SIZE = 32_768

# Rows that go through the MLP together: its temporaries are the largest of all.
MLP_ROWS = 8_192

# Tokens of an answer that are read at once where they see everything: weights and keys come from
# memory once for all of them.
ANSWER_ROWS = 8
# In 8 bits only as many queries of a KV head as the least tile has: with more the kernel spills.
EIGHT_QUERIES = 16

# Programs of the attention kernel per processor of the device that keep it busy.
PROGRAMS_EACH = 2


class DeviceReader(Reader):
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
    ) -> None:
        """Take the memory for `capacity` tokens; numbers are those of `weights`.

        Without a `rule` prompts attend to everything, without a `decode_rule` answers do. Where
        `numerics` say that keys and values are in 8 bits, `weights` hold the keys' bias apart.
        """
        self.config, self.weights, self.numerics = config, weights, numerics
        self.capacity, self.reach = capacity, reach
        self.rule, self.decode_rule = rule, decode_rule
        self.device = weights.embedding.device
        self.grid = GRID if isinstance(rule, VerticalSlashRule) else TILE if rule else 1
        frequencies = inverse_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
        self._frequencies = frequencies.to(self.device)
        eights = [self._eight(layer) for layer in weights.layers] if numerics.kv8 else []
        self._eights: Sequence[Eight | None] = eights or [None] * config.num_layers
        self.cache = self._make_cache(eights)
        self._processors = 4
        if self.device.type == "cuda":
            properties = torch.cuda.get_device_properties(self.device)
            self._processors = properties.multi_processor_count
        self._replays = dict[int, Replay]()

    @property
    def most_rows(self) -> int:
        """The most tokens that are decoded at once: one that chooses its Blocks does so alone."""
        if self.decode_rule is not None:
            return 1
        group = self.config.num_heads // self.config.num_kv_heads
        return max(1, EIGHT_QUERIES // group) if self.numerics.kv8 else ANSWER_ROWS

    @property
    def settings(self) -> str:
        """What its keys and values depend on beside the weights and the token ids."""
        where = "Triton's interpreter"
        if self.device.type == "cuda":
            where = torch.cuda.get_device_name(self.device)
        where += f", Triton {triton.__version__}"
        return settings_of(self.config, self.reach, self.rule, self.numerics, where)

    def read(self, token_ids: Tensor, on_part: Callable[[float], None], *, dense: bool) -> Tensor:
        """Returns float32 logits [V] after the last of `token_ids` [T], and remembers them."""
        start, logits = self.cache.length, None
        ids = token_ids.to(self.device)
        for first, last in self._pieces(start, len(ids)):
            turns = self._turns(start + first, last - first)
            # a row by itself is a torn tile, which sees everything
            rule = None if dense or last - first == 1 else self.rule
            logits = self.piece(ids[first:last], turns, rule)[0]
            self._finish(start + first, start + last)
            on_part(last / len(ids))
        assert logits is not None, "a Step of no tokens"
        return logits.cpu()

    def decode(self, token_ids: Tensor) -> Tensor:
        """Returns float32 logits [T, V] after each of an answer's tokens, and remembers them."""
        found, rows = [], self._rows_at_once(len(token_ids))
        for ids in torch.split(token_ids.to(self.device), rows):
            start = self.cache.length
            turns = self._turns(start, rows)
            # what fills up the rows is written behind them, where nothing is read yet
            filled = torch.nn.functional.pad(ids, (0, rows - len(ids)))
            if rows not in self._replays and self.device.type == "cuda":
                self._replays[rows] = Replay(self._decoded, filled, turns)
            logits = self._replays.get(rows, self._decoded)(filled, turns)
            found.append(logits[: len(ids)].clone())
            self._finish(start, start + len(ids))
        return torch.cat(found).cpu()

    def truncate(self, length: int) -> None:
        """Forget the tokens from position `length` on."""
        self.cache.truncate(length)

    def piece(
        self, ids: Tensor, turns: Turns, rule: DeviceRule | None = None, rows: int = 1
    ) -> Tensor:
        """Returns float32 logits [rows, V] after the last of `ids` [T] that lie where `turns` say.

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
        ends = x[-rows:], None if added is None else added[-rows:]
        last = rms_norm(ends[0], self.weights.norm, eps, ends[1])
        return torch.nn.functional.linear(last, self.weights.head).float()

    def _attention(
        self, index: int, layer: Layer, normed: Tensor, turns: Turns, rule: DeviceRule | None
    ) -> Tensor:
        """Returns what attention adds to the rows whose norm [T, hidden] is given."""
        num_tokens = len(normed)
        q, k, v = self._projected(layer, normed)
        keys, values = self._enter(index, turns)
        eight = self._eights[index]
        store(k, v, keys, values, turns, eight)
        if isinstance(rule, VerticalSlashRule):
            out = attend_lines(q, keys, values, turns, rule, index, grid=self.grid, eight=eight)
            self._leave(index, turns)
            return layer.out(out.view(num_tokens, -1))
        lists, means = None, self.cache.means[index]
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
        self._leave(index, turns)
        return layer.out(out.view(num_tokens, -1))

    def _projected(self, layer: Layer, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the queries [T, H, D], not turned yet, keys and values [T, G, D] of the rows."""
        config, dim = self.config, self.config.head_dim
        sizes = [config.num_heads, config.num_kv_heads, config.num_kv_heads]
        q, k, v = torch.split(layer.qkv(normed).view(len(normed), -1, dim), sizes, dim=1)
        if layer.q_norm is not None and layer.k_norm is not None:
            q = rms_norm(q.reshape(-1, dim), layer.q_norm, config.norm_eps).view(q.shape)
            k = rms_norm(k.reshape(-1, dim), layer.k_norm, config.norm_eps).view(k.shape)
            v = v.contiguous()
        return q, k, v

    def _make_cache(self, eights: Sequence[Eight]) -> KVCache:
        with torch.device(self.device):
            dtype = self.weights.embedding.dtype
            return KVCache(self.config, self.capacity, dtype, eights=eights)

    def _enter(self, index: int, turns: Turns) -> tuple[Tensor, Tensor]:
        """Returns keys and values of a layer on the device, with those before the rows in place."""
        return self.cache.keys[index], self.cache.values[index]

    def _leave(self, index: int, turns: Turns) -> None:
        """The rows' own keys and values are in place, and nothing more is read of the layer."""

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

    def _rows_at_once(self, num_tokens: int) -> int:
        """Returns in runs of how many rows an answer's tokens are read: there are two kinds."""
        start, stride = self.cache.length, self.reach.stride
        room = self.capacity - start if stride is None else stride - start % stride
        together = 1 < num_tokens <= self.most_rows <= min(room, self.capacity - start)
        return self.most_rows if together else 1

    def _decoded(self, ids: Tensor, turns: Turns) -> Tensor:
        return self.piece(ids, turns, self.decode_rule, len(ids))


def _mlp(layer: Layer, normed: Tensor) -> Tensor:
    """Returns what the SwiGLU adds to the rows whose norm [T, hidden] is given."""
    out = torch.empty_like(normed)
    for rows, made in zip(torch.split(normed, MLP_ROWS), torch.split(out, MLP_ROWS), strict=True):
        made.copy_(layer.down(swiglu(layer.gate_up(rows))))
    return out
