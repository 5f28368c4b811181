"""Products of whole tiles of bfloat16, for the many rows of a prompt, on a processor with AMX.

The weights are those of `narrow`, some outputs of which are made bfloat16 at a time. Tiles multiply
bytes twice as fast, but what is worth another scale every 64 inputs must leave them after as many:
that costs more than it saves, and rows keep the precision of bfloat16 besides. What stands between
the products is one pass over memory each, as in `byte_linear`, whose functions these stand in for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from longctx.kernels.linear import Products, room_of_products
from longctx.kernels.narrow import Narrow, Stack, widen

SIDE = 16
IN_ROW = 32
# Rows that are multiplied at once: two tiles of them.
TOKENS = 32


@dataclass(frozen=True, slots=True)
class TileRows:
    """Rows [T, K] as tiles, bfloat16 [tiles, K / 32, 16, 32]; what fills the last is anything."""

    num_rows: int
    tiles: Tensor


def tile_weights(matrix: Narrow) -> Tensor:
    """Returns the float32 matrix [O, K] that prompts meet in place of a Narrow; the reference."""
    return widen(matrix).bfloat16().float()


def rows_of(rows: TileRows) -> Tensor:
    """Returns the float32 rows [T, K] that TileRows stand for; the reference."""
    return rows.tiles.transpose(1, 2).flatten(0, 1).flatten(1)[: rows.num_rows].float()


def tile_rows(x: Tensor, weight: Tensor | None = None, eps: float | None = None) -> TileRows:
    """Returns float32 x [T, K] in tiles, times `weight` [K]; with `eps` normed by RMSNorm."""
    num_tokens, width = x.shape
    assert x.dtype == torch.float32 and x.stride(1) == 1
    rows = _empty_rows(num_tokens, width)
    weight = torch.ones(width) if weight is None else weight.float()
    _loops().tile_rows(
        num_tokens,
        x.data_ptr(),
        x.stride(0),
        width // IN_ROW,
        weight.data_ptr(),
        eps or 0.0,
        eps is not None,
        rows.tiles.data_ptr(),
    )
    return rows


def tile_gated_rows(gate_and_up: Tensor) -> TileRows:
    """Returns SiLU(gate) * up in tiles, of bfloat16 rows [T, 2 * K] that hold both."""
    num_tokens, width = gate_and_up.shape[0], gate_and_up.shape[1] // 2
    assert gate_and_up.dtype == torch.bfloat16 and gate_and_up.is_contiguous()
    rows = _empty_rows(num_tokens, width)
    _loops().tile_gated_rows(
        num_tokens, gate_and_up.data_ptr(), width, width // IN_ROW, rows.tiles.data_ptr()
    )
    return rows


def multiply(rows: TileRows, matrices: Stack, onto: Tensor | None = None) -> Tensor:
    """Returns rows [T, K] times all matrices, plus bias, in bfloat16 [T, O].

    Where float32 `onto` is given, it is added to that in place instead.
    """
    steps = rows.tiles.shape[1]
    assert steps * IN_ROW == matrices.parts[0].width, "rows and matrices differ in width"
    out, stride = room_of_products(rows.num_rows, matrices.num_rows, onto)
    _loops().multiply(
        rows.num_rows,
        rows.tiles.data_ptr(),
        steps,
        matrices.table,
        matrices.bias,
        out.data_ptr(),
        stride,
        onto is not None,
        torch.get_num_threads(),
    )
    return out


PRODUCTS = Products(tile_rows, tile_gated_rows, multiply)


def _empty_rows(num_tokens: int, width: int) -> TileRows:
    assert width % IN_ROW == 0, width
    num_tiles = -(num_tokens // -TOKENS) * TOKENS // SIDE
    return TileRows(
        num_tokens, torch.empty(num_tiles, width // IN_ROW, SIDE, IN_ROW, dtype=torch.bfloat16)
    )


def _loops() -> Any:
    """The compiled loops on as many threads as torch has; numba takes a third of a second."""
    from longctx.kernels import tile_loops
    from longctx.kernels.threads import use_threads

    use_threads(torch.get_num_threads())
    return tile_loops
