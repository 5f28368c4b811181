"""The job of one turn of a conversation: an answer to what follows all that was said before."""

from __future__ import annotations

from collections.abc import Sequence

from longctx.prompts import reply
from longctx.prompts.ask import ABSENT, BEFORE, SOURCES, evidence
from longctx.prompts.chance import chance_of_yes
from longctx.prompts.look_again import look_again
from longctx.prompts.pack import Pack
from longctx.prompts.passages import BESIDE, beside, marks
from longctx.prompts.proof import missing
from longctx.prompts.question import Answer, Job, Question, Result, Turn
from longctx.prompts.template import fill


def asked(question: str, passages: str = "") -> str:
    """The question as it is put to the model, with passages beside it or without."""
    return fill("ask", beside=passages, question=question)


def chat(
    pack: Pack,
    question: str,
    earlier: Sequence[Turn],
    *,
    max_tokens: int = 512,
    about: str = "",
    near: int = BESIDE,
    least: float = 0.0,
) -> Job:
    """The answer to the question with its Citations.

    Beside it stand `near` characters of passages, sought by what else it is `about`, too. With a
    `least` chance the model is asked before for that of an answer being there, and below it there
    is none; and after for the chance that the answer is right by its Citations alone.
    """
    passages, turns = beside(pack, f"{question} {about}", most=near), tuple(earlier)
    chances: dict[str, float] = {}
    if least > 0:
        gate = fill("ask_before", beside=passages, question=question)
        chances[BEFORE] = yield from chance_of_yes(pack, gate, "answering", turns)
        if chances[BEFORE] < least:
            return Result("chat", text=ABSENT, counts={"quotes_not_found": 0}, chances=chances)
    said = yield Question(
        pack,
        asked(question, passages),
        max_tokens,
        stop=marks(pack),
        turns=turns,
        stream=True,
        label="answering",
    )
    assert isinstance(said, Answer)
    if reply.is_absent(said.text):
        return Result("chat", text=said.text, counts={"quotes_not_found": 0}, chances=chances)
    citations, dropped = yield from evidence(pack, question, said.text)
    if least > 0:
        whole = f"{about} {question}".strip()
        sure = yield from look_again(said.text, whole, citations, "looking again")
        chances |= {} if sure is None else {SOURCES: sure}
    return Result(
        "chat",
        text=said.text,
        citations=citations,
        counts={"quotes_not_found": dropped},
        chances=chances,
        missing=missing(
            said.text, " ".join((question, *(turn.question for turn in earlier))), [pack]
        ),
    )
