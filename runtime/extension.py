"""Reading past the native window with a model whose makers do not stretch it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from longctx.runtime.config import ModelConfig, rope_kind
from longctx.runtime.errors import ModelError

NAMES = ("none", "dca", "yarn")

# The most native windows that are read: a million tokens of a model trained for 32,768.
MOST = 32
# The hidden size below which a model counts as small: 896 in the 0.5B, 1,536 in the 1.5B.
SMALL = 1_024
# What Qwen documents for its models of 32,768 tokens; more stretch costs accuracy near by.
YARN_FACTOR = 4


def extend(config: ModelConfig, name: str, window: int | None = None) -> ModelConfig:
    """Returns the ModelConfig as it reads past its native window, by the extension called `name`.

    "dca" cuts the text into Chunks so that no distance exceeds the native window, or half of it in
    small models, with a quarter of that as the local size: the same for every window, up to `MOST`
    native ones. "yarn"
    stretches by the least power of two that holds `window`, `YARN_FACTOR` unless given: the same
    token is another one under another factor, so it is never left to the length of a prompt. A
    model that its makers stretch this way already keeps their numbers.

    Raises:
        ModelError: there is no such extension, or its makers stretch the model another way.
    """
    if name not in NAMES:
        raise ModelError(f"extension {name!r} is not one of {', '.join(NAMES)}")
    own = _own_extension(config)
    if name == "none" or name == own:
        return config
    if own != "none":
        raise ModelError(
            f"the model is stretched by its own {own}, it cannot be read with {name}",
            "leave out --extend",
        )
    native = config.native_window
    if name == "dca":
        # at their longest distances small models find little: in the middle of 65,536 tokens the
        # 0.5B found a number with half of them, and with three quarters or all of them did not; of
        # 131,072 the 1.5B answered what was asked with all of them, and with half something else
        chunk = native // 2 if config.hidden_size < SMALL else native
        return replace(config, dual_chunk=(chunk, chunk // 4), window=MOST * native)
    if rope_kind(config.rope_scaling) != "default":
        raise ModelError(
            f"the model's rope type is {rope_kind(config.rope_scaling)!r}, yarn needs a plain one",
            "use --extend dca",
        )
    factor = _factor(native, window)
    scaling = {
        "rope_type": "yarn",
        "factor": float(factor),
        "original_max_position_embeddings": native,
    }
    return replace(config, rope_scaling=scaling, window=factor * native)


def extensions(config: ModelConfig) -> Iterator[ModelConfig]:
    """Yields every ModelConfig that `extend` makes of this one for some window."""
    native = config.native_window
    windows = [native << power for power in range(MOST.bit_length())]
    for name in NAMES:
        for window in windows if name == "yarn" else windows[:1]:
            with suppress(ModelError):
                yield extend(config, name, window)


def _own_extension(config: ModelConfig) -> str:
    """Returns the extension that the makers of a model chose for it."""
    if config.dual_chunk:
        return "dca"
    return "yarn" if rope_kind(config.rope_scaling) == "yarn" else "none"


def _factor(native: int, window: int | None) -> int:
    """Returns the least power of two, up to `MOST`, whose stretch holds `window`."""
    if window is None:
        return YARN_FACTOR
    factor = 1
    while factor * native < window and factor < MOST:
        factor *= 2
    return factor
