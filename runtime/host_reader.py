"""The decoder on a GPU with its keys and values in the memory of the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from longctx.kernels.blocks import BlockRule
from longctx.kernels.eight_bits import Eight
from longctx.kernels.triton_attention import attend
from longctx.kernels.triton_layer import store
from longctx.kernels.triton_selection import choose_for_one, write_means
from longctx.kernels.turns import Turns
from longctx.runtime.device_reader import DeviceReader, DeviceRule
from longctx.runtime.device_weights import Layer
from longctx.runtime.host_cache import HostCache, near_keys
from longctx.runtime.kv_cache import KVCache


class HostReader(DeviceReader):
    """A DeviceReader whose written tokens choose what they attend to: there must be a rule."""

    cache: HostCache
    _staged = True

    def decode(self, token_ids: Tensor) -> Tensor:
        """Returns float32 logits [T, V] after each of an answer's tokens, and remembers them."""
        self.cache.settle(self.cache.length)
        # whoever stops this half way leaves rows that belong to no known length
        self.cache.wrote(-1)
        self._staged = False
        found = super().decode(token_ids)
        self.cache.wrote(self.cache.length)
        return found

    def _make_cache(self, eights: Sequence[Eight]) -> KVCache:
        assert self.decode_rule is not None and not eights, "what has no place here"
        rule = self.decode_rule
        dtype = self.weights.embedding.dtype
        return HostCache(self.config, self.capacity, dtype, self.device, near_keys(rule))

    def _decoded(self, ids: Tensor, turns: Turns) -> Tensor:
        # the same for all layers, and made on the device, so that it can be replayed
        self._near = replace(turns, bounds=self.cache.near_bounds(turns.bounds))
        return self.piece(ids, turns, self.decode_rule, len(ids))

    def _attention(
        self, index: int, layer: Layer, normed: Tensor, turns: Turns, rule: DeviceRule | None
    ) -> Tensor:
        if len(normed) > 1 or rule is None:
            return super()._attention(index, layer, normed, turns, rule)
        assert isinstance(rule, BlockRule)
        q, k, v = self._projected(layer, normed)
        cache = self.cache
        store(k, v, cache.keys[index], cache.values[index], turns)
        store(k, v, *cache.near[index], self._near)
        lists = cache.gather(index, choose_for_one(q, cache.means[index], turns, rule))
        out, _ = attend(q, *cache.near[index], self._near, lists, splits=self._splits(1))
        return layer.out(out.view(1, -1))

    def _enter(self, index: int, turns: Turns) -> tuple[Tensor, Tensor]:
        return self.cache.enter(index, turns.borders[2])

    def _leave(self, index: int, turns: Turns) -> None:
        start, end = turns.borders[2], turns.borders[2] + turns.num_tokens
        write_means(self.cache.stages[index % 2][0], self.cache.means[index], start, end)
        self.cache.leave(index, start, end)
        self._staged = True

    def _finish(self, start: int, end: int) -> None:
        if not self._staged:
            super()._finish(start, end)
        self.cache.length = end
