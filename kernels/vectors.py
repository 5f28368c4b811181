"""Vectors of the processor, as the compiled loops build them: types, loads, stores, calls.

numba makes loops of scalars; where they must be the processor's own instructions on vectors, they
are written with llvmlite through these.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils as typed_cgutils
from numba.core import config as typed_config
from numba.core import types as typed_types
from numba.extending import intrinsic

from longctx.kernels.forms import processor

# numba's own annotations are of the compiler's insides
cgutils: Any = typed_cgutils
types: Any = typed_types
compiled_in: Any = intrinsic

_config: Any = typed_config
if _config.CPU_FEATURES is None and _config.ENABLE_AVX:
    # loops are kept by what they were compiled for: those with tiles must not be found where the
    # system no longer lets them be used
    _config.CPU_FEATURES = processor().flatten()

LANES = 16


class BFloat(ir.types.Type):  # type: ignore[misc]
    """The type that llvmlite has no name for."""

    null = "0.0"

    def __str__(self) -> str:
        """Its name in LLVM."""
        return "bfloat"

    _to_string = __str__

    def __eq__(self, other: object) -> bool:
        """Whether `other` is the type too."""
        return isinstance(other, BFloat)

    def __hash__(self) -> int:
        """Returns the same for all of them."""
        return hash("bfloat")


FLOAT, I16, I32, I64 = ir.FloatType(), ir.IntType(16), ir.IntType(32), ir.IntType(64)
FLOATS, WORDS = ir.VectorType(FLOAT, LANES), ir.VectorType(I32, LANES)
PAIRS, HALVES = ir.VectorType(BFloat(), 32), ir.VectorType(I16, 32)


def call(builder: Any, name: str, result: Any, args: list[Any]) -> Any:
    """Returns the result of an intrinsic of LLVM."""
    kind = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def prefetch(builder: Any, pointer: Any) -> None:
    """Have the line of cache at `pointer` brought near, to be read soon.

    That is to the second level: of what comes to the first a core waits for some twenty lines at
    once, which are too few to keep the memory busy.
    """
    to_second = [ir.Constant(I32, of) for of in (0, 2, 1)]
    call(builder, "llvm.prefetch.p0", ir.VoidType(), [pointer, *to_second])


def place(builder: Any, pointer: Any, offset: Any, kind: Any) -> Any:
    """Returns the pointer to a `kind` that lies `offset` elements after `pointer`."""
    if isinstance(offset, int):
        offset = ir.Constant(I64, offset)
    return builder.bitcast(builder.gep(pointer, [offset]), ir.PointerType(kind))


def load(builder: Any, pointer: Any, kind: Any, offset: Any, align: int = 64) -> Any:
    """Returns the `kind` that lies `offset` elements after `pointer`."""
    loaded = builder.load(place(builder, pointer, offset, kind))
    loaded.align = align
    return loaded


def store(builder: Any, value: Any, pointer: Any, offset: Any) -> None:
    """Put a whole vector `offset` elements after `pointer`, where a line of cache begins."""
    builder.store(value, place(builder, pointer, offset, value.type)).align = 64


def splat(builder: Any, value: Any) -> Any:
    """Returns a vector of one value."""
    nothing = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(WORDS, [0] * LANES))


def every(value: float) -> Any:
    """Returns a vector of one constant."""
    return ir.Constant(FLOATS, [value] * LANES)


def fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Returns a * b + c, rounded once."""
    return call(builder, "llvm.fma.v16f32", FLOATS, [a, b, c])


def shuffled(builder: Any, one: Any, other: Any, picked: list[int]) -> Any:
    """Returns the elements of two vectors that are picked."""
    mask = ir.Constant(ir.VectorType(I32, len(picked)), picked)
    return builder.shuffle_vector(one, other, mask)


def rounded(builder: Any, low: Any, high: Any) -> Any:
    """Returns 32 floats in bfloat16, `low` in the lower words: one instruction of AVX512-BF16."""
    name = "llvm.x86.avx512bf16.cvtne2ps2bf16.512"
    return builder.bitcast(call(builder, name, PAIRS, [high, low]), WORDS)


def widened(builder: Any, pointer: Any, offset: Any) -> Any:
    """Returns 16 numbers of bfloat16 from `offset` words on as floats."""
    halves = load(builder, pointer, ir.VectorType(I16, LANES), offset, 2)
    high = builder.shl(builder.zext(halves, WORDS), ir.Constant(WORDS, [16] * LANES))
    return builder.bitcast(high, FLOATS)


def times(builder: Any, index: Any, factor: int, more: int = 0) -> Any:
    """Returns index * factor + more."""
    product = builder.mul(index, ir.Constant(I64, factor))
    return builder.add(product, ir.Constant(I64, more)) if more else product


@compiled_in
def words(typing: Any, address: Any) -> Any:
    """The words of 32 bits at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.PointerType(I32))

    return types.CPointer(types.uint32)(address), generate


@compiled_in
def floats(typing: Any, address: Any) -> Any:
    """The floats at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.PointerType(FLOAT))

    return types.CPointer(types.float32)(address), generate


@compiled_in
def after(typing: Any, pointer: Any, count: Any) -> Any:
    """The pointer `count` elements further on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.intp), generate


@compiled_in
def ask_for(typing: Any, address: Any) -> Any:
    """Has the line of cache at an address brought near, to be read soon."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        prefetch(builder, builder.inttoptr(args[0], ir.PointerType(ir.IntType(8))))
        return context.get_dummy_value()

    return types.void(types.intp), generate


@compiled_in
def take(typing: Any, counter: Any, count: Any) -> Any:
    """Adds to the first of an array in one step of all threads; returns what it was."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.atomic_rmw("add", array.data, args[1], "monotonic")

    return types.intp(counter, types.intp), generate
