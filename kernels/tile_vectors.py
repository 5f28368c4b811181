"""What the processor does for `tile_linear` in its own instructions: tiles, and what fills them."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from longctx.kernels.byte_vectors import gated, scaled_parts
from longctx.kernels.narrow_dots import GROUP, PANEL, Panel
from longctx.kernels.tiles import (
    SIDE,
    add_tiles,
    clear_tile,
    load_tile,
    store_tile,
)
from longctx.kernels.vectors import (
    FLOATS,
    I64,
    LANES,
    WORDS,
    cgutils,
    compiled_in,
    fma,
    load,
    place,
    rounded,
    shuffled,
    splat,
    times,
    types,
)

TILE_WORDS = SIDE * LANES
TOKENS = 2 * SIDE
OUTPUTS = 2 * PANEL
"""What is multiplied at once: four tiles of sums, for two of rows and two of outputs."""

assert GROUP == 2 * SIDE, "a group of weights fills a tile of 16 outputs"


def multiplying(adds: bool) -> Any:
    """Returns the intrinsic of two tiles of rows times two of outputs, so many steps of them.

    Tiles of the same rows, or outputs, are `stride` steps apart. The products go to float32
    [32, 32], or, if it `adds`, are added to what is there.
    """

    @compiled_in
    def multiply(typing: Any, rows: Any, columns: Any, stride: Any, steps: Any, sums: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            rows, columns, stride, steps, sums = args
            width, side = (ir.Constant(I64, count) for count in (OUTPUTS, SIDE))
            both = [(0, 0), (0, 1), (1, 0), (1, 1)]
            starts = [ir.Constant(I64, r * SIDE * OUTPUTS + c * SIDE) for r, c in both]
            for at, start in enumerate(starts):
                if adds:
                    load_tile(builder, at, builder.gep(sums, [start]), width)
                else:
                    clear_tile(builder, at)
            with cgutils.for_range(builder, steps) as loop:
                first = times(builder, loop.index, TILE_WORDS)
                second = builder.add(first, times(builder, stride, TILE_WORDS))
                found = set()
                for at, (row, column) in enumerate(both):
                    for tile, source in ((4 + row, rows), (6 + column, columns)):
                        if tile not in found:
                            start = builder.gep(source, [second if tile % 2 else first])
                            load_tile(builder, tile, start, side)
                            found.add(tile)
                    add_tiles(builder, at, 4 + row, 6 + column)
            for at, start in enumerate(starts):
                store_tile(builder, at, builder.gep(sums, [start]), width)
            return context.get_dummy_value()

        return types.void(rows, columns, stride, steps, sums), generate

    return multiply


def putting(adds: bool) -> Any:
    """Returns the intrinsic that brings `count` rows of 32 sums, plus bias, to where they belong.

    They become bfloat16, or, if it `adds`, are added to the float32 that is there.
    """

    @compiled_in
    def put(typing: Any, sums: Any, bias: Any, count: Any, out: Any, stride: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            sums, bias, count, out, stride = args
            starts = [load(builder, bias, FLOATS, n) for n in range(0, OUTPUTS, LANES)]
            with cgutils.for_range(builder, count) as loop:
                sides = []
                for n, start in enumerate(starts):
                    at = times(builder, loop.index, OUTPUTS, n * LANES)
                    sides.append(builder.fadd(load(builder, sums, FLOATS, at), start))
                row = builder.gep(out, [builder.mul(stride, loop.index)])
                if adds:
                    for n, side in enumerate(sides):
                        there = load(builder, row, FLOATS, n * LANES, 4)
                        to = place(builder, row, n * LANES, FLOATS)
                        builder.store(builder.fadd(side, there), to).align = 4
                else:
                    words = rounded(builder, *sides)
                    builder.store(words, place(builder, row, 0, WORDS)).align = 4
            return context.get_dummy_value()

        return types.void(sums, bias, count, out, stride), generate

    return put


@compiled_in
def put_row(typing: Any, row: Any, factor: Any, weight: Any, steps: Any, tiles: Any) -> Any:
    """A row * factor * weight in bfloat16, a row of one tile after the other."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row, factor, weight, steps, tiles = args
        factor = splat(builder, factor)
        with cgutils.for_range(builder, steps) as loop:
            found = []
            for n in range(0, 2 * LANES, LANES):
                at = times(builder, loop.index, 2 * LANES, n)
                each = builder.fmul(factor, load(builder, weight, FLOATS, at, 4))
                found.append(builder.fmul(load(builder, row, FLOATS, at, 4), each))
            to = place(builder, tiles, times(builder, loop.index, TILE_WORDS), WORDS)
            builder.store(rounded(builder, *found), to).align = 64
        return context.get_dummy_value()

    return types.void(row, factor, weight, steps, tiles), generate


