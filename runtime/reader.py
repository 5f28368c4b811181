"""Reader: a model with a memory of what it has read; the own decoder as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from longctx.kernels.eight_bits import make_eights
from longctx.kernels.linear import FEW_ROWS
from longctx.runtime.branches import Branches
from longctx.runtime.config import ModelConfig
from longctx.runtime.decoder import (
    Decoder,
    build_decoder,
    forward,
    has_answer_layers,
    head_name,
)
from longctx.runtime.extension import extend
from longctx.runtime.fidelity import RecallMeter
from longctx.runtime.kv_cache import KVCache
from longctx.runtime.layer import RELEASED_AFTER, Release, keep
from longctx.runtime.narrow_weights import Keeping
from longctx.runtime.numerics import Numerics
from longctx.runtime.prefix_settings import settings_of
from longctx.runtime.sight import Sight, decode_rule, prefill_rule
from longctx.runtime.weights import open_weights

# Rows of logits that are made at once: 64 of 150,000 words take 40 MB.
_ROWS = 64


class Likelihoods(NamedTuple):
    """Of each of T tokens the log of its probability, and the likeliest token there with its own.

    `actual` [T] and `rivals` [T] are float32, `rival_ids` [T] are int64.
    """

    actual: Tensor
    rivals: Tensor
    rival_ids: Tensor

    @classmethod
    def of(cls, logits: Tensor, token_ids: Tensor) -> Likelihoods:
        """Returns those of `token_ids` [T] by the logits [T, V] before each."""
        logs = logits.log_softmax(-1)
        likeliest = logs.max(-1)
        actual = logs.gather(-1, token_ids[:, None])[:, 0]
        return cls(actual, likeliest.values, likeliest.indices)


class Reader(Protocol):
    """A model with a memory of what it has read.

    `grid` is the tokens that are read alike only together: Steps end on it.
    """

    numerics: Numerics
    capacity: int
    grid: int
    # what was checked of sparse attention; None where nothing is checked
    meter: RecallMeter | None = None

    @property
    def most_rows(self) -> int:
        """How many tokens of an answer are read at once for little more than one of them."""

    def read(self, token_ids: Tensor, on_part: Callable[[float], None], *, dense: bool) -> Tensor:
        """Returns float32 logits [V] after the last of `token_ids` [T], and remembers them."""

    def decode(self, token_ids: Tensor) -> Tensor:
        """Returns float32 logits [T, V] after each of an answer's tokens, and remembers them."""

    def likelihoods(self, token_ids: Tensor, following: Tensor) -> Likelihoods:
        """Returns those of `following` [T] after each of `token_ids` [T], and remembers these."""
        return Likelihoods.of(self.decode(token_ids), following)

    def truncate(self, length: int) -> None:
        """Forget the tokens from position `length` on."""

    def branches(self, shared: int, first: int, rooms: Sequence[int]) -> Branches | None:
        """Returns room for answers that go on side by side from the first `shared` tokens.

        It lies behind the first `first` tokens, which are read as ever; `rooms` are the most tokens
        that each has of its own. None where they are to be written one after another.
        """
        return None

    def put_aside(self, end: int) -> Callable[[], None] | None:
        """Returns what brings all back that is read now, once others were read over it up to `end`.

        None where that cannot be.
        """
        return None


