"""Queries turned to their positions head by head, as attention reads them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from longctx.kernels.flash import can_flash
from longctx.kernels.rope import rotate


def turned_heads(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Returns the heads of x [T, H, D] rotated by cos and sin [T, D / 2], [H, T, D], as `rotate`.

    Of bfloat16 in one pass, each number rounded once.
    """
    if not can_flash(x):
        return rotate(x, cos, sin).transpose(0, 1).contiguous()
    from longctx.kernels.threads import use_threads
    from longctx.kernels.turn_loops import turn_heads

    threads = torch.get_num_threads()
    use_threads(threads)
    turned = np.empty((x.shape[1], x.shape[0], x.shape[2]), dtype=np.uint16)
    bits = x.contiguous().view(torch.uint16).numpy()
    turn_heads(bits, cos.numpy(), sin.numpy(), turned, threads)
    return torch.from_numpy(turned).view(torch.bfloat16)
