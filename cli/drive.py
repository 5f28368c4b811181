"""Drives a job: its Questions go to the engine, its Pieces to the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from longctx.prompts.question import (
    Answer,
    Correction,
    Heard,
    Job,
    Piece,
    Proofreading,
    Question,
    Result,
)


def drive(
    job: Job,
    ask: Callable[[Question], Answer],
    show: Callable[[Piece], None],
    *,
    ask_each: Callable[[Sequence[Question]], Sequence[Answer]] | None = None,
    proofread: Callable[[Proofreading], Sequence[Correction]] | None = None,
) -> Result:
    """The job's Result, after every Question was asked and every Piece was shown.

    Questions that do not wait for each other go to `ask_each`; without it one after another.
    """
    reply: Heard = None
    while True:
        try:
            said = job.send(reply)
        except StopIteration as stop:
            result = stop.value
            assert isinstance(result, Result)
            return result
        if isinstance(said, Question):
            reply = ask(said)
        elif isinstance(said, tuple):
            reply = ask_each(said) if ask_each else [ask(one) for one in said]
        elif isinstance(said, Proofreading):
            assert proofread is not None, "nobody to proofread"
            reply = proofread(said)
        else:
            show(said)
            reply = None
