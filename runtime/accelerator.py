"""Accelerator: whether there is a GPU that the kernels in Triton can run on, by what it can do."""

from __future__ import annotations

import importlib.util

import torch

from longctx.runtime.errors import ModelError
from longctx.runtime.memory import gib

DEVICES = ("cpu", "cuda")

# bfloat16 in the matrix units, and copies that run beside the arithmetic
LEAST_CAPABILITY = (8, 0)

# The result of tests/bench/gpu.py that shows the GPU path at work; a test holds this against
# the files that are there.
MEASURED: str | None = "gpu-h200.json"

# What tests/bench/gpu_checks.py checks, by its names there, and no GPU has run yet.
UNTRIED = {
    "store": "what it reads is kept on the disk",
    "rows": "several tokens of an answer are read at once",
}


def gpu_obstacle() -> str | None:
    """Returns why the GPU path cannot run on this machine; None when it can."""
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    found = torch.cuda.get_device_capability()
    if found < LEAST_CAPABILITY:
        return (
            f"{torch.cuda.get_device_name()} has compute capability {found[0]}.{found[1]}, "
            f"expected {LEAST_CAPABILITY[0]}.{LEAST_CAPABILITY[1]} or more"
        )
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed (pip install 'longctx-cli[gpu]')"
    return None


def check_device(name: str) -> torch.device:
    """Returns the device called `name`.

    Raises:
        ModelError: there is no such name, or the GPU path cannot run on this machine.
    """
    if name not in DEVICES:
        raise ModelError(f"device {name!r} is not one of {', '.join(DEVICES)}")
    obstacle = gpu_obstacle() if name == "cuda" else None
    if obstacle is not None:
        raise ModelError(f"no GPU can be used: {obstacle}", "leave out --device cuda")
    return torch.device(name)


def gpu_facts() -> str:
    """Returns what `longctx doctor` says of the GPU and of the path to it."""
    state = f"measured: {MEASURED}" if MEASURED else "GPU path: never run on a GPU"
    state += "".join(f"; not yet run on a GPU: {what}" for what in UNTRIED.values())
    obstacle = gpu_obstacle()
    if obstacle is not None:
        return f"none used: {obstacle}; {state}"
    free, _ = torch.cuda.mem_get_info()
    return f"{torch.cuda.get_device_name()}, {gib(free)} free (--device cuda); {state}"
