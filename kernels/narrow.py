"""Weights in 4 or 8 bits, which a decoded token reads in place of the stored ones.

A token is decoded as fast as the weights can be read, so their bytes are its time. Groups of 32
weights of a row share a scale and a least value: weight = scale * code + least. Models published in
4 bits keep their own levels, which are found again; other weights take 8 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

GROUP = 32
# Each word of 32 bits holds codes of as many lanes of 8: a row is a whole number of such runs.
_LANES = 8
# The share of groups that may lie off 16 levels by more than a bfloat16 is rounded by.
_MAX_MISFITS = 0.001
_SAMPLE_ROWS = 32
_SLAB_ROWS = 256


@dataclass(frozen=True, slots=True)
class Narrow:
    """A matrix [out, in]: codes uint32 [out, in * bits / 32], float16 scales and leasts.

    A run of 8 words holds, in bits [k * bits, (k + 1) * bits) of word j, the code of weight
    8 * k + j. `scales` [out, in / 32] and `leasts` [out, in / 32, rounded up to 8s] are bit
    patterns, in units of the row's greatest magnitude, float32 `units` [out].
    """

    bits: int
    codes: NDArray[np.uint32]
    scales: NDArray[np.uint16]
    leasts: NDArray[np.uint16]
    units: NDArray[np.float32]


def fits(weight: Tensor) -> bool:
    """Returns whether the rows of `weight` [out, in] are whole runs in 4 bits."""
    return weight.shape[1] % (_LANES * 8) == 0


def narrow(weight: Tensor, bits: int | None = None) -> Narrow:
    """Returns `weight` [out, in] in 4 or 8 bits; by default 4 where that keeps its own levels."""
    assert fits(weight), tuple(weight.shape)
    return _narrow(weight, bits or bits_needed(weight))[0]


def bits_needed(weight: Tensor) -> int:
    """Returns 4 if `weight` [out, in] has but 16 levels a group, told from some rows, else 8."""
    sample = weight[:: max(1, weight.shape[0] // _SAMPLE_ROWS)]
    matrix, misfits = _narrow(sample, 4)
    return 4 if misfits <= _MAX_MISFITS * matrix.scales.size else 8


def narrow_bytes(shape: tuple[int, ...], bits: int) -> int:
    """Returns the memory that a matrix of this shape takes in so many bits."""
    num_rows, width = shape
    leasts = -(width // GROUP) // _LANES * -_LANES
    return num_rows * (width * bits // 8 + 2 * (width // GROUP) + 2 * leasts + 4)


def widen(matrix: Narrow) -> Tensor:
    """Returns the float32 matrix [out, in] that `matrix` stands for; the reference."""
    num_rows, num_groups = matrix.scales.shape
    shifts = np.arange(0, 32, matrix.bits, dtype=np.uint32)[:, None]
    runs = matrix.codes.reshape(num_rows, -1, 1, _LANES)
    codes = (runs >> shifts & np.uint32(2**matrix.bits - 1)).reshape(num_rows, num_groups, GROUP)
    scales = matrix.scales.view(np.float16).astype(np.float32)
    leasts = matrix.leasts.view(np.float16)[:, :num_groups].astype(np.float32)
    wide = (codes * scales[..., None] + leasts[..., None]).reshape(num_rows, -1)
    return torch.from_numpy(wide.astype(np.float32) * matrix.units[:, None])


def multiply(matrix: Narrow, x: Tensor) -> Tensor:
    """Returns x [T, in] times `matrix` transposed, float32 [T, out]; meant for few rows."""
    product = _loops().multiply_4 if matrix.bits == 4 else _loops().multiply_8
    out = product(
        matrix.codes,
        matrix.scales,
        matrix.leasts,
        matrix.units,
        x.float().contiguous().numpy(),
    )
    return torch.from_numpy(out).T


def _narrow(weight: Tensor, bits: int) -> tuple[Narrow, int]:
    """Returns the matrix and how many groups miss their levels."""
    num_rows, width = weight.shape
    num_groups = width // GROUP
    codes = np.zeros((num_rows, width * bits // 32), dtype=np.uint32)
    scales = np.zeros((num_rows, num_groups), dtype=np.float32)
    leasts = np.zeros((num_rows, -num_groups // _LANES * -_LANES), dtype=np.float32)
    units = np.empty(num_rows, dtype=np.float32)
    misfits = 0
    # in slabs that stay in cache while they are read several times
    for start in range(0, num_rows, _SLAB_ROWS):
        rows = slice(start, start + _SLAB_ROWS)
        slab = weight[rows].to(torch.float32, copy=True).numpy()
        units[rows] = np.maximum(slab.max(1), -slab.min(1))
        slab /= np.where(units[rows], units[rows], 1)[:, None]
        misfits += _loops().quantize(slab, bits, codes[rows], scales[rows], leasts[rows])
    half_scales, half_leasts = (
        part.astype(np.float16).view(np.uint16) for part in (scales, leasts)
    )
    return Narrow(bits, codes, half_scales, half_leasts, units), misfits


def _loops() -> Any:
    """The compiled loops on as many threads as torch has; numba takes a third of a second."""
    from longctx.kernels import narrow_loops

    narrow_loops.use_threads(torch.get_num_threads())
    return narrow_loops
