"""Projections whose weights may be stored in another precision than the activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

# Rows whose products are a matter of reading the weights; more are a matter of arithmetic.
FEW_ROWS = 4
# Tokens whose logits are computed exactly: the rest share too little probability to matter.
RESCORED = 256
# Tokens of which only the likeliest is looked at when those are sought.
_RUN = 64


@dataclass(frozen=True, slots=True)
class Products:
    """How many rows meet panels of weights: made what is multiplied, gated on the way, multiplied.

    `rows` takes float32 [T, K], a weight and an epsilon to norm them by, `gated_rows` bfloat16
    [T, 2 * K]. `multiply` takes what they return and a Stack, and what float32 it adds to, if any.
    """

    rows: Callable[..., Any]
    gated_rows: Callable[[Tensor], Any]
    multiply: Callable[..., Tensor]


def room_of_products(num_rows: int, num_outputs: int, onto: Tensor | None) -> tuple[Tensor, int]:
    """Returns `onto` or new bfloat16 [T, O], and the words of 32 bits from a row to the next."""
    out = torch.empty(num_rows, num_outputs, dtype=torch.bfloat16) if onto is None else onto
    assert out.shape == (num_rows, num_outputs) and out.stride(1) == 1
    assert onto is None or onto.dtype == torch.float32
    return out, out.stride(0) * out.itemsize // 4


def project(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns x [T, in] times weight [out, in] transposed, plus bias, in the dtype of `x`.

    Few rows are a matter of reading the weights, so they are multiplied in their own precision;
    more rows are a matter of arithmetic, so the weights are brought to that of `x`.
    """
    if x.dtype == weight.dtype:
        return linear(x, weight, bias)
    if x.shape[0] <= FEW_ROWS:
        product = linear(x.to(weight.dtype), weight).to(x.dtype)
        return product if bias is None else product + bias
    return linear(x, weight.to(x.dtype), bias)


class Upcast:
    """Weights brought to one dtype in memory that is used again for the next layer.

    Fresh temporaries of this size would cost a page fault for every 4 KiB of every layer.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        """Start without memory; it grows to the largest weight seen under each name."""
        self.dtype = dtype
        self._buffers: dict[str, Tensor] = {}

    def __call__(self, name: str, weight: Tensor) -> Tensor:
        """Returns `weight` in the dtype; valid until the next call with this `name`."""
        if weight.dtype == self.dtype:
            return weight
        buffer = self._buffers.get(name)
        if buffer is None or buffer.shape != weight.shape:
            buffer = self._buffers[name] = torch.empty(weight.shape, dtype=self.dtype)
        return buffer.copy_(weight)


def rescored(logits: Tensor, hidden: Tensor, head: Tensor) -> Tensor:
    """Returns logits [T, V] whose likeliest are computed again in float32.

    A product of bfloat16 or narrow weights leaves ties among the likeliest tokens.
    """
    for row, rows in zip(logits, hidden, strict=True):
        best = _likeliest(row)
        row[best] = head[best].float() @ rows.float()
    return logits


def _likeliest(row: Tensor) -> Tensor:
    """Returns the indices of the RESCORED greatest of `row` [V]; a sort of all takes 1 ms."""
    whole = row[: len(row) // _RUN * _RUN].view(-1, _RUN)
    if len(whole) <= RESCORED:
        return row.topk(min(RESCORED, len(row))).indices
    # as many runs have a number that is no less than this, so the greatest are among those
    least = whole.amax(1).topk(RESCORED).values[-1]
    # torch's nonzero takes seven times as long
    found = torch.from_numpy(np.flatnonzero(row.numpy() >= least.numpy()))
    return found[row[found].topk(RESCORED).indices]