@compiled_in
def put_gated_row(typing: Any, gate: Any, up: Any, steps: Any, tiles: Any) -> Any:
    """A row of SiLU(gate) * up in bfloat16, a row of one tile after the other."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        gate, up, steps, tiles = args
        with cgutils.for_range(builder, steps) as loop:
            at = [times(builder, loop.index, LANES, n) for n in (0, LANES // 2)]
            found = [gated(builder, gate, up, start) for start in at]
            to = place(builder, tiles, times(builder, loop.index, TILE_WORDS), WORDS)
            builder.store(rounded(builder, *found), to).align = 64
        return context.get_dummy_value()

    return types.void(gate, up, steps, tiles), generate


def widening(bits: int) -> Any:
    """Returns the intrinsic that makes a panel of `narrow` a tile of bfloat16 for each group.

    It takes the addresses of the panel's codes, scales and units, how many groups it has, and where
    the tiles go. Pairs of inputs are words, beside those of the other outputs.
    """

    @compiled_in
    def widen(typing: Any, codes: Any, scales: Any, units: Any, groups: Any, tiles: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            groups, kind = args[3], ir.PointerType(ir.IntType(8))
            codes, scales, units, tiles = (builder.inttoptr(args[k], kind) for k in (0, 1, 2, 4))
            panel = Panel(builder, bits)
            assert panel.lanes == LANES, "tiles come with vectors of 16"
            unit = panel.load(units, ir.Constant(I64, 0), FLOATS)
            with cgutils.for_range(builder, groups) as loop:
                word = 0
                for chunks, scale, low in scaled_parts(panel, codes, scales, loop.index, groups):
                    scale, low = builder.fmul(scale, unit), builder.fmul(low, unit)
                    for chunk in chunks:
                        for pair in _pairs(builder, chunk, scale, low):
                            at = times(builder, loop.index, 4 * TILE_WORDS, 4 * LANES * word)
                            to = builder.bitcast(builder.gep(tiles, [at]), ir.PointerType(WORDS))
                            builder.store(pair, to).align = 64
                            word += 1
            return context.get_dummy_value()

        return types.void(*(types.intp,) * 5), generate

    return widen


def _pairs(builder: Any, chunk: Any, scale: Any, low: Any) -> list[Any]:
    """Returns scale * code + low of 4 codes in each lane, as two words of bfloat16."""
    wide = []
    for k in range(4):
        code = builder.lshr(chunk, ir.Constant(WORDS, [8 * k] * LANES)) if k else chunk
        if k < 3:
            code = builder.and_(code, ir.Constant(WORDS, [255] * LANES))
        # codes have no sign, but what takes them as if they had is one instruction
        wide.append(fma(builder, builder.sitofp(code, FLOATS), scale, low))
    mixed = [i // 2 + i % 2 * LANES for i in range(2 * LANES)]
    found = []
    for one, other in (wide[:2], wide[2:]):
        both = builder.bitcast(rounded(builder, one, other), ir.VectorType(ir.IntType(16), 32))
        found.append(builder.bitcast(shuffled(builder, both, both, mixed), WORDS))
    return found
