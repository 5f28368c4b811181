"""HostCache: keys and values in the memory of the host, for a GPU that has no room for them.

Prompts see a layer's keys and values as a whole: they are brought to one of two stages on the
device while the layer before is computed. A written token sees the Blocks that it chooses, which
are gathered into a small near copy, and the rows of its own tile, which stay in it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from longctx.kernels.blocks import BlockRule
from longctx.kernels.flash import BLOCK, TILE
from longctx.kernels.triton_attention import Lists
from longctx.kernels.triton_gather import gather_blocks
from longctx.runtime.config import ModelConfig
from longctx.runtime.kv_cache import KVCache

Pair = tuple[Tensor, Tensor]


class HostCache(KVCache):
    """A KVCache whose keys and values are pinned memory of the host; the means are on the device.

    Pinned memory is taken in powers of two.
    """

    def __init__(
        self,
        config: ModelConfig,
        capacity: int,
        dtype: torch.dtype,
        device: torch.device,
        near_keys: int,
    ) -> None:
        """Make room for `capacity` tokens, and near for the `near_keys` that one may choose."""
        on_gpu = device.type == "cuda"
        with torch.device("cpu"):
            super().__init__(config, capacity, dtype, pinned=on_gpu)
        self.means = [torch.empty_like(means, device=device) for means in self.means]
        groups, dim = config.num_kv_heads, config.head_dim
        self.room = -(-near_keys // TILE) * TILE
        self.stages = [_pair((groups, capacity, dim), dtype, device) for _ in range(2)]
        near = (groups, self.room + TILE, dim)
        self.near = [_pair(near, dtype, device) for _ in range(config.num_layers)]
        # what the near copies hold the rows of its tile of
        self._near_length = -1
        self._copies = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]
        self._fetched = [_event() if on_gpu else None for _ in range(2)]

    def enter(self, layer: int, start: int) -> Pair:
        """Returns a layer's keys and values on the device, with those before `start` in place."""
        if layer == 0:
            self._fetch(0, start)
        if (fetched := self._fetched[layer % 2]) is not None:
            torch.cuda.current_stream().wait_event(fetched)
        if layer + 1 < len(self.keys):
            self._fetch(layer + 1, start)
        return self.stages[layer % 2]

    def leave(self, layer: int, start: int, end: int) -> None:
        """Bring what was written to a layer's stage since `start` to the host."""
        self._near_length = -1
        stage, host = self.stages[layer % 2], (self.keys[layer], self.values[layer])
        self._copy(stage, host, start, end)

    def runs(self, start: int, end: int) -> list[Tensor]:
        """Returns the same once the last rows have come to the host."""
        if self._copies is not None:
            self._copies.synchronize()
        return super().runs(start, end)

    def settle(self, length: int) -> None:
        """See to it that the near copies hold the tile that the token at `length` is of."""
        if length == self._near_length:
            return
        if self._copies is not None:
            torch.cuda.current_stream().wait_stream(self._copies)
        first = length // TILE * TILE
        rows = slice(self.room, self.room + length - first)
        for keys, values, near in zip(self.keys, self.values, self.near, strict=True):
            for source, target in zip((keys, values), near, strict=True):
                target[:, rows] = source[:, first:length].to(target.device)
        self._near_length = length

    def wrote(self, length: int) -> None:
        """Note that the near copies hold the rows until `length`."""
        self._near_length = length

    def near_bounds(self, bounds: Tensor) -> Tensor:
        """Returns the bounds int32 [3] of a token with its position in the near copies."""
        near = bounds.clone()
        near[2:] = bounds[2:] % TILE + self.room
        return near

    def gather(self, layer: int, lists: Lists) -> Lists:
        """Returns the Lists of Blocks of a layer where they lie in its near copy now."""
        near = [tensor[:, : self.room] for tensor in self.near[layer]]
        return gather_blocks(self.keys[layer], self.values[layer], near[0], near[1], lists)

    def _fetch(self, layer: int, start: int) -> None:
        """Begin to bring the tokens before `start` to the stage of a layer."""
        host = self.keys[layer], self.values[layer]
        self._copy(host, self.stages[layer % 2], 0, start)
        if (fetched := self._fetched[layer % 2]) is not None and self._copies is not None:
            fetched.record(self._copies)

    def _copy(self, sources: Pair, targets: Pair, start: int, end: int) -> None:
        """Copy the tokens [start, end) once all is done that was asked of the device before."""
        if self._copies is not None:
            self._copies.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._copies):
            for source, target in zip(sources, targets, strict=True):
                # a head's tokens lie together, and only such a run is copied beside other work
                for run, room in zip(source, target, strict=True):
                    room[start:end].copy_(run[start:end], non_blocking=True)


def near_keys(rule: BlockRule) -> int:
    """Returns how many keys one token may choose, or sees without choosing."""
    # the first and last Blocks are in even where they are more than may be chosen
    forced = (rule.sinks + rule.window) * BLOCK
    return max(rule.max_keys, rule.dense_below, forced) + 2 * BLOCK


def _event() -> torch.cuda.Event:
    return torch.cuda.Event()  # type: ignore[no-untyped-call]


def _pair(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Pair:
    """Returns room for keys and for values."""
    # what no token has written yet is masked, but must be finite
    keys, values = (torch.zeros(shape, dtype=dtype, device=device) for _ in range(2))
    return keys, values
