"""Drives a job: its Questions go to the engine, its Pieces to the screen."""

from __future__ import annotations

from collections.abc import Callable

from longctx.prompts.question import Answer, Job, Piece, Question, Result


def drive(job: Job, ask: Callable[[Question], Answer], show: Callable[[Piece], None]) -> Result:
    """The job's Result, after every Question was asked and every Piece was shown."""
    reply: Answer | None = None
    while True:
        try:
            said = job.send(reply)
        except StopIteration as stop:
            result = stop.value
            assert isinstance(result, Result)
            return result
        if isinstance(said, Question):
            reply = ask(said)
        else:
            show(said)
            reply = None
