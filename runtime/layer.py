"""What a layer of the decoder does beside attention: norms and products with its weights.

A Layer takes the residual rows x [T, hidden] and changes them in place. FloatLayer multiplies in
the precision of its matrices, PanelLayer with panels of few bits as the processor multiplies them
fastest, and adds up in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import rms_norm, silu

from longctx.kernels.answer import AnswerLayer
from longctx.kernels.byte_linear import fits_bytes
from longctx.kernels.linear import Products, project
from longctx.runtime.config import ModelConfig

ATTENTION = tuple(f"self_attn.{name}_proj" for name in "qkvo")
MLP = tuple(f"mlp.{name}_proj" for name in ("gate", "up", "down"))
MATRICES = ATTENTION + MLP

Matrices = Callable[[str], Tensor]
Release = Callable[[str], None]
"""Told the name of a weight that will hardly be read again."""

# After so many written tokens the stored rows that scored them are let go of: in the end that would
# be all of the head.
RELEASED_AFTER = 16

Heads = tuple[Tensor, Tensor, Tensor]
"""Queries [T, H, D], keys and values [T, G, D], not rotated."""


class Layer(Protocol):
    """The products of one layer."""

    def heads(self, x: Tensor) -> Heads:
        """Returns the queries, keys and values of the rows x [T, hidden]."""

    def add_attention(self, attended: Tensor, x: Tensor) -> None:
        """Add to x [T, hidden] what the heads saw, [T, H * D]."""

    def add_mlp(self, x: Tensor) -> None:
        """Add to x [T, hidden] what the SwiGLU makes of it."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The norms and biases of a layer, by their names within it."""

    config: ModelConfig
    weights: Mapping[str, Tensor]
    prefix: str

    def get(self, name: str) -> Tensor | None:
        """Returns the parameter, None where the architecture has none."""
        return self.weights.get(self.prefix + name)

    def norm(self, name: str, x: Tensor) -> Tensor:
        """Returns x, normed over its last axis, or x itself where there is no such norm."""
        weight = self.get(f"{name}.weight")
        return x if weight is None else rms_norm(x, (x.shape[-1],), weight, self.config.norm_eps)

    def in_heads(self, q: Tensor, k: Tensor, v: Tensor) -> Heads:
        """Returns rows of all heads as heads, queries and keys normed where the model does so."""
        q, k, v = (t.view(len(t), -1, self.config.head_dim) for t in (q, k, v))
        return self.norm("self_attn.q_norm", q), self.norm("self_attn.k_norm", k), v


@dataclass(frozen=True, slots=True)
class FloatLayer:
    """A Layer whose products `project` makes with the matrices that `matrix` gives by name."""

    own: Parameters
    matrix: Matrices

    def heads(self, x: Tensor) -> Heads:
        """Returns the queries, keys and values of the rows x [T, hidden]."""
        normed = self.own.norm("input_layernorm", x)
        q, k, v = (self._project(normed, name) for name in ATTENTION[:3])
        return self.own.in_heads(q, k, v)

    def add_attention(self, attended: Tensor, x: Tensor) -> None:
        """Add to x [T, hidden] what the heads saw, [T, H * D]."""
        x += self._project(attended, ATTENTION[3])

    def add_mlp(self, x: Tensor) -> None:
        """Add to x [T, hidden] what the SwiGLU makes of it."""
        normed = self.own.norm("post_attention_layernorm", x)
        gate, up, down = MLP
        gated = silu(self._project(normed, gate), inplace=True).mul_(self._project(normed, up))
        x += self._project(gated, down)

    def _project(self, x: Tensor, name: str) -> Tensor:
        return project(x, self.matrix(name), self.own.get(f"{name}.bias"))


@dataclass(frozen=True, slots=True)
class PanelLayer:
    """A Layer whose products are made with matrices in few bits, a few panels at a time."""

    own: Parameters
    parts: AnswerLayer
    products: Products

    def heads(self, x: Tensor) -> Heads:
        """Returns the queries, keys and values of the rows x [T, hidden]."""
        rows = self.products.multiply(self._normed("input_layernorm", x), self.parts.qkv)
        config = self.own.config
        sizes = (config.num_heads, config.num_kv_heads, config.num_kv_heads)
        parts = torch.split(rows, [n * config.head_dim for n in sizes], dim=1)
        return self.own.in_heads(*parts)

    def add_attention(self, attended: Tensor, x: Tensor) -> None:
        """Add to x [T, hidden] what the heads saw, [T, H * D]."""
        self.products.multiply(self.products.rows(attended.float()), self.parts.out, x)

    def add_mlp(self, x: Tensor) -> None:
        """Add to x [T, hidden] what the SwiGLU makes of it."""
        multiply, normed = self.products.multiply, self._normed("post_attention_layernorm", x)
        both = multiply(normed, self.parts.gate_up)
        multiply(self.products.gated_rows(both), self.parts.down, x)

    def _normed(self, name: str, x: Tensor) -> Any:
        return self.products.rows(x, self.own.get(f"{name}.weight"), self.own.config.norm_eps)


def fits_panels(weights: Mapping[str, Tensor], num_layers: int) -> bool:
    """Returns whether all layers are made of what PanelLayers multiply."""
    prefixes = (f"model.layers.{index}." for index in range(num_layers))
    names = (f"{prefix}{name}.weight" for prefix in prefixes for name in MATRICES)
    return fits_bytes(*(weights[name] for name in names))


def keep(name: str) -> None:
    """Release nothing."""
