"""Ctrl-C while an answer comes: a wish that is looked at where nothing is half done."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Self


class Stop:
    """As a context, turns SIGINT into a KeyboardInterrupt that only `check` raises.

    So the Engine is left between two tokens or two parts of a Step, and what it has read stays.
    """

    def __enter__(self) -> Self:
        """Take the signal over."""
        self._wished = False
        self._before = signal.signal(signal.SIGINT, self._wish)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the signal back."""
        signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self._wished:
            raise KeyboardInterrupt

    def _wish(self, number: int, frame: FrameType | None) -> None:
        self._wished = True
