"""The loops of `narrow`, compiled for the processor at first use and kept by numba beside it.

The inner product is written in vectors of 8, which numba's own loops are not made into: a code is
masked where it stands in its word and made a float there, so that 32 weights cost 12 instructions
and no shuffles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba.core import cgutils as typed_cgutils
from numba.core import config as typed_config
from numba.core import types as typed_types
from numba.extending import intrinsic

# numba's own annotations are of the compiler's insides
cgutils: Any = typed_cgutils
config: Any = typed_config
types: Any = typed_types
_compiled_in: Any = intrinsic

# numba starts its threads now, and so sets the number that torch goes by where they share a pool
_threads = torch.get_num_threads()
numba.set_num_threads(config.NUMBA_NUM_THREADS)
torch.set_num_threads(_threads)

_LANES = 8
_HALF, _FLOAT = ir.HalfType(), ir.FloatType()
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_WORDS = ir.VectorType(_I32, _LANES)
_FLOATS = ir.VectorType(_FLOAT, _LANES)
_HALVES = ir.VectorType(_HALF, _LANES)


def use_threads(count: int) -> None:
    """Let the loops run on `count` threads, or as many as there are cores."""
    count = min(count, config.NUMBA_NUM_THREADS)
    if numba.get_num_threads() != count:
        numba.set_num_threads(count)


def _each(value: int) -> Any:
    return ir.Constant(_WORDS, [value] * _LANES)


def _load(builder: Any, pointer: Any, kind: Any, index: Any, align: int) -> Any:
    place = builder.bitcast(builder.gep(pointer, [index]), ir.PointerType(kind))
    loaded = builder.load(place)
    loaded.align = align
    return loaded


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
    function = cgutils.get_or_insert_function(
        builder.function.module, kind, f"llvm.fma.v{_LANES}f32"
    )
    return builder.call(function, [a, b, c])


def _sum(builder: Any, vector: Any) -> Any:
    kind = ir.FunctionType(_FLOAT, [_FLOAT, _FLOATS])
    name = f"llvm.vector.reduce.fadd.v{_LANES}f32"
    function = cgutils.get_or_insert_function(builder.function.module, kind, name)
    return builder.call(function, [ir.Constant(_FLOAT, 0.0), vector], fastmath=("reassoc",))


def _splat(builder: Any, value: Any) -> Any:
    first = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, first, _each(0))


def _scaled_dots(bits: int, num_rows: int) -> Any:
    """Returns the intrinsic of a row's codes, each group times its scale, with rows of floats.

    Each code is unpacked once for all `num_rows` rows, whose sums go to `out`.
    """
    per_word = 32 // bits

    @_compiled_in
    def dots(typing: Any, codes: Any, scales: Any, x: Any, size: Any, runs: Any, out: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            codes, scales, x, size, num_runs, out = args
            zero = ir.Constant(_FLOATS, [0.0] * _LANES)
            totals = [cgutils.alloca_once_value(builder, zero) for _ in range(num_rows)]

            def place(run: Any, each: int, more: int) -> Any:
                start = builder.mul(run, ir.Constant(_I64, each))
                return builder.add(start, ir.Constant(_I64, more))

            with cgutils.for_range(builder, num_runs) as loop:
                words = _load(builder, codes, _WORDS, place(loop.index, _LANES, 0), 4)
                for group in range(per_word // 4):
                    products = [zero] * num_rows
                    for k in range(4 * group, 4 * group + 4):
                        if k == per_word - 1:
                            code = builder.lshr(words, _each(32 - bits))
                        else:
                            code = builder.and_(words, _each(((1 << bits) - 1) << bits * k))
                        code = builder.sitofp(code, _FLOATS)
                        at = place(loop.index, _LANES * per_word, _LANES * k)
                        for row in range(num_rows):
                            factor = _load(builder, x, _FLOATS, at, 4)
                            products[row] = _fma(builder, code, factor, products[row])
                            at = builder.add(at, size)
                    at = place(loop.index, per_word // 4, group)
                    half = _load(builder, scales, _HALF, at, 2)
                    scale = _splat(builder, builder.fpext(half, _FLOAT))
                    for total, product in zip(totals, products, strict=True):
                        builder.store(_fma(builder, scale, product, builder.load(total)), total)
            for row, total in enumerate(totals):
                where = builder.gep(out, [ir.Constant(_I64, row)])
                builder.store(_sum(builder, builder.load(total)), where)
            return context.get_dummy_value()

        return types.void(codes, scales, x, size, runs, out), generate

    return dots


@_compiled_in
def _half_dot(typing: Any, halves: Any, x: Any, num_runs: Any) -> Any:
    """The inner product of float16 bit patterns with floats, in runs of 8."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        halves, x, num_runs = args
        total = cgutils.alloca_once_value(builder, ir.Constant(_FLOATS, [0.0] * _LANES))
        with cgutils.for_range(builder, num_runs) as loop:
            at = builder.mul(loop.index, ir.Constant(_I64, _LANES))
            wide = builder.fpext(_load(builder, halves, _HALVES, at, 2), _FLOATS)
            factor = _load(builder, x, _FLOATS, at, 4)
            builder.store(_fma(builder, wide, factor, builder.load(total)), total)
        return _sum(builder, builder.load(total))

    return types.float32(halves, x, num_runs), generate


