"""Ends streamed text before a stop string, and where a model says the same over and over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

_LOOP = re.compile(r"(\S.{14,500}?)(?:\s*\1){2}\s*$", re.DOTALL)
_LOOP_CHARACTERS = 1_500
_SENTENCE_END = re.compile(r"[.;:!?\n。；！？]")


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


def until_loop(pieces: Iterable[str]) -> Iterator[str]:
    """Yields the pieces until their end says the same three times in a row."""
    tail = ""
    for piece in pieces:
        yield piece
        tail = (tail + piece)[-_LOOP_CHARACTERS:]
        if _SENTENCE_END.search(piece) and looped(tail):
            return


def looped(text: str) -> bool:
    """Whether the text ends with the same words three times in a row."""
    tail = text[-_LOOP_CHARACTERS:].rstrip()
    # nearly always the last words were not said before, and the search is slow
    return tail.count(tail[-10:]) > 2 and _LOOP.search(tail) is not None


def said_once(text: str) -> str:
    """The text with what it repeats at its end said once."""
    return _LOOP.sub(r"\1", text)


def _beginning(text: str, stop: Sequence[str]) -> int:
    """How many characters at the end of the text may be the beginning of a stop string."""
    longest = max(map(len, stop), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(end.startswith(text[-length:]) for end in stop):
            return length
    return 0
