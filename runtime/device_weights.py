"""The weights of a decoder on a GPU: laid out for few large products, in 8 bits if so wished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import linear

from longctx.runtime.config import ModelConfig

if TYPE_CHECKING:
    from longctx.kernels.triton_fp8 import Rows8


@dataclass(frozen=True, slots=True)
class Projection:
    """A matrix [out, in] and its bias [out], if it has one."""

    weight: Tensor | Rows8
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        """Returns the product [T, out] of rows x [T, in]."""
        if isinstance(self.weight, Tensor):
            return linear(x, self.weight, self.bias)
        from longctx.kernels.triton_fp8 import project8

        return project8(x, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer: queries, keys and values in one matrix, gate and up in another.

    `key_bias` [G, D] is what the keys lack where they are to be kept in 8 bits (`eight_bits`).
    """

    input_norm: Tensor
    qkv: Projection
    q_norm: Tensor | None
    k_norm: Tensor | None
    out: Projection
    mlp_norm: Tensor
    gate_up: Projection
    down: Projection
    key_bias: Tensor | None = None


@dataclass(frozen=True, slots=True)
class DeviceWeights:
    """All weights of a decoder on one device."""

    embedding: Tensor
    layers: tuple[Layer, ...]
    norm: Tensor
    head: Tensor


def to_device(
    config: ModelConfig,
    weights: Mapping[str, Tensor],
    device: torch.device,
    dtype: torch.dtype,
    *,
    fp8: bool = False,
    kv8: bool = False,
) -> DeviceWeights:
    """Returns `weights`, named as in Hugging Face checkpoints, on `device`.

    With `fp8` the matrices of the layers are rounded to 8 bits, row by row; embedding and head
    stay in `dtype`. With `kv8` the bias of the keys is kept apart.
    """

    def moved(name: str) -> Tensor:
        return weights[name].to(device, dtype)

    def optional(name: str) -> Tensor | None:
        return moved(name) if name in weights else None

    def projection(*names: str) -> Projection:
        weight = torch.cat([moved(name + ".weight") for name in names])
        biases = [optional(name + ".bias") for name in names]
        bias = None if biases[0] is None else torch.cat([one for one in biases if one is not None])
        if fp8:
            from longctx.kernels.triton_fp8 import quantize

            return Projection(quantize(weight), bias)
        return Projection(weight, bias)

    def layer(index: int) -> Layer:
        prefix = f"model.layers.{index}."
        qkv = projection(*(f"{prefix}self_attn.{name}_proj" for name in "qkv"))
        key_bias = None
        if kv8 and qkv.bias is not None:
            first = config.num_heads * config.head_dim
            of_keys = qkv.bias[first : first + config.num_kv_heads * config.head_dim]
            key_bias = of_keys.clone().view(config.num_kv_heads, config.head_dim)
            of_keys.zero_()
        return Layer(
            moved(prefix + "input_layernorm.weight"),
            qkv,
            optional(prefix + "self_attn.q_norm.weight"),
            optional(prefix + "self_attn.k_norm.weight"),
            projection(prefix + "self_attn.o_proj"),
            moved(prefix + "post_attention_layernorm.weight"),
            projection(prefix + "mlp.gate_proj", prefix + "mlp.up_proj"),
            projection(prefix + "mlp.down_proj"),
            key_bias,
        )

    embedding = moved("model.embed_tokens.weight")
    return DeviceWeights(
        embedding,
        tuple(layer(index) for index in range(config.num_layers)),
        moved("model.norm.weight"),
        embedding if config.tied_head else moved("lm_head.weight"),
    )
