"""What keys and values depend on beside weights and token ids, as text that a chain is named by."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch

from longctx.kernels.sparse import Rule
from longctx.runtime.config import ModelConfig
from longctx.runtime.micro_batch import Reach
from longctx.runtime.numerics import Numerics
from longctx.runtime.prefix_chain import code_digest

_IN_EIGHT_BITS = ", 'kv': '8 bits'"


def settings_of(
    config: ModelConfig, reach: Reach, rule: Rule | None, numerics: Numerics, where: str = ""
) -> str:
    """Returns the settings of prompts that are read so: here, unless on what `where` names."""
    parts: dict[str, object] = {"config": config, "reach": reach, "rule": rule}
    parts["dtype"] = numerics.dtype
    # the weights that decoded tokens meet do not matter: prompts alone are stored
    parts["reading"] = numerics.reading
    if numerics.reading == "narrow":
        parts["bits"] = numerics.decoding
    settings = f"{parts}{_at(where or torch.backends.cpu.get_cpu_capability())}"
    return in_eight_bits(settings) if numerics.kv8 else settings


def in_eight_bits(settings: str) -> str:
    """Returns the settings of prompts that are read alike, but keep keys and values in 8 bits."""
    assert not are_eight_bits(settings), settings
    parts, end, rest = settings.rpartition("} torch ")
    return f"{parts}{_IN_EIGHT_BITS}{end}{rest}"


def are_eight_bits(settings: str) -> bool:
    """Returns whether keys and values are in 8 bits."""
    return f"{_IN_EIGHT_BITS}}} torch " in settings


def dtype_of(settings: str) -> str:
    """Returns the dtype of the activations: "bfloat16"."""
    found = re.search(r"'dtype': torch\.(\w+)", settings)
    return found[1] if found else "an unknown dtype"


def are_of_here(settings: str) -> bool:
    """Returns whether this code, this torch and this processor come to the same numbers."""
    return settings.endswith(_at(torch.backends.cpu.get_cpu_capability()))


def config_of(settings: str, configs: Iterable[ModelConfig]) -> ModelConfig | None:
    """Returns the one of `configs` that prompts were read with; None where it is another."""
    return next((one for one in configs if settings.startswith(f"{{'config': {one}, ")), None)


def _at(where: str) -> str:
    return f" torch {torch.__version__} on {where}, code {code_digest()}"
