"""KVCache: the keys and values of the tokens read so far."""

from __future__ import annotations

import torch
from torch import Tensor

from longctx.kernels.blocks import block_means
from longctx.kernels.flash import BLOCK
from longctx.runtime.config import ModelConfig


class KVCache:
    """Keys (rotated, not scaled) and values of every layer, each [G, capacity, D].

    A head's tokens lie one after another, so that any run of tokens is a slice. Beside them lie the
    means of the keys of every whole Block, float32 [G, capacity // BLOCK, D]. Memory is taken from
    the system as tokens are written: room that is never used costs nothing.
    """

    def __init__(
        self, config: ModelConfig, capacity: int, dtype: torch.dtype, *, value_means: bool = False
    ) -> None:
        """Make room for `capacity` tokens, and with `value_means` for those of Blocks' values."""
        shape = (config.num_kv_heads, capacity, config.head_dim)
        self.capacity = capacity
        self.length = 0
        self.keys = [torch.empty(shape, dtype=dtype) for _ in range(config.num_layers)]
        self.values = [torch.empty(shape, dtype=dtype) for _ in range(config.num_layers)]
        blocks = (config.num_kv_heads, capacity // BLOCK, config.head_dim)
        self.means = [torch.empty(blocks) for _ in range(config.num_layers)]
        self.value_means = (
            [torch.empty(blocks) for _ in range(config.num_layers)] if value_means else None
        )

    def write(self, layer: int, start: int, keys: Tensor, values: Tensor) -> None:
        """Put keys and values [T, G, D] at the positions from `start` on."""
        end = start + keys.shape[0]
        assert start >= self.length and end <= self.capacity, (start, end, self.capacity)
        self.keys[layer][:, start:end] = keys.transpose(0, 1)
        self.values[layer][:, start:end] = values.transpose(0, 1)
        first, last = start // BLOCK, end // BLOCK
        if last > first:
            whole = self.keys[layer][:, first * BLOCK : last * BLOCK]
            self.means[layer][:, first:last] = block_means(whole)
            if self.value_means is not None:
                whole = self.values[layer][:, first * BLOCK : last * BLOCK]
                self.value_means[layer][:, first:last] = block_means(whole)

    def until(self, layer: int, end: int) -> tuple[Tensor, Tensor]:
        """Returns the keys and values of the first `end` tokens, each [G, end, D], in place."""
        return self.keys[layer][:, :end], self.values[layer][:, :end]

    def buffers(self, start: int, end: int) -> list[memoryview]:
        """Returns the memory of the tokens [start, end) and of the Blocks that end in them.

        The order is always the same: what is written from these buffers can be read into them.
        """
        runs = [group[start:end] for tensor in (*self.keys, *self.values) for group in tensor]
        blocks = slice(start // BLOCK, end // BLOCK)
        runs += [group[blocks] for tensor in self.means for group in tensor]
        return [memoryview(run.view(torch.uint8).numpy()).cast("B") for run in runs if len(run)]

    def truncate(self, length: int) -> None:
        """Forget the tokens from position `length` on."""
        assert 0 <= length <= self.length, (length, self.length)
        self.length = length