class DecoderReader(Reader):
    """The own decoder with its KVCache."""

    def __init__(self, decoder: Decoder, capacity: int, release: Release = keep) -> None:
        """Make room for `capacity` tokens; `release` hears of weights that are looked up in."""
        self.decoder = decoder
        self._release = release
        self.numerics = decoder.numerics
        self.meter: RecallMeter = decoder.meter
        self.capacity = capacity
        self.cache = KVCache(
            decoder.config,
            capacity,
            decoder.numerics.dtype,
            value_means=decoder.has_stand_ins,
            eights=make_eights(decoder.key_biases, capacity, decoder.frequencies, decoder.reach),
        )
        self.grid = decoder.rule.grid if decoder.rule else 1

    @property
    def most_rows(self) -> int:
        """The most tokens that are decoded at once: one that chooses its Blocks does so alone."""
        rule = self.decoder.decode_rule
        dense = rule is None or self.cache.length + FEW_ROWS <= rule.dense_until(0)
        return FEW_ROWS if dense else 1

    def branches(self, shared: int, first: int, rooms: Sequence[int]) -> Branches | None:
        """Returns room for answers that go on side by side, where all of them fit a Chunk."""
        rule, stride = self.decoder.decode_rule, self.decoder.reach.stride
        starts, longest = list(accumulate(rooms, initial=first)), shared + max(rooms)
        fits = 0 < shared and len(rooms) <= FEW_ROWS and starts[-1] <= self.capacity
        # in the first Chunk every token is turned to its own position
        fits &= stride is None or longest <= stride
        fits &= rule is None or longest <= rule.dense_until(0)
        if not fits or not has_answer_layers(self.decoder, self.cache):
            return None
        return Branches(self.decoder, self.cache, shared, starts[:-1], self._release)

    @property
    def settings(self) -> str:
        """What its keys and values depend on beside the weights and the token ids."""
        decoder = self.decoder
        return settings_of(decoder.config, decoder.reach, decoder.rule, self.numerics)

    def read(self, token_ids: Tensor, on_part: Callable[[float], None], *, dense: bool) -> Tensor:
        """Returns float32 logits [V] after the last of `token_ids` [T], and remembers them."""
        num_layers = self.decoder.config.num_layers
        hidden = forward(
            self.decoder,
            token_ids,
            self.cache,
            lambda layer: on_part((layer + 1) / num_layers),
            dense=dense,
        )
        logits = self.decoder.logits(hidden[-1:])[0]
        if self.decoder.narrowed:
            self._release("model.embed_tokens.weight")
        return logits

    def decode(self, token_ids: Tensor) -> Tensor:
        """Returns float32 logits [T, V] after each of an answer's tokens, and remembers them."""
        hidden = forward(self.decoder, token_ids, self.cache, decoding=True)
        logits = self.decoder.logits(hidden, decoding=True)
        if self.decoder.narrowed and self.cache.length % RELEASED_AFTER < len(token_ids):
            self._release(head_name(self.decoder.config))
        return logits

    def likelihoods(self, token_ids: Tensor, following: Tensor) -> Likelihoods:
        """Returns those of `following` [T] after each of `token_ids` [T], read as a prompt is."""
        hidden = forward(self.decoder, token_ids, self.cache)
        pairs = zip(torch.split(hidden, _ROWS), torch.split(following, _ROWS), strict=True)
        parts = [Likelihoods.of(self.decoder.logits(rows), ids) for rows, ids in pairs]
        return Likelihoods(*(torch.cat(some) for some in zip(*parts, strict=True)))

    def truncate(self, length: int) -> None:
        """Forget the tokens from position `length` on."""
        self.cache.truncate(length)

    def put_aside(self, end: int) -> Callable[[], None] | None:
        """Returns what brings all back that is read now: its first `end` tokens are copied."""
        cache, length = self.cache, self.cache.length
        kept = [(run, run.clone()) for run in cache.runs(0, min(end, length))]

        def bring_back() -> None:
            for run, copy in kept:
                run.copy_(copy)
            cache.length = length
            if cache.value_means is not None:
                for layer in range(len(cache.keys)):
                    cache.average(layer, 0, min(end, length))

        return bring_back


def own_reader(
    config: ModelConfig,
    directory: Path,
    window: int | None,
    numerics: Numerics,
    sight: Sight,
    keeping: Keeping | None = None,
    on_notice: Callable[[str], None] = lambda text: None,
) -> DecoderReader:
    """Returns the own decoder over the memory-mapped weights in `directory`.

    `keeping` says where narrow weights are kept, if anywhere; `on_notice` hears of tuned Quotas.
    """
    config = extend(config, sight.extend, sight.window)
    weights = open_weights(directory)
    decoder = build_decoder(
        config,
        weights,
        numerics,
        rule=prefill_rule(sight, config, directory, on_notice),
        decode_rule=decode_rule(sight, config),
        temperature_length=sight.temperature_length,
        keeping=keeping,
        release=weights.release,
    )
    capacity = min(window or config.native_window, config.window)
    return DecoderReader(decoder, capacity, weights.release)
