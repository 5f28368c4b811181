"""What a decoder layer does beside attention and matrix products, each one pass over memory.

The references are `reference.rms_norm`, `reference.swiglu` and `reference.rope`. Everything is
float32 inside, whatever the tensors hold.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from longctx.kernels.eight_bits import MOST, Eight
from longctx.kernels.triton_eight import rounded_rows
from longctx.kernels.turns import Turns

SWIGLU_COLUMNS = 1024
STORE_TOKENS = 16


def rms_norm(x: Tensor, weight: Tensor, eps: float, added: Tensor | None = None) -> Tensor:
    """Returns x [R, D] scaled to unit root mean square, times `weight` [D].

    With `added` [R, D] that is first added to `x`, in place.
    """
    num_rows, size = x.shape
    out = torch.empty((num_rows, size), dtype=x.dtype, device=x.device)
    padded = triton.next_power_of_2(size)
    _rms_norm[(num_rows,)](
        x,
        x if added is None else added,
        weight,
        out,
        x.stride(0),
        size,
        eps,
        PADDED=padded,
        ADDED=added is not None,
        num_warps=min(16, max(1, padded // 512)),
    )
    return out


def swiglu(gate_up: Tensor) -> Tensor:
    """Returns silu(gate) * up [T, F] of gate and up side by side [T, 2 F]."""
    num_rows, size = gate_up.shape[0], gate_up.shape[1] // 2
    out = torch.empty((num_rows, size), dtype=gate_up.dtype, device=gate_up.device)
    _swiglu[(num_rows, triton.cdiv(size, SWIGLU_COLUMNS))](
        gate_up, out, size, COLUMNS=SWIGLU_COLUMNS
    )
    return out


def store(
    k: Tensor,
    v: Tensor,
    keys: Tensor,
    values: Tensor,
    turns: Turns,
    eight: Eight | None = None,
) -> None:
    """Put k and v [T, G, D] into keys and values [G, S, D] where `turns` begin, the keys turned.

    The rows of `k` and `v` may lie apart, as they do in a product that holds queries, too. With
    `eight` they are rounded to int8, `k` coming without its bias, and their scales put into it.
    """
    num_tokens, num_groups, head_dim = k.shape
    assert k.stride() == v.stride() and k.stride(1) == head_dim, "the heads of a row lie together"
    _store[(triton.cdiv(num_tokens, STORE_TOKENS), num_groups)](
        k,
        v,
        keys,
        values,
        turns.key_cos,
        turns.key_sin,
        turns.bounds,
        num_tokens,
        k.stride(0),
        keys.stride(0),
        eight.key_scales if eight else turns.cos,
        eight.value_scales if eight else turns.cos,
        eight.key_scales.stride(0) if eight else 0,
        HALF=head_dim // 2,
        TOKENS=STORE_TOKENS,
        EIGHT=eight is not None,
        MOST=MOST,
    )


@triton.jit
def _rms_norm(x, added, weight, out, stride, size, eps, PADDED: tl.constexpr, ADDED: tl.constexpr):
    """One row."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, PADDED)
    there = column < size
    value = tl.load(x + row * stride + column, mask=there, other=0.0).to(tl.float32)
    if ADDED:
        value += tl.load(added + row * size + column, mask=there, other=0.0).to(tl.float32)
        # what is normed is what is kept
        value = value.to(x.dtype.element_ty).to(tl.float32)
        tl.store(x + row * stride + column, value.to(x.dtype.element_ty), mask=there)
    scale = 1.0 / tl.sqrt(tl.sum(value * value, 0) / size + eps)
    factor = tl.load(weight + column, mask=there, other=0.0).to(tl.float32)
    normed = (value * scale * factor).to(out.dtype.element_ty)
    tl.store(out + row * size + column, normed, mask=there)


@triton.jit
def _swiglu(gate_up, out, size, COLUMNS: tl.constexpr):
    """A run of columns of one row."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = column < size
    gate = tl.load(gate_up + row * 2 * size + column, mask=there, other=0.0).to(tl.float32)
    up = tl.load(gate_up + row * 2 * size + size + column, mask=there, other=0.0).to(tl.float32)
    made = gate / (1.0 + tl.exp(-gate)) * up
    tl.store(out + row * size + column, made.to(out.dtype.element_ty), mask=there)


@triton.jit(do_not_specialize=["num_tokens"])
def _store(
    k,
    v,
    keys,
    values,
    cos,
    sin,
    bounds,
    num_tokens,
    stride,
    head_stride,
    key_scales,
    value_scales,
    scale_stride,
    HALF: tl.constexpr,
    TOKENS: tl.constexpr,
    EIGHT: tl.constexpr,
    MOST: tl.constexpr,
):
    """The keys and values of a run of tokens of one KV head."""
    token = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    head = tl.program_id(1)
    half = tl.arange(0, HALF)
    mask = tl.broadcast_to((token < num_tokens)[:, None], [TOKENS, HALF])
    source = (token.to(tl.int64) * stride)[:, None] + (head * 2 * HALF + half)[None, :]
    turn = (token * HALF)[:, None] + half[None, :]
    c, s = tl.load(cos + turn, mask=mask, other=0.0), tl.load(sin + turn, mask=mask, other=0.0)
    first = tl.load(k + source, mask=mask, other=0.0).to(tl.float32)
    second = tl.load(k + source + HALF, mask=mask, other=0.0).to(tl.float32)
    position = tl.load(bounds + 2) + token
    target = head.to(tl.int64) * head_stride + (position * 2 * HALF)[:, None] + half[None, :]
    k1, k2 = first * c - second * s, second * c + first * s
    v1 = tl.load(v + source, mask=mask, other=0.0).to(tl.float32)
    v2 = tl.load(v + source + HALF, mask=mask, other=0.0).to(tl.float32)
    if EIGHT:
        scale_at = head.to(tl.int64) * scale_stride + position
        k1, k2, k_scale = rounded_rows(k1, k2, MOST)
        v1, v2, v_scale = rounded_rows(v1, v2, MOST)
        tl.store(key_scales + scale_at, k_scale, mask=token < num_tokens)
        tl.store(value_scales + scale_at, v_scale, mask=token < num_tokens)
    dtype = keys.dtype.element_ty
    tl.store(keys + target, k1.to(dtype), mask=mask)
    tl.store(keys + target + HALF, k2.to(dtype), mask=mask)
    tl.store(values + target, v1.to(dtype), mask=mask)
    tl.store(values + target + HALF, v2.to(dtype), mask=mask)
