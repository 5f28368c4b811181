"""Numerics: which precision each part of the arithmetic runs in, chosen by capability."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from longctx.runtime.errors import ModelError

NAMES = ("auto", "float32", "mixed", "bfloat16")


@dataclass(frozen=True, slots=True)
class Numerics:
    """A named choice of precision.

    `dtype` is that of the activations and of the KVCache. With `narrow_rows` a single row (a
    decoded token) meets the weights in their stored precision, which is a matter of bandwidth.
    """

    name: str
    dtype: torch.dtype
    narrow_rows: bool
    reason: str = ""


def choose_numerics(name: str) -> Numerics:
    """Returns the Numerics called `name`; "auto" asks the processor.

    Raises:
        ModelError: there is no such name.
    """
    if name == "auto":
        if has_fast_bfloat16():
            return Numerics("bfloat16", torch.bfloat16, True, "this CPU multiplies bfloat16 fast")
        return Numerics("mixed", torch.float32, True, "this CPU has no bfloat16 instructions")
    if name not in NAMES:
        raise ModelError(f"numerics {name!r} is not one of {', '.join(NAMES)}")
    if name == "bfloat16":
        return Numerics(name, torch.bfloat16, True, "asked for")
    return Numerics(name, torch.float32, name == "mixed", "asked for")


def has_fast_bfloat16() -> bool:
    """Returns whether the CPU has matrix or dot-product instructions for bfloat16."""
    # torch has no public question for these
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in questions)
