"""Numerics: which precision each part of the arithmetic runs in, chosen by capability."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch

from longctx.kernels.byte_linear import has_byte_products
from longctx.kernels.flash import has_flash, has_tile_products
from longctx.kernels.narrow_tiles import has_tiles
from longctx.runtime.errors import ModelError

Decoding = Literal["as read", "stored", "narrow", "int8", "int4"]
"""The weights that a decoded token meets: those of the prompt, those of the file, or `narrow`
ones: in 4 bits where the model was published so and else in 8, all in 8, or all in 4."""

Reading = Literal["stored", "tiles", "bytes", "narrow", "fp8"]
"""The weights that prompts meet: those of the file, those that answers meet, brought to bfloat16
or all to 8 bits or as they are, or on a GPU 8-bit floats."""

_DECODING: dict[str, Decoding] = {
    "float32": "as read",
    "mixed": "stored",
    "bfloat16": "stored",
    "narrow": "narrow",
    "int8": "int8",
    "int4": "int4",
}
NAMES = ("auto", *_DECODING)

# The weights of the layers in bfloat16, or in 8-bit floats.
ON_GPU = ("auto", "bfloat16", "fp8")


@dataclass(frozen=True, slots=True)
class Numerics:
    """A named choice of precision; `dtype` is that of the activations and of the KVCache.

    With `kv8` the KVCache is in 8 bits.
    """

    name: str
    dtype: torch.dtype
    decoding: Decoding
    reason: str = ""
    kv8: bool = False

    @property
    def narrow_bits(self) -> int | None:
        """How many bits the narrow weights have; None is what each matrix needs."""
        return {"int8": 8, "int4": 4}.get(self.decoding)

    @property
    def reading(self) -> Reading:
        """The weights that prompts meet."""
        if self.name == "fp8":
            return "fp8"
        if self.narrows and has_tile_products():
            return "tiles"
        if self.narrows and has_byte_products():
            return "bytes"
        return "narrow" if self.narrows and has_tiles() else "stored"

    @property
    def narrows(self) -> bool:
        """Whether decoded tokens meet weights in 4 or 8 bits."""
        return self.decoding in ("narrow", "int8", "int4")


def choose_numerics(name: str, *, kv8: bool = False) -> Numerics:
    """Returns the Numerics called `name`, the KVCache in 8 bits with `kv8`; "auto" is "narrow".

    Activations are in bfloat16 where the processor is fast at it, in float32 elsewhere. "narrow",
    "int8" and "int4" multiply prompts in tiles of bfloat16 or in bytes where the processor does so.

    Raises:
        ModelError: there is no such name.
    """
    if name == "fp8":
        raise ModelError("numerics 'fp8' is for a GPU", "add --device cuda, or take another")
    if name not in NAMES:
        raise ModelError(f"numerics {name!r} is not one of {', '.join(NAMES)}")
    return replace(_named("narrow" if name == "auto" else name), kv8=kv8)


def _named(name: str) -> Numerics:
    if name in ("float32", "mixed"):
        return Numerics(name, torch.float32, _DECODING[name], "asked for")
    if name == "bfloat16":
        return Numerics(name, torch.bfloat16, _DECODING[name], "asked for")
    if has_fast_bfloat16():
        reason = "prompts in bfloat16, which this CPU multiplies fast"
        if has_tile_products():
            reason = "prompts in bfloat16, which this CPU multiplies in tiles"
        elif has_byte_products():
            reason = "prompts in 8-bit integers and bfloat16, which this CPU multiplies fast"
        return Numerics(name, torch.bfloat16, _DECODING[name], reason)
    if has_tiles():
        reason = "prompts in 8-bit integers, which this CPU multiplies with few bits"
        dtype = torch.bfloat16 if has_flash() else torch.float32
        return Numerics(name, dtype, _DECODING[name], reason)
    reason = "prompts in float32, since this CPU has no products of bytes or bfloat16"
    return Numerics(name, torch.float32, _DECODING[name], reason)


def has_fast_bfloat16() -> bool:
    """Returns whether the CPU has matrix or dot-product instructions for bfloat16."""
    # torch has no public question for these
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in questions)
