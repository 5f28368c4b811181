"""The tile registers of a processor with AMX, which multiply 16 rows at once, as llvmlite has them.

There are 8, each of 16 rows of 64 bytes: rows of 32 numbers of bfloat16, or of 16 of float32. A
tile times another is 16 x 32 by 32 x 16: the second has pairs of its rows beside each other, as
words of 32 bits (Intel's Architecture Instruction Set Extensions reference, chapter on AMX).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from longctx.kernels.vectors import I64, call, cgutils, compiled_in, times, types

SIDE = 16
"""Rows of a tile, and words of a row."""

COLUMNS = 64
"""Columns that are multiplied with the same rows, as many as leave tiles for what is loaded."""

_NUM_TILES = 8
_ROW_BYTES = 64
_I8 = ir.IntType(8)


def _run(builder: Any, name: str, *args: Any) -> None:
    call(builder, f"llvm.x86.{name}", ir.VoidType(), list(args))


def _number(tile: int) -> Any:
    return ir.Constant(_I8, tile)


def _bytes_at(builder: Any, pointer: Any) -> Any:
    return builder.bitcast(pointer, ir.PointerType(_I8))


def _move(builder: Any, name: str, tile: int, pointer: Any, stride: Any) -> None:
    in_bytes = builder.mul(stride, ir.Constant(I64, 4))
    _run(builder, name, _number(tile), _bytes_at(builder, pointer), in_bytes)


def clear_tile(builder: Any, tile: int) -> None:
    """Make a tile 0."""
    _run(builder, "tilezero", _number(tile))


def load_tile(builder: Any, tile: int, pointer: Any, stride: Any) -> None:
    """Fill a tile with 16 rows of 16 words that lie `stride` words apart."""
    _move(builder, "tileloadd64", tile, pointer, stride)


def store_tile(builder: Any, tile: int, pointer: Any, stride: Any) -> None:
    """Put the 16 rows of 16 words of a tile `stride` words apart."""
    _move(builder, "tilestored64", tile, pointer, stride)


def add_tiles(builder: Any, total: int, rows: int, columns: int) -> None:
    """Add to the float32 of a tile the product of two of bfloat16."""
    _run(builder, "tdpbf16ps", *map(_number, (total, rows, columns)))


@compiled_in
def begin_tiles(typing: Any) -> Any:
    """Makes this thread's tiles those of `SIDE` whole rows."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        shape = bytearray(64)
        # the palette, the bytes of the rows of each tile, the number of its rows
        shape[0] = 1
        shape[16 : 16 + 2 * _NUM_TILES : 2] = bytes([_ROW_BYTES] * _NUM_TILES)
        shape[48 : 48 + _NUM_TILES] = bytes([SIDE] * _NUM_TILES)
        constant = ir.Constant(ir.ArrayType(_I8, len(shape)), shape)
        pointer = cgutils.global_constant(builder.module, "tiles", constant)
        _run(builder, "ldtilecfg", _bytes_at(builder, pointer))
        return context.get_dummy_value()

    return types.void(), generate


@compiled_in
def end_tiles(typing: Any) -> Any:
    """Gives this thread's tiles back, so that the system keeps nothing of them for it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _run(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), generate


def multiply_tiles(
    builder: Any, rows: Any, stride: Any, depth: Any, columns: Any, out: Any, width: Any, adds: bool
) -> None:
    """Multiply 16 rows, `stride` words apart, with a panel of 64 columns, of `depth` words each.

    The products go to the rows of `out`, `width` words apart, or are added to what is there.
    """
    apart = ir.Constant(I64, COLUMNS)
    totals = range(COLUMNS // SIDE)
    rows_of, free = len(totals), range(len(totals) + 1, _NUM_TILES)

    def place(n: int) -> Any:
        return builder.gep(out, [ir.Constant(I64, n * SIDE)])

    for n in totals:
        if adds:
            load_tile(builder, n, place(n), width)
        else:
            clear_tile(builder, n)
    steps = builder.udiv(times(builder, depth, 1, SIDE - 1), ir.Constant(I64, SIDE))
    with cgutils.for_range(builder, steps) as loop:
        at = builder.gep(rows, [times(builder, loop.index, SIDE)])
        load_tile(builder, rows_of, at, stride)
        for n in totals:
            at = builder.gep(columns, [times(builder, loop.index, SIDE * COLUMNS, n * SIDE)])
            load_tile(builder, free[n % len(free)], at, apart)
            add_tiles(builder, n, rows_of, free[n % len(free)])
    for n in totals:
        store_tile(builder, n, place(n), width)
