"""Branches: answers that are written side by side, so that the weights are read once for all.

They go on from the same first tokens, which lie in the KVCache once; what each has of its own lies
in a run of its own, behind all that is read. A decoded token waits for the weights, so that four
cost little more than one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from longctx.kernels.answer import Turned
from longctx.kernels.flash import Work, all_of, items_of
from longctx.kernels.rope import angles, score_factor
from longctx.runtime.decoder import Decoder, head_name, last_norm
from longctx.runtime.kv_cache import KVCache
from longctx.runtime.layer import RELEASED_AFTER, Release, keep


class Branches:
    """Room in a KVCache for what each of several answers has of its own."""

    def __init__(
        self,
        decoder: Decoder,
        cache: KVCache,
        shared: int,
        starts: Sequence[int],
        release: Release = keep,
    ) -> None:
        """Take the `shared` first tokens as those of all, and what lies from `starts` on.

        `release` hears of weights that are looked up in.
        """
        self._decoder = decoder
        self._cache = cache
        self._shared = shared
        self._starts = starts
        self._lengths = [0] * len(starts)
        self._release = release
        self._num_written = 0

    def park(self, branch: int) -> None:
        """Copy what the KVCache holds behind the shared tokens to the place of a Branch."""
        cache, length = self._cache, self._cache.length - self._shared
        source = slice(self._shared, cache.length)
        target = slice(self._starts[branch], self._starts[branch] + length)
        for rows in (*cache.keys, *cache.values):
            rows[:, target] = rows[:, source]
        self._lengths[branch] = length

    def decode(self, branches: Sequence[int], token_ids: Sequence[int]) -> Tensor:
        """Returns float32 logits [B, V] after the next token of each of the `branches`."""
        decoder, cache = self._decoder, self._cache
        assert decoder.narrowed is not None
        hidden = decoder.embed(torch.tensor(token_ids)).float()
        x, turn, work = hidden.numpy(), self._turned(branches), self._work(branches)
        for layer, keys, values in zip(
            decoder.narrowed.layers, cache.keys, cache.values, strict=True
        ):
            queries = layer.parts.into_heads(x, turn, keys, values)
            layer.parts.out_of_heads(x, queries, work, None, keys, values)
        for branch in branches:
            self._lengths[branch] += 1
        logits = decoder.logits(last_norm(decoder, hidden), decoding=True)
        self._num_written += len(branches)
        if self._num_written % RELEASED_AFTER < len(branches):
            self._release(head_name(decoder.config))
        return logits

    def _turned(self, branches: Sequence[int]) -> Turned:
        """Returns how the next tokens are turned, each at its own position."""
        decoder = self._decoder
        lengths = [self._lengths[branch] for branch in branches]
        positions = self._shared + torch.tensor(lengths)
        factor = score_factor(decoder.config.rope_scaling) * decoder.reach.temperature(positions)
        turns = torch.stack(angles(decoder.frequencies, positions))
        starts = [self._starts[branch] for branch in branches]
        return Turned(
            np.add(starts, lengths),
            turns.numpy(),
            (turns * factor[:, None]).numpy()[None],
            # one View; which of its keys each row sees is for the work to say
            ((0, self._cache.capacity),),
        )

    def _work(self, branches: Sequence[int]) -> Work:
        """Returns the work of attending to what is shared, all at once, and to what is not."""
        num_groups = len(self._cache.keys[0])
        seen = ((0, self._shared),)
        shared = all_of(seen, len(branches), num_groups, False, torch.get_num_threads())
        units, items = [shared.units], [shared.items]
        first = len(shared.items)
        for row, branch in enumerate(branches):
            start = self._starts[branch]
            items.append(items_of(start, start + self._lengths[branch] + 1, 0))
            last = first + len(items[-1])
            own = [(group, row, 1, first, last, shared.num_slots) for group in range(num_groups)]
            units.append(np.array(own))
            first = last
        return Work(np.concatenate(units), np.concatenate(items), shared.num_slots + 1)
