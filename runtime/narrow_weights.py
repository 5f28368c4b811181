"""The narrow weights of a model: made once, kept beside it, and joined for few large calls."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longctx.kernels import answer
from longctx.kernels.answer import AnswerLayer
from longctx.kernels.flash import has_flash
from longctx.kernels.narrow import (
    Narrow,
    Stack,
    bits_needed,
    fits,
    multiply,
    narrow,
    stack,
    swiglu,
    warm_up,
)
from longctx.runtime.config import ModelConfig
from longctx.runtime.install import SOURCE, make_private
from longctx.runtime.layer import MATRICES, Heads, Parameters, Release, keep
from longctx.runtime.narrow_file import load, save
from longctx.runtime.numerics import Numerics
from longctx.runtime.prefix_store import PrefixStore
from longctx.runtime.store import model_at

# A third of the bytes of a token were the head's, in 8 bits. It only has to find the likeliest
# words, which are scored again from the stored weights, and to weigh all others together.
HEAD_BITS = 5


@dataclass(frozen=True, slots=True)
class NarrowLayer:
    """A Layer of weights in 4 to 8 bits, its matrices joined for few calls, heads in `dtype`."""

    own: Parameters
    parts: AnswerLayer
    dtype: torch.dtype

    def heads(self, x: Tensor) -> Heads:
        """Returns the queries, keys and values of the rows x [T, hidden]."""
        found = multiply(self.parts.qkv, x, self.parts.norm, self.parts.eps)
        q, k, v = (part.to(self.dtype) for part in found)
        return self.own.in_heads(q, k, v)

    def add_attention(self, attended: Tensor, x: Tensor) -> None:
        """Add to x [T, hidden] what the heads saw, [T, H * D]."""
        x += multiply(self.parts.out, attended)[0]

    def add_mlp(self, x: Tensor) -> None:
        """Add to x [T, hidden] what the SwiGLU makes of it."""
        parts = self.parts
        x += swiglu(parts.gate_up, parts.down, x, parts.mlp_norm, parts.eps)


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where narrow weights are kept, what they are made of, and who hears when they are made."""

    path: Path
    origin: str
    on_notice: Callable[[str], None] = lambda text: None


class NarrowWeights:
    """The weights of a decoder in few bits, made or mapped when the first of them is asked for."""

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, Tensor],
        head: str,
        bits: int | None,
        dtype: torch.dtype,
        keeping: Keeping | None = None,
        release: Release = keep,
    ) -> None:
        """Make nothing yet; `bits` is how many each gets, what it needs if None.

        `dtype` is that of queries, keys and values; `release` hears of each weight that was made
        narrow.
        """
        self._dtype = dtype
        self._release = release
        self._config, self._weights, self._num_layers = config, weights, config.num_layers
        self._head, self._bits, self._keeping = head, bits, keeping

    def prepare(self) -> None:
        """Return when they are there, and the loops that read them."""
        _ = self.layers, self.head
        warm_up()
        if self._dtype == torch.bfloat16 and has_flash():
            answer.warm_up()

    @cached_property
    def layers(self) -> tuple[NarrowLayer, ...]:
        """All layers."""
        return tuple(self._layer(f"model.layers.{index}.") for index in range(self._num_layers))

    @cached_property
    def head(self) -> Stack:
        """The matrix of the logits."""
        return stack([self._matrices[self._head]])

    @cached_property
    def _matrices(self) -> Mapping[str, Narrow]:
        keeping = self._keeping
        if keeping is None:
            return dict(self._made())
        found = load(keeping.path, keeping.origin)
        if found is None:
            keeping.on_notice("its weights are brought into 4 to 8 bits, once for all runs")
            saved = save(keeping.path, keeping.origin, self._made())
            found = load(keeping.path, keeping.origin) if saved else None
        return dict(self._made()) if found is None else found

    def _made(self) -> Iterator[tuple[str, Narrow]]:
        for name in narrowed_names(self._num_layers, self._head):
            bits = self._bits or own_bits(self._weights[name], name == self._head)
            yield name, narrow(self._weights[name], bits)
            self._release(name)

    def _layer(self, prefix: str) -> NarrowLayer:
        def joined(*names: str) -> Stack:
            whole = [f"{prefix}{name}" for name in names]
            parts = [self._matrices[f"{name}.weight"] for name in whole]
            return stack(parts, [self._weights.get(f"{name}.bias") for name in whole])

        def norm(name: str) -> NDArray[np.float32]:
            weight = self._weights.get(f"{prefix}{name}.weight", torch.empty(0))
            found: NDArray[np.float32] = weight.float().numpy()
            return found

        q, k, v, out, gate, up, down = MATRICES
        parts = AnswerLayer(
            joined(q, k, v),
            joined(out),
            joined(gate, up),
            joined(down),
            norm("input_layernorm"),
            norm("post_attention_layernorm"),
            np.stack([norm("self_attn.q_norm"), norm("self_attn.k_norm")]),
            self._config.head_dim,
            self._config.norm_eps,
        )
        return NarrowLayer(Parameters(self._config, self._weights, prefix), parts, self._dtype)


def narrowed_names(num_layers: int, head: str) -> Iterator[str]:
    """Yields the names of the matrices that decoded tokens are multiplied with."""
    for layer in range(num_layers):
        for name in MATRICES:
            yield f"model.layers.{layer}.{name}.weight"
    yield head


def own_bits(weight: Tensor, is_head: bool) -> int:
    """Returns the bits of a matrix where nobody wants others: what it needs, for the head fewer."""
    needed = bits_needed(weight)
    return min(needed, HEAD_BITS) if is_head else needed


def can_narrow(weights: Mapping[str, Tensor], num_layers: int, head: str) -> bool:
    """Returns whether all of those matrices have rows of whole groups."""
    return all(fits(weights[name]) for name in narrowed_names(num_layers, head))


def keeping_of(
    directory: Path,
    numerics: Numerics,
    prefixes: PrefixStore | None = None,
    on_notice: Callable[[str], None] = lambda text: None,
) -> Keeping | None:
    """Returns where the narrow weights of a model are kept, if they are.

    A model of the store has them beside it. For another they go beside what was read, where that is
    kept, since its folder is not ours.
    """
    if not numerics.narrows:
        return None
    files, bits = model_at(directory), numerics.narrow_bits or "own"
    name = f"narrow-{bits}.weights"
    if (directory / SOURCE).is_file():
        return Keeping(directory / name, files.digest, on_notice)
    if prefixes is None:
        return None
    # by its place: when the model changes the file does, too
    place = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
    folder = prefixes.directory.parent / "weights"
    make_private(folder)
    return Keeping(folder / f"{place}-{name}", files.digest, on_notice)
