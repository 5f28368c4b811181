"""Matrix products in 8 bits: rows of activations and of weights, each scaled to fill float8.

Weights are quantized once; activations row by row before each product, which is torch's own scaled
product on a device that has one. Micikevicius et al. 2022, "FP8 Formats for Deep Learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

FLOAT8 = torch.float8_e4m3fn
MOST = 448.0


@dataclass(frozen=True, slots=True)
class Rows8:
    """Rows in 8 bits: `codes` [R, K] float8, each row times its entry of `scales` [R] float32."""

    codes: Tensor
    scales: Tensor

    def float(self) -> Tensor:
        """Returns what the rows stand for, float32 [R, K]."""
        return self.codes.float() * self.scales[:, None]


def has_fp8_products(device: torch.device) -> bool:
    """Returns whether the device multiplies float8 (compute capability 8.9 and later)."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)


def quantize(rows: Tensor) -> Rows8:
    """Returns rows [R, K] in 8 bits; a row of zeros has the scale 1."""
    num_rows, size = rows.shape
    codes = torch.empty((num_rows, size), dtype=FLOAT8, device=rows.device)
    scales = torch.empty(num_rows, device=rows.device)
    padded = triton.next_power_of_2(size)
    _quantize_rows[(num_rows,)](
        rows,
        codes,
        scales,
        rows.stride(0),
        size,
        PADDED=padded,
        MOST=MOST,
        num_warps=min(16, max(1, padded // 512)),
    )
    return Rows8(codes, scales)


def project8(x: Tensor, weight: Rows8, bias: Tensor | None = None) -> Tensor:
    """Returns x [T, K] times `weight` [N, K] transposed, plus bias [N], in the dtype of `x`."""
    rows = quantize(x)
    if not has_fp8_products(x.device):
        return reference_project8(rows, weight, bias).to(x.dtype)
    out: Tensor = torch._scaled_mm(
        rows.codes,
        weight.codes.t(),
        scale_a=rows.scales[:, None],
        scale_b=weight.scales[None, :],
        bias=bias,
        out_dtype=x.dtype,
    )
    return out


def reference_project8(rows: Rows8, weight: Rows8, bias: Tensor | None = None) -> Tensor:
    """Returns the product of what rows and weights stand for, in float32."""
    return torch.nn.functional.linear(
        rows.float(), weight.float(), None if bias is None else bias.float()
    )


@triton.jit
def _quantize_rows(rows, codes, scales, stride, size, PADDED: tl.constexpr, MOST: tl.constexpr):
    """One row."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, PADDED)
    there = column < size
    value = tl.load(rows + row * stride + column, mask=there, other=0.0).to(tl.float32)
    peak = tl.max(tl.abs(value), 0)
    scale = tl.where(peak > 0, peak / MOST, 1.0)
    code = _rounded(value / scale)
    # the division may lead past the largest number, which float8 would make NaN
    code = tl.minimum(tl.maximum(code, -MOST), MOST)
    tl.store(codes + row * size + column, code.to(tl.float8e4nv), mask=there)
    tl.store(scales + row, scale)


@triton.jit
def _rounded(value):
    """The nearest number that float8 has, ties to even (the interpreter's cast loses carries)."""
    bits = value.to(tl.int32, bitcast=True)
    normal = (bits + 0x7FFFF + ((bits >> 20) & 1)) & -0x100000
    # below 2 ** -6 all numbers lie 2 ** -9 apart, as those of float32 do around 2 ** 14
    return tl.where(
        tl.abs(value) < 0.015625, (value + 24576.0) - 24576.0, normal.to(tl.float32, bitcast=True)
    )
