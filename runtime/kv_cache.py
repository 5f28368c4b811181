"""KVCache: the keys and values of the tokens read so far."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

import torch
from torch import Tensor

from longctx.kernels.blocks import block_means
from longctx.kernels.coded import Rows
from longctx.kernels.dual_chunk import DualChunk, Plain
from longctx.kernels.eight_bits import Eight, coded, store
from longctx.kernels.flash import BLOCK, has_flash
from longctx.runtime.config import ModelConfig
from longctx.runtime.errors import ModelError
from longctx.runtime.numerics import Numerics


class KVCache:
    """Keys (rotated, not scaled) and values of every layer, each [G, capacity, D].

    A head's tokens lie one after another, so that any run of tokens is a slice. Beside them lie the
    means of the keys of every whole Block, float32 [G, capacity // BLOCK, D]. Memory is taken from
    the system as tokens are written: room that is never used costs nothing.

    With `eights` keys and values are int8: keys come without their bias and are read with it.
    """

    def __init__(
        self,
        config: ModelConfig,
        capacity: int,
        dtype: torch.dtype,
        *,
        value_means: bool = False,
        eights: Sequence[Eight] = (),
        pinned: bool = False,
    ) -> None:
        """Make room for `capacity` tokens, and with `value_means` for those of Blocks' values.

        With `pinned` a GPU can read and write it where it is.
        """
        dtype = torch.int8 if eights else dtype
        shape = (config.num_kv_heads, capacity, config.head_dim)
        self.capacity = capacity
        self.length = 0
        self.eights = eights
        self.keys, self.values = (
            [torch.empty(shape, dtype=dtype, pin_memory=pinned) for _ in range(config.num_layers)]
            for _ in range(2)
        )
        blocks = (config.num_kv_heads, capacity // BLOCK, config.head_dim)
        self.means = [torch.empty(blocks) for _ in range(config.num_layers)]
        self.value_means = (
            [torch.empty(blocks) for _ in range(config.num_layers)] if value_means else None
        )

    def write(self, layer: int, start: int, keys: Tensor, values: Tensor) -> None:
        """Put keys and values [T, G, D] at the positions from `start` on."""
        end = start + keys.shape[0]
        assert start >= self.length and end <= self.capacity, (start, end, self.capacity)
        if self.eights:
            codes = self.keys[layer], self.values[layer]
            store(keys, values, *codes, start, self.eights[layer])
        else:
            self.keys[layer][:, start:end] = keys.transpose(0, 1)
            self.values[layer][:, start:end] = values.transpose(0, 1)
        self.average(layer, start, end)

    def average(self, layer: int, start: int, end: int) -> None:
        """Take the means of the Blocks that end in the written tokens [start, end)."""
        first, last = start // BLOCK, end // BLOCK
        if last > first:
            whole = [rows[:, first * BLOCK :] for rows in self.until(layer, last * BLOCK)]
            self.means[layer][:, first:last] = _means(whole[0])
            if self.value_means is not None:
                self.value_means[layer][:, first:last] = _means(whole[1])

    def until(self, layer: int, end: int) -> tuple[Rows, Rows]:
        """Returns the keys and values of the first `end` tokens, each [G, end, D], in place."""
        keys, values = self.keys[layer][:, :end], self.values[layer][:, :end]
        return coded(keys, values, self.eights[layer]) if self.eights else (keys, values)

    def runs(self, start: int, end: int) -> list[Tensor]:
        """Returns the tokens [start, end) and the Blocks that end in them, run by run, in place.

        The order is always the same: what is written from these runs can be read into them.
        """
        runs = [group[start:end] for tensor in (*self.keys, *self.values) for group in tensor]
        blocks = slice(start // BLOCK, end // BLOCK)
        runs += [group[blocks] for tensor in self.means for group in tensor]
        scales = [
            tensor for eight in self.eights for tensor in (eight.key_scales, eight.value_scales)
        ]
        runs += [group[start:end] for tensor in scales for group in tensor]
        return [run for run in runs if len(run)]

    def truncate(self, length: int) -> None:
        """Forget the tokens from position `length` on."""
        assert 0 <= length <= self.length, (length, self.length)
        self.length = length


def _means(rows: Rows) -> Tensor:
    """Returns the means of the Blocks of rows, of what they stand for."""
    return block_means(rows if isinstance(rows, Tensor) else rows.float())


def check_eight_bits(config: ModelConfig, numerics: Numerics, reach: DualChunk | Plain) -> None:
    """Return if keys and values in 8 bits can be read here.

    Raises:
        ModelError: they cannot.
    """
    if numerics.dtype != torch.bfloat16 or config.head_dim % BLOCK or not has_flash():
        raise ModelError(
            "--kv8 is for activations in bfloat16, heads of whole multiples of "
            f"{BLOCK} numbers and processors with AVX2: here they are in "
            f"{str(numerics.dtype).removeprefix('torch.')}, heads of {config.head_dim}",
            "leave out --kv8, or take --numerics auto where it was another",
        )
    if reach.stride is not None and reach.stride % BLOCK:
        raise ModelError(
            f"--kv8 is for Chunks of whole Blocks of {BLOCK} tokens, not of {reach.stride:,}",
            "leave out --kv8",
        )


def take_key_biases(config: ModelConfig, weights: MutableMapping[str, Tensor]) -> list[Tensor]:
    """Returns the bias [G, D] of each layer's keys, 0 where there is none, out of the weights.

    Where keys are normed after it, it is no bias of what is kept, and stays.
    """
    shape, biases = (config.num_kv_heads, config.head_dim), []
    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}.self_attn."
        bias = None
        if prefix + "k_norm.weight" not in weights:
            bias = weights.pop(prefix + "k_proj.bias", None)
        biases.append(torch.zeros(shape) if bias is None else bias.float().view(shape))
    return biases
