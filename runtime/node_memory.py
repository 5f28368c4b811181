"""The memory of a stored node: the KVCache's own, or where that is a GPU's, on the way there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class NodeMemory:
    """Runs of a KVCache as bytes that a file is written from or read into: `buffers`.

    Those on the host are used in place. Those on a device pass through memory of the host, pinned
    so that the device itself copies, on a stream of its own: whoever reads or writes a file never
    waits for what is computed meanwhile, and may do so from another thread.
    """

    def __init__(self, runs: Sequence[Tensor]) -> None:
        """Take room for the runs that are elsewhere; nothing is copied yet."""
        flat = [run.reshape(-1).view(torch.uint8) for run in runs]
        away = [run for run in flat if _is_away(run)]
        self._device = away[0].device if away else torch.device("cpu")
        room = torch.empty(sum(map(len, away)), dtype=torch.uint8, pin_memory=self._on_gpu)
        rooms = iter(torch.split(room, list(map(len, away))))
        self._pairs, self.buffers = list[tuple[Tensor, Tensor]](), list[memoryview]()
        for run in flat:
            if _is_away(run):
                self._pairs.append((run, next(rooms)))
                run = self._pairs[-1][1]
            self.buffers.append(run.numpy().data)

    @property
    def _on_gpu(self) -> bool:
        return self._device.type == "cuda"

    def fetch(self) -> None:
        """Bring what the runs hold into the buffers; it must have been computed by now."""
        self._copy([(room, run) for run, room in self._pairs])

    def bring(self) -> None:
        """Bring what the buffers hold into the runs."""
        self._copy(self._pairs)

    def _copy(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
        stream = torch.cuda.Stream(self._device) if self._on_gpu else None  # type: ignore[no-untyped-call]
        with torch.cuda.stream(stream):
            for target, source in pairs:
                target.copy_(source, non_blocking=True)
        if stream is not None:
            stream.synchronize()


def _is_away(run: Tensor) -> bool:
    return not run.is_cpu
