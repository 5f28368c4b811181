"""The threads of the compiled loops: as many as torch has."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from typing import Any

import numba
import torch
from numba.core import config as typed_config

# numba's own annotations are of the compiler's insides
_config: Any = typed_config

if sys.platform == "linux":
    # numba would bring an OpenMP library of its own, and the idle threads of either, which wait
    # without rest, would hold up those of the other: torch's is shown to it first
    with suppress(OSError):
        ctypes.CDLL("libgomp.so.1", mode=ctypes.RTLD_GLOBAL)

# numba starts its threads now, and so sets the number that torch goes by where they share a pool
_threads = torch.get_num_threads()
numba.set_num_threads(_config.NUMBA_NUM_THREADS)
torch.set_num_threads(_threads)


def use_threads(count: int) -> None:
    """Let the loops run on `count` threads, or as many as there are cores."""
    count = min(count, _config.NUMBA_NUM_THREADS)
    if numba.get_num_threads() != count:
        numba.set_num_threads(count)
