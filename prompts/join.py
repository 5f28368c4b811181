"""Joins notes into one text, in rounds where they are too long for one question."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from longctx.prompts.pack import Pack
from longctx.prompts.question import Question, Task

# A question over notes needs no documents before it.
NO_DOCUMENTS = Pack(text="", parts=(), num_tokens=0, runs=())
# Notes joined in one question.
JOIN_CHARACTERS = 8_000


def join(
    notes: Sequence[str],
    ask: Callable[[str], str],
    *,
    max_tokens: int,
    label: str,
    stream: bool = True,
) -> Task[str]:
    """One text made of all notes; `ask` makes the question of the notes in one batch.

    The words of the last round stream as the job's own output unless told otherwise.
    """
    batches = _batches(notes)
    while len(batches) > 1:
        shorter: list[str] = []
        for number, batch in enumerate(batches, 1):
            phase = f"{label}, {number} of {len(batches)}"
            said = yield Question(NO_DOCUMENTS, ask("\n".join(batch)), max_tokens, label=phase)
            assert said is not None
            shorter.append(f"- {said.text.strip()}")
        batches = _batches(shorter)
    text = ask("\n".join(batches[0]))
    said = yield Question(NO_DOCUMENTS, text, max_tokens, stream=stream, label=label)
    assert said is not None
    return said.text.strip()


def _batches(notes: Sequence[str]) -> list[list[str]]:
    """The notes in runs of about `JOIN_CHARACTERS`, at least two in each but the last."""
    batches: list[list[str]] = [[]]
    for note in notes:
        batch = batches[-1]
        if len(batch) > 1 and sum(map(len, batch)) + len(note) > JOIN_CHARACTERS:
            batches.append([note])
        else:
            batch.append(note)
    return batches
