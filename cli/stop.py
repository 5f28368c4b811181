"""Ends streamed text before a stop string, wherever the pieces are cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def until_stop(pieces: Iterable[str], stop: Sequence[str]) -> Iterator[str]:
    """Yields the text of the pieces up to the first stop string; no piece is asked for after it.

    What may be the beginning of a stop string waits for the next piece.
    """
    held = ""
    for piece in pieces:
        held += piece
        found = [at for at in map(held.find, stop) if at >= 0]
        if found:
            yield held[: min(found)]
            return
        ready = len(held) - _beginning(held, stop)
        if ready:
            yield held[:ready]
        held = held[ready:]
    if held:
        yield held


def _beginning(text: str, stop: Sequence[str]) -> int:
    """How many characters at the end of the text may be the beginning of a stop string."""
    longest = max(map(len, stop), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(end.startswith(text[-length:]) for end in stop):
            return length
    return 0
