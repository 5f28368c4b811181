"""Products of bytes in groups of 64, for the many rows of a prompt, where the processor has them.

Weights and activations have a scale for each 64 inputs of a row, so that an outlier costs its own
group alone (Dettmers et al. 2022, "LLM.int8()", is about those; groups as in Frantar et al. 2022,
"GPTQ", section 3.3). Sums within a group are exact. On a processor with VNNI this is twice as fast
as bfloat16, and 1.4 times as `narrow_tiles`, whose groups are half as large. The weights are those
of `narrow`, a few outputs of which are made bytes at a time: that costs a twentieth of the products
of 512 rows. What stands between the products is one pass over memory each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from longctx.kernels.flash import has_bfloat16_products
from longctx.kernels.linear import Products, room_of_products
from longctx.kernels.narrow import Narrow, Stack, widen

GROUP = 64
OUTPUTS = 32


@dataclass(frozen=True, slots=True)
class ByteRows:
    """Rows [T, K]: number = scale * code.

    `codes` int8, `scales` float32 [T, K / 64], `sums` int32 [T, K / 64], -128 times those of codes.
    """

    codes: Tensor
    scales: Tensor
    sums: Tensor


@cache
def has_byte_products() -> bool:
    """Returns whether this processor multiplies bytes, and rounds to bfloat16."""
    # torch has no public question for this
    return has_bfloat16_products() and bool(getattr(torch.cpu, "_is_vnni_supported", bool)())


def fits_bytes(*weights: Tensor) -> bool:
    """Returns whether weights [O, K] are made of whole panels and groups."""
    return all(w.shape[0] % OUTPUTS == 0 and w.shape[1] % GROUP == 0 for w in weights)


def byte_weights(matrix: Narrow) -> Tensor:
    """Returns the float32 matrix [O, K] that prompts meet in place of a Narrow; the reference."""
    grouped = widen(matrix).view(matrix.num_rows, -1, GROUP)
    scales = grouped.abs().amax(-1, keepdim=True) / 127
    codes = (grouped / scales.where(scales > 0, 1)).round()
    return (codes * scales).view(matrix.num_rows, -1)


def coded_rows(rows: ByteRows) -> Tensor:
    """Returns the float32 rows [T, K] that ByteRows stand for; the reference."""
    grouped = rows.codes.view(len(rows.codes), -1, GROUP).float() * rows.scales[..., None]
    return grouped.view(rows.codes.shape)


def code_rows(x: Tensor, weight: Tensor | None = None, eps: float | None = None) -> ByteRows:
    """Returns float32 x [T, K] in bytes, times `weight` [K]; with `eps` normed by RMSNorm."""
    num_tokens, width = x.shape
    assert x.dtype == torch.float32 and x.stride(1) == 1
    rows = _empty_rows(num_tokens, width)
    weight = torch.ones(width) if weight is None else weight.float()
    _loops().code_rows(
        num_tokens,
        x.data_ptr(),
        x.stride(0),
        width // GROUP,
        weight.data_ptr(),
        eps or 0.0,
        eps is not None,
        rows.codes.data_ptr(),
        rows.sums.data_ptr(),
        rows.scales.data_ptr(),
    )
    return rows


def code_gated_rows(gate_and_up: Tensor) -> ByteRows:
    """Returns SiLU(gate) * up in bytes, of bfloat16 rows [T, 2 * K] that hold both."""
    num_tokens, width = gate_and_up.shape[0], gate_and_up.shape[1] // 2
    assert gate_and_up.dtype == torch.bfloat16 and gate_and_up.is_contiguous()
    rows = _empty_rows(num_tokens, width)
    pointers = (t.data_ptr() for t in (rows.codes, rows.sums, rows.scales))
    _loops().code_gated_rows(num_tokens, gate_and_up.data_ptr(), width, width // GROUP, *pointers)
    return rows


def multiply(rows: ByteRows, matrices: Stack, onto: Tensor | None = None) -> Tensor:
    """Returns rows [T, K] times all matrices, plus bias, in bfloat16 [T, O].

    Where float32 `onto` is given, it is added to that in place instead.
    """
    num_tokens, groups = rows.scales.shape
    assert groups * GROUP == matrices.parts[0].width, "rows and matrices differ in width"
    out, stride = room_of_products(num_tokens, matrices.num_rows, onto)
    _loops().multiply(
        num_tokens,
        *(t.data_ptr() for t in (rows.codes, rows.sums, rows.scales)),
        groups,
        matrices.table,
        matrices.bias,
        out.data_ptr(),
        stride,
        onto is not None,
        torch.get_num_threads(),
    )
    return out


PRODUCTS = Products(code_rows, code_gated_rows, multiply)


def _empty_rows(num_tokens: int, width: int) -> ByteRows:
    assert width % GROUP == 0, width
    return ByteRows(
        torch.empty(num_tokens, width, dtype=torch.int8),
        torch.empty(num_tokens, width // GROUP),
        torch.empty(num_tokens, width // GROUP, dtype=torch.int32),
    )


def _loops() -> Any:
    """The compiled loops on as many threads as torch has; numba takes a third of a second."""
    from longctx.kernels import byte_loops
    from longctx.kernels.threads import use_threads

    use_threads(torch.get_num_threads())
    return byte_loops
