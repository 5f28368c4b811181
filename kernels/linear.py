"""Projections whose weights may be stored in another precision than the activations."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor
from torch.nn.functional import linear

from longctx.kernels.int8_linear import Int8Matrix, int8_matrix, int8_project

Matrix = Tensor | Int8Matrix

FEW_ROWS = 4


def project(x: Tensor, weight: Matrix, bias: Tensor | None = None) -> Tensor:
    """Returns x [T, in] times weight [out, in] transposed, plus bias, in the dtype of `x`.

    Few rows are a matter of reading the weights, so they are multiplied in their own precision;
    more rows are a matter of arithmetic, so the weights are brought to that of `x`.
    """
    if isinstance(weight, Int8Matrix):
        return int8_project(x, weight, bias)
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


class Int8Matrices:
    """Weights for products in 8-bit integers, made when they are first asked for, and kept."""

    def __init__(self) -> None:
        """Start with none."""
        self._kept: dict[Hashable, Int8Matrix] = {}

    def __call__(self, name: Hashable, weight: Tensor) -> Int8Matrix:
        """Returns `weight` for the many rows of a prompt."""
        found = self._kept.get(name)
        if found is None:
            found = self._kept[name] = int8_matrix(weight)
        return found
