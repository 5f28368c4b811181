"""The loops that prompts and answers take, compiled ahead of both: once for a processor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from longctx.kernels import byte_linear, tile_linear
from longctx.kernels.blocks import BlockRule
from longctx.kernels.byte_linear import GROUP, OUTPUTS, has_byte_products
from longctx.kernels.flash import BLOCK, attend_all, has_flash, has_tile_products
from longctx.kernels.narrow import narrow, stack
from longctx.kernels.rope import angles
from longctx.kernels.sparse import items_for_one
from longctx.kernels.turning import turned_heads


def compile_loops(on_notice: Callable[[str], None], *, kv8: bool = False) -> None:
    """Return when the loops of prompts are there; `on_notice` hears it if they are not yet.

    Those of answers come with the narrow weights, those that round keys and values with `kv8`.
    """
    if not has_flash():
        return
    from longctx.kernels import flash_loops

    if not _is_kept(flash_loops.attend):
        on_notice("compiling for this processor, once: about half a minute")
    one = torch.zeros(1, 1, BLOCK, dtype=torch.bfloat16)
    turn = angles(torch.ones(BLOCK // 2), torch.zeros(1))
    attend_all([(0, 1, turned_heads(one, *turn))], one, one)
    if kv8:
        from longctx.kernels.coded_loops import round_rows

        rows = torch.zeros(1, 1, BLOCK)
        round_rows(rows.numpy(), rows.to(torch.int8).numpy(), rows[0].numpy(), 0)
    if has_tile_products() or has_byte_products():
        products = (tile_linear if has_tile_products() else byte_linear).PRODUCTS
        matrix = stack([narrow(torch.zeros(OUTPUTS, GROUP), 8)])
        products.multiply(products.rows(torch.zeros(1, GROUP)), matrix)
        products.gated_rows(torch.zeros(1, 2 * GROUP, dtype=torch.bfloat16))


def compile_choices(on_notice: Callable[[str], None]) -> None:
    """Return when the loops are there that choose Blocks; `on_notice` hears it if they are not."""
    from longctx.kernels import block_loops

    if not _is_kept(block_loops.predict):
        on_notice("compiling sparse attention for this processor, once: some ten seconds")
    items_for_one(
        BlockRule(), [(0, BLOCK + 1, torch.zeros(1, 1, BLOCK))], torch.zeros(1, 1, BLOCK), BLOCK + 1
    )


def _is_kept(loop: Any) -> bool:
    """Returns whether numba has kept some compiled form of a loop."""
    return any(Path(loop.stats.cache_path or ".").glob(f"*.{loop.__name__}-*.nbi"))
