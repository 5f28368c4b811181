"""Tiles of tokens by a panel of 16 rows of `narrow`, for the many rows of a prompt.

A panel is unpacked once for all tokens: every code a byte, every scale a float32. Without
instructions that add four products of bytes to 32 bits, pairs are added up in 16 bits for as long
as no sum can outgrow them, which codes of few bits allow for up to eight products; so a processor
with AVX2 multiplies codes of 4 bits twice as fast as float32. The arithmetic is that of
`narrow_dots`: the sums of a group are exact, and groups are added in the same order.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from longctx.kernels.narrow_dots import (
    CHUNKS,
    FORMS,
    GROUP,
    PANEL,
    Panel,
    code_bytes,
    each_lane,
)
from longctx.kernels.vectors import call, cgutils, compiled_in, times, types

TOKENS = 4
UNPACKED = PANEL * GROUP
"""The bytes of the codes of a panel and a group, unpacked; 8 bits take as much again."""

_UNROLLED = 2
# Products of codes and bytes that are added up in 16 bits: 2 * _RUNS * the greatest code * 127.
_RUNS = {4: 8, 5: 4, 6: 2, 8: 8}
_BYTE, _HALF, _FLOAT = ir.IntType(8), ir.HalfType(), ir.FloatType()
_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)


def has_tiles() -> bool:
    """Returns whether this processor multiplies bytes."""
    return FORMS.possible()[0] != "plain"


def _is_split(panel: Panel) -> bool:
    """Returns whether codes are multiplied in halves, since pairs of them outgrow 16 bits."""
    return panel.bits == 8 and panel.form == "avx2"


def _stored(builder: Any, value: Any, pointer: Any, at: Any) -> None:
    """Put a vector `at` bytes behind the pointer."""
    place = builder.bitcast(builder.gep(pointer, [at]), ir.PointerType(value.type))
    builder.store(value, place).align = 1


def _unknown(builder: Any, count: int) -> Any:
    """Returns a number that LLVM does not know, so that a loop of so many turns stays a loop.

    Of a longer piece of code it makes one that has no room in the registers.
    """
    kind = ir.FunctionType(_I64, [_I64])
    return builder.asm(kind, "", "=r,0", [ir.Constant(_I64, count)], False)


def _held(builder: Any, places: list[Any]) -> None:
    """Have all that is at the places in registers here, so that LLVM computes in this order.

    Left to itself, it puts off half of a tile and keeps what that needs in memory.
    """
    kind, count = places[0].type.pointee, len(places)
    both = ir.FunctionType(ir.LiteralStructType([kind] * count), [kind] * count)
    constraints = ",".join(["=x"] * count + [str(k) for k in range(count)])
    held = builder.asm(both, "", constraints, [builder.load(one) for one in places], True)
    for k, place in enumerate(places):
        builder.store(builder.extract_value(held, k), place)


def unpacking(bits: int) -> Any:
    """Returns the intrinsic that unpacks a panel.

    It takes the addresses of the panel's codes and scales, the number of groups, and the addresses
    of the bytes [groups, 8, 64], the low halves of all and then the high ones where they are split,
    and of the float32 scales [groups, halves, 16], for 4 bits followed by the least values.
    """

    @compiled_in
    def unpack(
        typing: Any, codes: Any, scales: Any, num_groups: Any, to_bytes: Any, to_floats: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            num_groups = args[2]
            pointers = [builder.inttoptr(args[k], ir.PointerType(_BYTE)) for k in (0, 1, 3, 4)]
            codes, scales, to_bytes, to_floats = pointers
            panel = Panel(builder, bits)
            words, floats, lanes = panel.words, panel.floats, panel.lanes
            parts = PANEL // lanes
            foot = each_lane(words, 0x0F0F0F0F)
            with cgutils.for_range(builder, num_groups) as loop:
                for part in range(parts):
                    start = times(builder, loop.index, code_bytes(bits), 4 * lanes * part)
                    for s, chunk in enumerate(panel.chunks(codes, start)):
                        shift = 4 * PANEL * s + 4 * lanes * part
                        at = times(builder, loop.index, UNPACKED, shift)
                        if not _is_split(panel):
                            _stored(builder, chunk, to_bytes, at)
                            continue
                        _stored(builder, builder.and_(chunk, foot), to_bytes, at)
                        head = builder.and_(builder.lshr(chunk, each_lane(words, 4)), foot)
                        at = builder.add(at, times(builder, num_groups, UNPACKED))
                        _stored(builder, head, to_bytes, at)
            count = times(builder, num_groups, 2 if bits in (4, 6) else 1)
            with cgutils.for_range(builder, count) as loop:
                for part in range(parts):
                    at = times(builder, loop.index, 2 * PANEL, 2 * lanes * part)
                    scale = panel.load(scales, at, ir.VectorType(_HALF, lanes))
                    at = times(builder, loop.index, 4 * PANEL, 4 * lanes * part)
                    _stored(builder, builder.fpext(scale, floats), to_floats, at)
            return context.get_dummy_value()

        return types.void(*(types.intp,) * 5), generate

    return unpack


class _Tile:
    """What the code for a tile of tokens is made with."""

    def __init__(self, panel: Panel, pointers: list[Any], num_groups: Any) -> None:
        self.panel, self.builder, self.num_groups = panel, panel.builder, num_groups
        self.codes, self.scales, self.x, self.worths, self.sums = pointers
        self.parts = range(PANEL // panel.lanes)

    def places(self, kind: Any) -> list[list[Any]]:
        """Vectors of a kind that can be changed, [TOKENS][parts]."""
        return [
            [cgutils.alloca_once(self.builder, kind) for _ in self.parts] for _ in range(TOKENS)
        ]

    def clear(self, places: list[list[Any]]) -> None:
        """Make all of them 0."""
        for place in sum(places, []):
            self.builder.store(ir.Constant(place.type.pointee, None), place)

    def add_to(self, place: Any, value: Any) -> None:
        """Add a vector to the one at a place."""
        self.builder.store(self.builder.add(self.builder.load(place), value), place)

    def loop(self, count: int) -> Any:
        """So many turns of a loop that stays one."""
        return cgutils.for_range(self.builder, _unknown(self.builder, count))

    def of_token(self, pointer: Any, kind: Any, at: Any, size: int, token: int) -> Any:
        """A number of a token in all lanes; a token has `size` bytes a group."""
        if token:
            at = self.builder.add(at, times(self.builder, self.num_groups, size * token))
        vectors = self.panel.words if kind is _I32 else self.panel.floats
        return self.panel.spread(self.panel.load(pointer, at, kind), vectors)

    def dots(self, first: Any, count: int) -> list[list[Any]]:
        """The sums of products of `count` times 4 inputs from the `first` 4 on, in 32 bits."""
        panel, builder = self.panel, self.builder
        totals = self.places(panel.words)
        self.clear(totals)
        if panel.form != "avx2":
            with self.loop(count // _UNROLLED) as loop:
                for more in range(_UNROLLED):
                    step = builder.add(first, times(builder, loop.index, _UNROLLED, more))
                    self._add_step(step, 0, totals)
            return totals
        run = _RUNS[panel.bits]
        for plane in range(2 if _is_split(panel) else 1):
            for start in range(0, count, run):
                self._add_run(builder.add(first, ir.Constant(_I64, start)), plane, totals)
        return totals

    def _add_run(self, first: Any, plane: int, totals: list[list[Any]]) -> None:
        """Add the products of as many inputs as may be added up in 16 bits."""
        builder, run = self.builder, _RUNS[self.panel.bits]
        in_words = ir.VectorType(_I16, 2 * self.panel.lanes)
        pairs = self.places(in_words)
        self.clear(pairs)
        for step in range(run):
            self._add_step(builder.add(first, ir.Constant(_I64, step)), plane, pairs)
            _held(builder, sum(pairs, []))
        worth = each_lane(in_words, 16 if plane else 1)
        for places, had in zip(totals, pairs, strict=True):
            for place, one in zip(places, had, strict=True):
                both = builder.load(one), worth
                more = call(builder, "llvm.x86.avx2.pmadd.wd", self.panel.words, [*both])
                self.add_to(place, more)

    def _add_step(self, step: Any, plane: int, totals: list[list[Any]]) -> None:
        """Add the products of 4 inputs, in pairs where `totals` hold those."""
        panel, builder = self.panel, self.builder
        in_bytes = ir.VectorType(_BYTE, 4 * panel.lanes)
        in_words = ir.VectorType(_I16, 2 * panel.lanes)
        for token in range(TOKENS):
            word = self.of_token(self.x, _I32, times(builder, step, 4), GROUP, token)
            for part, place in zip(self.parts, totals[token], strict=True):
                at = times(builder, step, 4 * PANEL, 4 * panel.lanes * part)
                if plane:
                    at = builder.add(at, times(builder, self.num_groups, UNPACKED))
                codes = panel.load(self.codes, at, panel.words)
                if panel.form == "avx2":
                    both = [builder.bitcast(one, in_bytes) for one in (codes, word)]
                    name = "llvm.x86.avx2.pmadd.ub.sw"
                    self.add_to(place, call(builder, name, in_words, both))
                else:
                    dot = panel.dot(builder, panel.bits, builder.load(place), codes, word)
                    builder.store(dot, place)


def tiling(bits: int) -> Any:
    """Returns the intrinsic of an unpacked panel with TOKENS rows, to `out` [TOKENS, PANEL].

    It takes the addresses of what `unpacking` made, those of the rows' codes [T, in], of what a
    row's codes are worth and add up to, float32 [T, in / 32] (for 6 bits in halves of a group),
    the number of groups, the units of the panel's rows, what is added to them, the address of `out`
    and the bytes from a row of it to the next.
    """
    halves = 2 if bits == 6 else 1

    @compiled_in
    def tile(
        typing: Any,
        codes: Any,
        scales: Any,
        x: Any,
        worths: Any,
        sums: Any,
        num_groups: Any,
        units: Any,
        bias: Any,
        out: Any,
        stride: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.PointerType(_BYTE)
            pointers = [builder.inttoptr(args[k], kind) for k in range(5)]
            num_groups, stride = args[5], args[9]
            units, bias, out = (builder.inttoptr(args[k], kind) for k in (6, 7, 8))
            panel = Panel(builder, bits)
            floats, lanes = panel.floats, panel.lanes
            made = _Tile(panel, pointers, num_groups)
            totals = made.places(floats)
            made.clear(totals)
            each = CHUNKS // halves
            count = times(builder, num_groups, halves)
            leasts = builder.gep(made.scales, [times(builder, num_groups, 4 * PANEL)])
            with cgutils.for_range(builder, count) as loop:
                dots = made.dots(times(builder, loop.index, each), each)
                group = builder.udiv(loop.index, ir.Constant(_I64, halves))
                for token in range(TOKENS):
                    at = times(builder, group, 4)
                    worth = made.of_token(made.worths, _FLOAT, at, 4, token)
                    at = times(builder, loop.index, 4)
                    total_of_x = made.of_token(made.sums, _FLOAT, at, 4 * halves, token)
                    for part in made.parts:
                        at = times(builder, loop.index, 4 * PANEL, 4 * lanes * part)
                        scale = panel.load(made.scales, at, floats)
                        least = panel.load(leasts, at, floats) if bits == 4 else None
                        place, own = totals[token][part], (worth, total_of_x)
                        dot, total = builder.load(dots[token][part]), builder.load(place)
                        builder.store(panel.add_group(total, dot, scale, least, own), place)
            for token in range(TOKENS):
                for part in made.parts:
                    at = ir.Constant(_I64, 4 * lanes * part)
                    unit, more = (panel.load(one, at, floats) for one in (units, bias))
                    total = builder.fmul(builder.load(totals[token][part]), unit)
                    total = builder.fadd(total, more)
                    at = builder.add(times(builder, stride, token), at)
                    _stored(builder, total, out, at)
            return context.get_dummy_value()

        return types.void(*(types.intp,) * 10), generate

    return tile
