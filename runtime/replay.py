"""Replay: one token's hundreds of small launches on a GPU as a single one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from longctx.kernels.turns import Turns


class Replay:
    """A piece of fixed length as a CUDA graph: launched as a whole, its inputs copied in."""

    def __init__(self, piece: Callable[[Tensor, Turns], Tensor], ids: Tensor, turns: Turns) -> None:
        """Run the piece so that its kernels are tuned, then record it."""
        self.ids = ids.clone()
        tensors = ("bounds", "cos", "sin", "key_cos", "key_sin")
        self.turns = replace(turns, **{name: getattr(turns, name).clone() for name in tensors})
        # it writes the same keys to the same place each time
        piece(self.ids, self.turns)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        # other threads may bring what was read to the disk meanwhile
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.logits = piece(self.ids, self.turns)

    def __call__(self, ids: Tensor, turns: Turns) -> Tensor:
        """Returns the logits [T, V] after `ids`; they are overwritten by the next call."""
        self.ids.copy_(ids)
        self.turns.copy_(turns)
        self.graph.replay()
        return self.logits