@_compiled_in
def _from(typing: Any, array: Any, index: Any) -> Any:
    """A pointer to the element of a flat array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.gep(array.data, [args[1]])

    return types.CPointer(array.dtype)(array, types.intp), generate


@numba.njit(error_model="numpy")
def _prepared(rows: Any, bits: int, num_leasts: int) -> Any:
    """Returns the rows divided by what codes are worth where they stand, and the sums of groups."""
    scaled = np.empty_like(rows)
    sums = np.zeros((len(rows), num_leasts), dtype=np.float32)
    per_word = 32 // bits
    for t in range(len(rows)):
        for run in range(rows.shape[1] // 8):
            # the highest code of a word is moved to its foot instead
            k = run % per_word % (per_word - 1)
            worth = np.float32(2.0 ** (-bits * k))
            for i in range(8 * run, 8 * run + 8):
                scaled[t, i] = rows[t, i] * worth
                sums[t, run // 4] += rows[t, i]
    return scaled, sums


def _multiply(bits: int) -> Callable[..., Any]:
    """Returns the loop over rows of a matrix in so many bits."""
    one, four, run = _scaled_dots(bits, 1), _scaled_dots(bits, 4), _LANES

    @numba.njit(parallel=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
    def loop(codes: Any, scales: Any, leasts: Any, units: Any, rows: Any) -> Any:
        num_rows, num_words = codes.shape
        num_groups, num_leasts = scales.shape[1], leasts.shape[1]
        x, sums = _prepared(rows, bits, num_leasts)
        num_tokens, width = x.shape
        out = np.empty((num_rows, num_tokens), dtype=np.float32)
        for row in numba.prange(num_rows):
            code, scale = _from(codes, row * num_words), _from(scales, row * num_groups)
            t, runs = 0, num_words // run
            while t < num_tokens:
                found = _from(out, row * num_tokens + t)
                if t + 4 <= num_tokens:
                    four(code, scale, _from(x, t * width), width, runs, found)
                    t += 4
                else:
                    one(code, scale, _from(x, t * width), width, runs, found)
                    t += 1
            least = _from(leasts, row * num_leasts)
            for t in range(num_tokens):
                sum_of_leasts = _half_dot(least, _from(sums, t * num_leasts), num_leasts // run)
                out[row, t] = (out[row, t] + sum_of_leasts) * units[row]
        return out

    return loop


multiply_4 = _multiply(4)
multiply_8 = _multiply(8)


_FAST: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nnan", "ninf", "nsz", "arcp"},
}


@numba.njit(parallel=True, cache=True, **_FAST)
def quantize(weight: Any, bits: int, codes: Any, scales: Any, leasts: Any) -> int:
    """Fill codes, scales and leasts; returns how many groups miss their levels by over 2^-7."""
    num_rows, width = weight.shape
    per_word = 32 // bits
    misfits = 0
    for row in numba.prange(num_rows):
        found = np.empty(32, dtype=np.int32)
        for group in range(width // 32):
            values = weight[row, 32 * group : 32 * group + 32]
            low, high = _ends(values)
            allowed = np.float32(1) if bits == 8 else max(-low, high) / np.float32(128)
            # a group need not use the lowest and the highest of its levels
            for top in range(2**bits - 1, 2 ** (bits - 1) - 2, -1):
                step = (high - low) / np.float32(top)
                if _encode(values, low, step, found) <= allowed:
                    break
            else:
                misfits += 1
                step = (high - low) / np.float32(2**bits - 1)
                _encode(values, low, step, found)
            scales[row, group], leasts[row, group] = _fitted(values, found, low, step)
            for k in range(4):
                place = 4 * group + k
                at = place // per_word * 8
                shift = np.uint32(place % per_word * bits)
                for i in range(8):
                    codes[row, at + i] |= np.uint32(found[8 * k + i]) << shift
    return misfits


@numba.njit(**_FAST)
def _ends(values: Any) -> Any:
    """Returns the least and the greatest of a group."""
    low = high = values[0]
    for i in range(32):
        low, high = min(low, values[i]), max(high, values[i])
    return low, high


@numba.njit(**_FAST)
def _encode(values: Any, low: Any, step: Any, codes: Any) -> Any:
    """Fill the codes of a group; returns how far the worst value lies from its level."""
    inverse = np.float32(0) if step == 0 else np.float32(1) / step
    for i in range(32):
        codes[i] = np.int32((values[i] - low) * inverse + np.float32(0.5))
    worst = np.float32(0)
    for i in range(32):
        worst = max(worst, abs(values[i] - low - step * np.float32(codes[i])))
    return worst


@numba.njit(**_FAST)
def _fitted(values: Any, codes: Any, low: Any, step: Any) -> Any:
    """Returns the scale and least with the smallest squared error for these codes."""
    mean = mean_code = np.float32(0)
    for i in range(32):
        mean += values[i]
        mean_code += np.float32(codes[i])
    mean, mean_code = mean / np.float32(32), mean_code / np.float32(32)
    spread = shared = np.float32(0)
    for i in range(32):
        off = np.float32(codes[i]) - mean_code
        spread += off * off
        shared += off * (values[i] - mean)
    if spread == 0:
        return step, low
    return shared / spread, mean - mean_code * (shared / spread)
