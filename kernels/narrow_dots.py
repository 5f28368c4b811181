"""The innermost product of `narrow`: a panel of 16 rows of codes with up to 4 rows in 8 bits.

Written for LLVM, since no loop of numba's is made into the instructions that multiply bytes. Lane r
of a vector is row r of the panel and holds codes of 4 neighbouring inputs, so that no vector is
ever summed up. There are forms for x86 with and without such instructions and one for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from longctx.kernels.forms import Forms
from longctx.kernels.vectors import call, cgutils, compiled_in, prefetch, times, types

PANEL = 16
GROUP = 32
CHUNK = 64
CHUNKS = GROUP // 4
# Bytes between what is read and what is asked for. Left to itself, a processor fetches no further
# than to the end of a page, and weights came at half the speed of the memory.
AHEAD = 8_192
_BYTE, _HALF, _FLOAT = ir.IntType(8), ir.HalfType(), ir.FloatType()
_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)

OFFSETS = {4: 0, 5: 16, 6: 32, 8: 128}
"""What is subtracted of a code by its bits; codes of 4 bits have least values instead."""

Dot = Callable[[Any, int, Any, Any, Any], Any]
"""Adds to a vector the products of 4 codes and 4 bytes in each lane: builder, bits, the rest."""


def code_bytes(bits: int) -> int:
    """Returns the bytes of the codes of a panel and a group."""
    return PANEL * GROUP * bits // 8


def each_lane(kind: Any, value: float) -> Any:
    """Returns a vector of one constant."""
    return ir.Constant(kind, [value] * kind.count)


def _dot_in_one(builder: Any, bits: int, total: Any, codes: Any, x: Any) -> Any:
    """VNNI: one instruction."""
    size = 32 * total.type.count
    name = f"llvm.x86.avx512.vpdpbusd.{size}"
    return call(builder, name, total.type, [total, codes, x])


def _dot_in_pairs(builder: Any, bits: int, total: Any, codes: Any, x: Any) -> Any:
    """AVX2: pairs are added in 16 bits, where codes of 8 bits have no room: they go in halves."""
    lanes = total.type.count
    in_bytes, in_words = ir.VectorType(_BYTE, 4 * lanes), ir.VectorType(_I16, 2 * lanes)

    def dot(codes: Any, worth: int) -> Any:
        parts = [builder.bitcast(codes, in_bytes), builder.bitcast(x, in_bytes)]
        pairs = call(builder, "llvm.x86.avx2.pmadd.ub.sw", in_words, parts)
        both = [pairs, each_lane(in_words, worth)]
        return call(builder, "llvm.x86.avx2.pmadd.wd", total.type, both)

    if bits < 8:
        return builder.add(total, dot(codes, 1))
    foot = each_lane(codes.type, 0x0F0F0F0F)
    head = builder.and_(builder.lshr(codes, each_lane(codes.type, 4)), foot)
    return builder.add(builder.add(total, dot(builder.and_(codes, foot), 1)), dot(head, 16))


def _dot_plain(builder: Any, bits: int, total: Any, codes: Any, x: Any) -> Any:
    """Any processor: byte by byte."""
    kind = codes.type
    for k in range(4):
        code = builder.and_(builder.lshr(codes, each_lane(kind, 8 * k)), each_lane(kind, 255))
        byte = builder.ashr(builder.shl(x, each_lane(kind, 24 - 8 * k)), each_lane(kind, 24))
        total = builder.add(total, builder.mul(code, byte))
    return total


FORMS = Forms(
    {
        "vnni512": ([frozenset({"avx512vnni", "avx512bw"})], (16, _dot_in_one)),
        "vnni256": (
            [frozenset({"avxvnni"}), frozenset({"avx512vnni", "avx512vl"})],
            (8, _dot_in_one),
        ),
        "avx2": ([frozenset({"avx2"})], (8, _dot_in_pairs)),
        "plain": ([frozenset()], (8, _dot_plain)),
    }
)
"""The lanes of a vector and the product, by form."""


class Panel:
    """What the code for one panel is made with."""

    def __init__(self, builder: Any, bits: int) -> None:
        """Take the form that is chosen now."""
        self.builder, self.bits, self.form = builder, bits, FORMS.chosen
        self.lanes, self.dot = FORMS.form
        self.words = ir.VectorType(_I32, self.lanes)
        self.floats = ir.VectorType(_FLOAT, self.lanes)

    def load(self, pointer: Any, at: Any, kind: Any) -> Any:
        """A value of that kind, `at` bytes behind the pointer."""
        place = self.builder.gep(pointer, [at])
        loaded = self.builder.load(self.builder.bitcast(place, ir.PointerType(kind)))
        loaded.align = 1
        return loaded

    def spread(self, value: Any, kind: Any) -> Any:
        """A vector of one value."""
        empty = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(empty, value, ir.Constant(_I32, 0))
        zeros = ir.Constant(ir.VectorType(_I32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, empty, zeros)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """The sum of a product and a vector."""
        return call(self.builder, f"llvm.fma.v{self.lanes}f32", self.floats, [a, b, c])

    def add_group(self, sums: Any, dot: Any, scale: Any, least: Any, row: tuple[Any, Any]) -> Any:
        """The sums with those of a group, whose codes gave `dot`; `least` is for 4 bits.

        `row` is what the codes of the row are worth, and what it adds up to.
        """
        worth, total_of_x = row
        dot = self.builder.sitofp(dot, self.floats)
        if self.bits == 4:
            sums = self.fma(least, total_of_x, sums)
            return self.fma(scale, self.builder.fmul(dot, worth), sums)
        below = each_lane(self.floats, -float(OFFSETS[self.bits]))
        dot = self.fma(dot, worth, self.builder.fmul(below, total_of_x))
        return self.fma(scale, dot, sums)

    def chunks(self, codes: Any, at: Any) -> list[Any]:
        """The codes of a group in bytes: 8 vectors, of as many lanes as the form has."""
        builder, words = self.builder, self.words

        def part(index: int) -> Any:
            return self.load(codes, builder.add(at, ir.Constant(_I64, CHUNK * index)), words)

        def moved(vector: Any, by: int, mask: int) -> Any:
            if by:
                move = builder.shl if by > 0 else builder.lshr
                vector = move(vector, each_lane(words, abs(by)))
            return builder.and_(vector, each_lane(words, mask * 0x01010101))

        if self.bits == 8:
            return [part(index) for index in range(CHUNKS)]
        low = [part(index) for index in range(4)]
        feet = [moved(low[s % 4], -4 * (s // 4), 15) for s in range(CHUNKS)]
        if self.bits == 5:
            tops = [part(4)] * CHUNKS
            heads = [moved(tops[s], 4 - s, 16) for s in range(CHUNKS)]
        elif self.bits == 6:
            tops = [part(4), part(5)]
            heads = [moved(tops[s // 4], 4 - 2 * (s % 4), 48) for s in range(CHUNKS)]
        else:
            return feet
        return [builder.or_(foot, head) for foot, head in zip(feet, heads, strict=True)]


def panel_dots(bits: int, num_rows: int) -> Any:
    """Returns the intrinsic of a panel's codes with `num_rows` rows, to `out` [num_rows, PANEL].

    It takes addresses: of the panel's codes and scales, of the rows' codes [T, in], of what a row's
    codes are worth and add up to, float32 [T, in / 32] (for 6 bits in halves of a group), then the
    number of groups and the address of `out`.
    """
    halves = 2 if bits == 6 else 1

    @compiled_in
    def dots(
        typing: Any,
        codes: Any,
        scales: Any,
        x: Any,
        worths: Any,
        sums: Any,
        num_groups: Any,
        out: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            to_bytes = ir.PointerType(_BYTE)
            num_groups = args[5]
            pointers = [builder.inttoptr(args[k], to_bytes) for k in (0, 1, 2, 3, 4, 6)]
            codes, scales, x, worths, sums, out = pointers
            panel = Panel(builder, bits)
            floats, lanes = panel.floats, panel.lanes
            halves_of_lanes = ir.VectorType(_HALF, lanes)
            zero = each_lane(floats, 0.0)
            parts = PANEL // lanes
            totals = [
                [cgutils.alloca_once_value(builder, zero) for _ in range(num_rows)]
                for _ in range(parts)
            ]
            leasts = builder.add(
                builder.ptrtoint(scales, _I64),
                builder.mul(num_groups, ir.Constant(_I64, 2 * PANEL)),
            )
            leasts = builder.inttoptr(leasts, to_bytes)

            def of_row(row: int, at: Any, size: int) -> Any:
                length = times(builder, num_groups, size * row)
                return builder.add(at, length) if row else at

            def step(group: Any, part: int) -> None:
                start = times(builder, group, code_bytes(bits), 4 * lanes * part)
                unpacked = panel.chunks(codes, start)
                each = CHUNKS // halves
                for half in range(halves):
                    at = times(
                        builder, group, 2 * PANEL * halves, 2 * PANEL * half + 2 * lanes * part
                    )
                    scale = builder.fpext(panel.load(scales, at, halves_of_lanes), floats)
                    least = None
                    if bits == 4:
                        least = builder.fpext(panel.load(leasts, at, halves_of_lanes), floats)
                    for row in range(num_rows):
                        dot = each_lane(panel.words, 0)
                        for s in range(each * half, each * half + each):
                            where = of_row(row, times(builder, group, GROUP, 4 * s), GROUP)
                            word = panel.spread(panel.load(x, where, _I32), panel.words)
                            dot = panel.dot(builder, bits, dot, unpacked[s], word)
                        where = of_row(row, times(builder, group, 4), 4)
                        worth = panel.spread(panel.load(worths, where, _FLOAT), floats)
                        where = of_row(row, times(builder, group, 4 * halves, 4 * half), 4 * halves)
                        total_of_x = panel.spread(panel.load(sums, where, _FLOAT), floats)
                        place, own = totals[part][row], (worth, total_of_x)
                        total = panel.add_group(builder.load(place), dot, scale, least, own)
                        builder.store(total, place)

            def ask_for(pointer: Any, group: Any, size: int) -> None:
                for line in range(0, size, CHUNK):
                    at = times(builder, group, size, AHEAD + line)
                    prefetch(builder, builder.gep(pointer, [at]))

            with cgutils.for_range(builder, num_groups) as loop:
                ask_for(codes, loop.index, code_bytes(bits))
                ask_for(scales, loop.index, 2 * PANEL * halves)
                if bits == 4:
                    ask_for(leasts, loop.index, 2 * PANEL)
                for part in range(parts):
                    step(loop.index, part)
            for part in range(parts):
                for row in range(num_rows):
                    at = ir.Constant(_I64, 4 * (PANEL * row + lanes * part))
                    where = builder.bitcast(builder.gep(out, [at]), ir.PointerType(floats))
                    stored = builder.store(builder.load(totals[part][row]), where)
                    stored.align = 4
            return context.get_dummy_value()

        arguments = (types.intp,) * 7
        return types.void(*arguments), generate

    return dots
