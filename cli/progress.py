"""How far a run is, on stderr: a bar with the time left, or plain lines where nothing is live."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from longctx.cli.screen import Screen, clean

PLAIN_LINE_SECONDS = 10.0


class Progress(Protocol):
    """A run's phases and how far each is."""

    def update(self, phase: str, done: int, total: int, unit: str = "") -> None:
        """Tell that `done` of `total` are done in the phase; a new name begins a new phase."""

    def pause(self) -> None:
        """Clear the line for other text."""


def open_progress(screen: Screen, *, now: Callable[[], float] = time.monotonic) -> Progress:
    """The Progress that fits the Screen's stderr; the Screen pauses it before it writes."""
    progress: Progress = LiveProgress(screen) if screen.live else PlainProgress(screen, now=now)
    if screen.quiet:
        progress = SilentProgress()
    screen.before_write = progress.pause
    return progress


class SilentProgress:
    """Nothing."""

    def update(self, phase: str, done: int, total: int, unit: str = "") -> None:
        """Say nothing."""

    def pause(self) -> None:
        """Leave nothing to clear."""


class PlainProgress:
    """One line when work of a new kind begins, and then at most one in ten seconds.

    The first word of a phase is its kind: a thousand files "reviewed" are one kind of work.
    """

    def __init__(self, screen: Screen, *, now: Callable[[], float]) -> None:
        """Write to the Screen's stderr."""
        self._stream = screen.err
        self._now = now
        self._kinds: set[str] = set()
        self._phase = ""
        self._began = self._told = now()
        self._first = 0

    def update(self, phase: str, done: int, total: int, unit: str = "") -> None:
        """Write a line if one is due."""
        now = self._now()
        if phase != self._phase:
            self._phase, self._began, self._first = phase, now, done
        kind = phase.split()[0]
        if kind in self._kinds and now - self._told < PLAIN_LINE_SECONDS:
            return
        self._kinds.add(kind)
        self._told = now
        share = f": {done:,} of {total:,} {unit}{self._left(done, total)}" if total else ""
        self._stream.write(f"{clean(phase + share)}\n")
        self._stream.flush()

    def pause(self) -> None:
        """Leave whole lines alone."""

    def _left(self, done: int, total: int) -> str:
        """The time left at the speed of this phase so far."""
        if done <= self._first or done >= total:
            return ""
        seconds = (self._now() - self._began) / (done - self._first) * (total - done)
        return f", about {duration(seconds)} left"


class LiveProgress:
    """A bar of rich that goes away when it is done."""

    def __init__(self, screen: Screen) -> None:
        """Draw on the Screen's stderr."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(
            file=screen.err,
            force_terminal=True,
            no_color=not screen.colors,
            markup=False,
            highlight=False,
            emoji=False,
        )
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%", markup=False),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._phase = ""
        self._running = False

    def update(self, phase: str, done: int, total: int, unit: str = "") -> None:
        """Move the bar."""
        if phase != self._phase or not self._bars.tasks:
            for task in self._bars.task_ids:
                self._bars.remove_task(task)
            self._bars.add_task(clean(phase), total=total or None)
            self._phase = phase
        self._bars.update(self._bars.task_ids[0], completed=done, total=total or None)
        if not self._running:
            self._bars.start()
            self._running = True

    def pause(self) -> None:
        """Take the bar away until the next update."""
        if self._running:
            self._bars.stop()
            self._running = False


def duration(seconds: float) -> str:
    """Seconds in words: `40 s`, `3 min`, `1 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
