"""Products in 8-bit integers, for the many rows of a prompt.

Weights have a scale a row (an output channel), activations a scale a token, sums are exact in 32
bits (Dettmers et al. 2022, "LLM.int8()", section 2.1, without its outliers). A processor with only
pairwise products of bytes adds two of them in 16 bits: there weights take 7 bits, so that no sum is
cut off. On an AVX2 processor this is twice as fast as float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

# Activations are bytes without a sign; this stands for 0.
_ZERO = 128


@dataclass(frozen=True, slots=True)
class Int8Matrix:
    """A matrix [out, in] in bytes as oneDNN wants it, with a float32 scale for each row."""

    packed: Tensor
    scales: Tensor
    zeros: Tensor


def can_multiply_int8() -> bool:
    """Returns whether this torch has the products (oneDNN on a 64-bit x86 processor)."""
    has_onednn: bool = torch._C._has_mkldnn
    return has_onednn and hasattr(torch.ops.onednn, "qlinear_pointwise")


def int8_matrix(weight: Tensor) -> Int8Matrix:
    """Returns `weight` [out, in] in bytes."""
    codes, scales = int8_codes(weight)
    packed = torch.ops.onednn.qlinear_prepack(codes, None)
    return Int8Matrix(packed, scales, torch.zeros(len(scales), dtype=torch.int32))


def int8_codes(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the codes int8 [out, in] of `weight` and the scale of each row, float32 [out]."""
    most = 127 if _sums_are_exact() else 64
    wide = weight.float()
    scales = wide.abs().amax(1).clamp_min(1e-20) / most
    return (wide / scales[:, None]).round_().to(torch.int8), scales


def row_codes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns codes uint8 [T, in] around 128 of `x` and the scale of each token, float32 [T, 1]."""
    scales = x.abs().amax(1, keepdim=True).float().clamp_min(1e-20) / 127
    return (x.float() / scales).add_(_ZERO).round_().to(torch.uint8), scales


def int8_project(x: Tensor, matrix: Int8Matrix, bias: Tensor | None = None) -> Tensor:
    """Returns x [T, in] times the matrix transposed, plus bias, in the dtype of `x`."""
    codes, scales = row_codes(x)
    product: Tensor = torch.ops.onednn.qlinear_pointwise(
        codes,
        1.0,
        _ZERO,
        matrix.packed,
        matrix.scales,
        matrix.zeros,
        None,
        1.0,
        0,
        torch.float32,
        "none",
        [],
        "",
    )
    product *= scales
    if bias is not None:
        product += bias
    return product.to(x.dtype)


@cache
def _sums_are_exact() -> bool:
    """Returns whether products of bytes are added in 32 bits (VNNI)."""
    # torch has no public question for this
    return bool(getattr(torch.cpu, "_is_vnni_supported", bool)())
