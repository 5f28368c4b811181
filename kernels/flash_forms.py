"""The forms that the loops of `flash` come in: which instructions multiply, and on what lay-out.

Keys, values and queries are stored in bfloat16 in all of them. A number of bfloat16 is the upper
half of one of float32, so that it costs a shift to widen what nothing multiplies in pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from longctx.kernels.forms import Forms
from longctx.kernels.tiles import COLUMNS, SIDE
from longctx.kernels.vectors import (
    FLOATS,
    I16,
    I32,
    LANES,
    PAIRS,
    WORDS,
    call,
    every,
    fma,
    rounded,
    store,
    times,
)

BLOCK = 64


@dataclass(frozen=True, slots=True)
class Form:
    """How products are made: of words of 32 bits that hold `in_word` numbers each.

    `panel` columns lie beside each other, and `rows` rows meet `vectors` vectors of them at once:
    as many sums as registers hold. `add_products` adds to floats the products of a row's word, in
    all lanes, with a vector of their words; `in_tiles`, whole tiles do all that. The scores of
    `weighed` rows become weights together: `add_exponent` returns power * 2^whole for what is not
    below `least`, and 0 for that, and `keep` puts a row of weights into words.
    """

    in_word: int
    panel: int
    rows: int
    weighed: int
    vectors: int
    least: float
    add_products: Callable[[Any, Any, Any, Any], Any]
    add_exponent: Callable[[Any, Any, Any], Any]
    keep: Callable[[Any, Any, Any, Any], None]
    in_tiles: bool = False


def _add_pairs(builder: Any, sums: Any, factors: Any, vector: Any) -> Any:
    """AVX512-BF16: one instruction for pairs of bfloat16."""
    pairs = [builder.bitcast(words, PAIRS) for words in (factors, vector)]
    return call(builder, "llvm.x86.avx512bf16.dpbf16ps.512", FLOATS, [sums, *pairs])


def _add_floats(builder: Any, sums: Any, factors: Any, vector: Any) -> Any:
    """AVX2 and FMA: numbers of float32, in two halves."""
    return fma(builder, builder.bitcast(factors, FLOATS), builder.bitcast(vector, FLOATS), sums)


def _scale(builder: Any, power: Any, whole: Any) -> Any:
    """AVX-512: one instruction, in all lanes and rounded as usual."""
    how = [ir.Constant(FLOATS, ir.Undefined), ir.Constant(I16, -1), ir.Constant(I32, 4)]
    return call(builder, "llvm.x86.avx512.mask.scalef.ps.512", FLOATS, [power, whole, *how])


def _shift(builder: Any, power: Any, whole: Any) -> Any:
    """Any processor: a product with the float that has the exponent, 0 for 2^-127."""
    # added to this, an integer and the bias of exponents are the lowest bits
    raised = builder.fadd(whole, every(1.5 * 2**23 + 127))
    exponent = builder.shl(builder.bitcast(raised, WORDS), ir.Constant(WORDS, [23] * WORDS.count))
    # what is not a number comes out of the product
    return builder.fmul(power, builder.bitcast(exponent, FLOATS))


def _keep_rounded(builder: Any, weights: list[Any], to: Any, offset: Any) -> None:
    """AVX512-BF16: in bfloat16."""
    for n in range(0, len(weights), 2):
        both = rounded(builder, weights[n], weights[n + 1])
        store(builder, both, to, times(builder, offset, 1, n * LANES // 2))


def _keep(builder: Any, weights: list[Any], to: Any, offset: Any) -> None:
    """Any processor: as they are."""
    for n, vector in enumerate(weights):
        store(builder, builder.bitcast(vector, WORDS), to, times(builder, offset, 1, n * LANES))


FORMS = Forms(
    {
        # a tile has 16 rows
        "amx": (
            [frozenset({"amx-bf16", "amx-tile", "avx512bf16"})],
            Form(2, COLUMNS, SIDE, 8, 4, -150.0, _add_pairs, _scale, _keep_rounded, in_tiles=True),
        ),
        # 16 of 32 registers hold sums: 7 queries of a KV head fill nearly all rows, and 24 sums
        # of 6 rows are no faster
        "avx512bf16": (
            [frozenset({"avx512bf16"})],
            Form(2, 64, 8, 8, 2, -150.0, _add_pairs, _scale, _keep_rounded),
        ),
        # 12 of 16 do, each of 8 floats
        "avx2": (
            [frozenset({"avx2", "fma"})],
            Form(1, 16, 6, 6, 1, -127.0, _add_floats, _shift, _keep),
        ),
    }
)
