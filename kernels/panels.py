"""Where the panels of a Stack lie, and what is made of them by how many bits they have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

from longctx.kernels.narrow_dots import GROUP, PANEL


@numba.njit(error_model="numpy")
def find_panel(table: Any, panel: int) -> Any:
    """Returns the bits and the address of a panel, counted through the matrices of a table."""
    part = 0
    while panel >= table[part, 3]:
        part += 1
    before = table[part - 1, 3] if part else 0
    return table[part, 1], table[part, 0] + (panel - before) * table[part, 2]


def by_bits(making: Callable[[int], Any]) -> Any:
    """Returns the loop of what `making` returns for each number of bits.

    It takes the bits of a panel, its address, the GROUPs in a row, and what else the intrinsics
    take after the addresses of the codes and the scales.
    """
    four, five, six, eight = map(making, (4, 5, 6, 8))

    @numba.njit(error_model="numpy")
    def make(bits: int, place: int, groups: int, *rest: int) -> None:
        codes = place + 4 * PANEL
        scales = codes + groups * (PANEL * GROUP * bits // 8)
        if bits == 4:
            four(codes, scales, *rest)
        elif bits == 5:
            five(codes, scales, *rest)
        elif bits == 6:
            six(codes, scales, *rest)
        else:
            eight(codes, scales, *rest)

    return make
