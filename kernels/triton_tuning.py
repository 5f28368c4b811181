"""How a Triton kernel is launched: with the fastest of its configurations on this device.

The configurations that fit a shape are timed once per device and shape, and Triton keeps what it
found on disk. Its interpreter, which runs kernels on a CPU without a compiler, takes the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import triton

Fits = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]
"""Whether a configuration, given first, is for a launch with these arguments."""


def interpreted() -> bool:
    """Returns whether kernels run in Triton's interpreter (TRITON_INTERPRET=1)."""
    return bool(triton.knobs.runtime.interpret)


def allow_descriptors(device: torch.device) -> None:
    """Give programs memory on `device` to describe their tiles to the copy engine in."""
    triton.set_allocator(
        lambda size, alignment, stream: torch.empty(size, dtype=torch.int8, device=device)
    )


def tuned(
    configs: Sequence[triton.Config], key: Sequence[str], fits: Fits
) -> Callable[[Any], Tuned]:
    """Returns a decorator that makes a Tuned of a kernel, timed anew for each value of `key`."""
    return lambda kernel: Tuned(kernel, configs, key, fits)


class Tuned:
    """A kernel and its configurations."""

    def __init__(
        self, kernel: Any, configs: Sequence[triton.Config], key: Sequence[str], fits: Fits
    ) -> None:
        """Nothing is timed before the first launch."""
        self.kernel, self.configs, self.fits = kernel, list(configs), fits

        def prune(
            configs: list[triton.Config], named: Mapping[str, Any], **meta: Any
        ) -> list[triton.Config]:
            return [one for one in configs if fits(one.kwargs, {**named, **meta})]

        self._timed = triton.autotune(
            self.configs,
            list(key),
            prune_configs_by={"early_config_prune": prune},
            cache_results=True,
        )(kernel)

    def __call__(self, grid: Callable[[Mapping[str, Any]], tuple[int, ...]], **args: Any) -> None:
        """Launch; `grid` gets the arguments together with those of the configuration."""
        if not interpreted():
            self._timed[grid](**args)
            return
        config = next(one for one in self.configs if self.fits(one.kwargs, args))
        whole = {**args, **config.kwargs}
        self.kernel[grid(whole)](**whole)
