"""Weights in 4 to 8 bits, which a decoded token reads in place of the stored ones.

A token is decoded as fast as the weights can be read, so their bytes are its time. Groups of 32
weights of a row share a scale: weight = scale * (code - middle code), or with 4 bits scale * code +
least. A model that was published in few bits keeps its own levels, which are found again: those of
GGUF's Q4, Q5_0 and Q6_K, the last in halves of a group. Other weights take 8 bits.

Rows that are multiplied with them are brought to 8 bits as well, each group of 32 with a scale of
its own, and the products of a group are added as integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longctx.kernels.linear import FEW_ROWS
from longctx.kernels.narrow_dots import CHUNK, GROUP, OFFSETS, PANEL, code_bytes

# The share of groups that may lie off their levels by more than a bfloat16 is rounded by.
_MAX_MISFITS = 0.001
_SAMPLE_ROWS = 32
_SLAB_ROWS = 512
_NONE = np.empty(0, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Narrow:
    """A matrix [out, in] as panels of 16 rows: `data` uint8 [panels, bytes of one].

    A panel holds the units of its rows, float32 [16]; then for each group the codes, lane r of a
    chunk of 64 bytes being row r's codes of 4 inputs; then float16 [groups, 16] scales in the units
    of their rows (of 6 bits for each half of a group, of 4 bits followed by the least values).
    Chunks s and s + 4 share their bytes but for bits 4 and 5 of a code, which are chunks behind.
    """

    bits: int
    num_rows: int
    width: int
    data: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Stack:
    """Matrices of one width that are multiplied in one call.

    `table` holds of each its address, its bits, the bytes of a panel and the panels up to its end;
    `starts` is where its rows are found among those of all, `bias` what is added to these, if any.
    """

    parts: tuple[Narrow, ...]
    table: NDArray[np.int64]
    starts: tuple[int, ...]
    bias: NDArray[np.float32]

    @property
    def num_rows(self) -> int:
        """The rows of all, those that only fill panels among them."""
        return int(self.table[-1, 3]) * PANEL


def fits(weight: Tensor) -> bool:
    """Returns whether the rows of `weight` [out, in] are whole groups."""
    return weight.shape[1] % GROUP == 0


def narrow(weight: Tensor, bits: int | None = None) -> Narrow:
    """Returns `weight` [out, in] in that many bits; by default the fewest that keep its levels."""
    assert fits(weight), tuple(weight.shape)
    return _narrow(weight, bits or bits_needed(weight))[0]


def bits_needed(weight: Tensor) -> int:
    """Returns the fewest bits in which `weight` [out, in] has its levels, told from some rows."""
    sample = weight[:: max(1, weight.shape[0] // _SAMPLE_ROWS)].contiguous()
    for bits in (4, 5, 6):
        misfits = _narrow(sample, bits)[1]
        if misfits <= _MAX_MISFITS * sample.numel() / GROUP:
            return bits
    return 8


def panel_bytes(width: int, bits: int) -> int:
    """Returns the bytes of a panel of rows of that width."""
    num_groups = width // GROUP
    scales = 2 * PANEL * (2 if bits in (4, 6) else 1)
    return -(-(4 * PANEL + num_groups * (code_bytes(bits) + scales)) // CHUNK) * CHUNK


def narrow_bytes(shape: tuple[int, ...], bits: int) -> int:
    """Returns the memory that a matrix of this shape takes in so many bits."""
    num_rows, width = shape
    return -(-num_rows // PANEL) * panel_bytes(width, bits)


def stack(parts: Sequence[Narrow], biases: Sequence[Tensor | None] = ()) -> Stack:
    """Returns matrices of one width as one, and with them what is added to their products."""
    assert len({part.width for part in parts}) == 1
    rows, starts, end = [], [], 0
    for part in parts:
        starts.append(end * PANEL)
        end += len(part.data)
        rows.append((part.data.ctypes.data, part.bits, part.data.shape[1], end))
    bias = np.zeros(end * PANEL if any(one is not None for one in biases) else 0, dtype=np.float32)
    for start, one in zip(starts, biases, strict=False):
        if one is not None:
            bias[start : start + len(one)] = one.float().numpy()
    return Stack(tuple(parts), np.array(rows, dtype=np.int64), tuple(starts), bias)


def widen(matrix: Narrow) -> Tensor:
    """Returns the float32 matrix [out, in] that `matrix` stands for; the reference."""
    bits, num_groups = matrix.bits, matrix.width // GROUP
    halves = 2 if bits == 6 else 1
    # every part in a row of its own
    ends = np.cumsum([4 * PANEL, num_groups * code_bytes(bits), num_groups * halves * 2 * PANEL])
    units, packed, scales, rest = np.split(matrix.data, ends, axis=1)
    # [panels, groups, chunks, rows, 4] to [panels, rows, groups, inputs]
    codes = _unpacked(packed.reshape(len(packed), num_groups, -1, CHUNK), bits)
    codes = codes.reshape(-1, num_groups, GROUP // 4, PANEL, 4).transpose(0, 3, 1, 2, 4)
    codes = codes.reshape(-1, PANEL, num_groups * halves, GROUP // halves)
    by_row = (-1, num_groups * halves, PANEL)
    steps = np.ascontiguousarray(scales).view(np.float16).reshape(by_row).swapaxes(1, 2)
    wide = (codes - OFFSETS[bits]) * steps.astype(np.float32)[..., None]
    if bits == 4:
        least = np.ascontiguousarray(rest[:, : 2 * PANEL * num_groups]).view(np.float16)
        wide += least.reshape(by_row).swapaxes(1, 2).astype(np.float32)[..., None]
    wide = wide.reshape(-1, matrix.width) * np.ascontiguousarray(units).view(np.float32).reshape(
        -1, 1
    )
    return torch.from_numpy(wide[: matrix.num_rows].astype(np.float32))


def _unpacked(packed: NDArray[np.uint8], bits: int) -> NDArray[np.int32]:
    """Returns the codes [..., 8, 64] of packed chunks [..., chunks, 64]."""
    if bits == 8:
        return packed.astype(np.int32)
    low = packed[..., :4, :]
    codes = np.concatenate([low & 15, low >> 4], axis=-2).astype(np.int32)
    for s in range(8):
        if bits == 5:
            codes[..., s, :] |= (packed[..., 4, :] >> s & 1).astype(np.int32) << 4
        elif bits == 6:
            codes[..., s, :] |= (packed[..., 4 + s // 4, :] >> 2 * (s % 4) & 3).astype(
                np.int32
            ) << 4
    return codes


def in_bytes(x: Tensor) -> Tensor:
    """Returns x [T, in] as the products take it, float32: 8 bits and a scale for each group."""
    groups = x.float().reshape(len(x), -1, GROUP)
    worths = groups.abs().amax(-1, keepdim=True) / 127
    codes = (groups / worths.where(worths > 0, 1)).round()
    return (codes * worths).reshape(x.shape)


def multiply(
    matrices: Stack, x: Tensor, norm: NDArray[np.float32] = _NONE, eps: float = 0.0
) -> list[Tensor]:
    """Returns x [T, in], normed by `norm` if there is one, times each matrix, plus its bias.

    float32 [T, out] each.
    """
    threads = torch.get_num_threads()
    rows = x.float().contiguous().numpy()
    if len(x) > FEW_ROWS:
        out = _many_times(matrices, _tile_loops().code_rows(rows, norm, eps))
    else:
        out = _loops().multiply(matrices.table, rows, matrices.bias, norm, eps, threads)
    whole = torch.from_numpy(out)
    return [
        whole[: len(x), start : start + part.num_rows]
        for start, part in zip(matrices.starts, matrices.parts, strict=True)
    ]


def swiglu(gate_up: Stack, down: Stack, x: Tensor, norm: NDArray[np.float32], eps: float) -> Tensor:
    """Returns the SwiGLU of x [T, hidden], normed first, float32 [T, hidden]."""
    threads = torch.get_num_threads()
    size = gate_up.parts[0].num_rows
    rows = x.float().contiguous().numpy()
    if len(x) > FEW_ROWS:
        loops = _tile_loops()
        both = _many_times(gate_up, loops.code_rows(rows, norm, eps))
        out = _many_times(down, loops.code_gated_rows(both, gate_up.starts[1], size, len(x)))
    else:
        out = _loops().swiglu(gate_up.table, down.table, size, rows, norm, eps, threads)
    return torch.from_numpy(out)[: len(x), : down.parts[0].num_rows]


def warm_up() -> None:
    """Return when the loops are compiled, or loaded from where numba keeps them."""
    one = stack([narrow(torch.zeros(PANEL, GROUP), 8)])
    square = stack([narrow(torch.zeros(GROUP, GROUP), 8)])
    for num_rows in (1, FEW_ROWS + 1):
        x = torch.zeros(num_rows, GROUP)
        multiply(one, x)
        swiglu(stack([*square.parts] * 2), square, x, np.ones(GROUP, "f4"), 1.0)


def _narrow(weight: Tensor, bits: int) -> tuple[Narrow, int]:
    """Returns the matrix and how many groups miss their levels."""
    num_rows, width = weight.shape
    panels = -(-num_rows // PANEL)
    # torch aligns memory to 64 bytes
    data = torch.zeros((panels, panel_bytes(width, bits)), dtype=torch.uint8).numpy()
    misfits = 0
    # in slabs that stay in cache while they are read several times
    slab = torch.empty((min(num_rows, _SLAB_ROWS), width))
    for start in range(0, num_rows, _SLAB_ROWS):
        rows = weight[start : start + _SLAB_ROWS]
        wide = slab[: len(rows)].copy_(rows).numpy()
        part = data[start // PANEL : start // PANEL + -(-len(rows) // PANEL)]
        misfits += _codes().encode(wide, bits, part)
    return Narrow(bits, num_rows, width, data), misfits


def _many_times(matrices: Stack, rows: Any) -> NDArray[np.float32]:
    """Returns rows in bytes times the matrices, float32 [whole tiles, 16 * panels]."""
    out = np.empty((len(rows[0]), int(matrices.table[-1, 3]) * PANEL), dtype=np.float32)
    _tile_loops().multiply(matrices.table, rows, matrices.bias, out, torch.get_num_threads())
    return out


def _loops() -> Any:
    """The compiled loops on as many threads as torch has; numba takes a third of a second."""
    from longctx.kernels import narrow_loops
    from longctx.kernels.threads import use_threads

    use_threads(torch.get_num_threads())
    return narrow_loops


def _codes() -> Any:
    """The compiled loops that make codes."""
    from longctx.kernels import narrow_codes

    _loops()
    return narrow_codes


def _tile_loops() -> Any:
    """The compiled loops for many rows."""
    from longctx.kernels import narrow_tile_loops

    _loops()
    return narrow_tile_loops
