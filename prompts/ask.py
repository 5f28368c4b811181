"""The job of one question: an answer, then the sentences that prove it, found by code."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from longctx.prompts import reply
from longctx.prompts.citation import locate
from longctx.prompts.join import join
from longctx.prompts.pack import Pack
from longctx.prompts.question import Answer, Citation, Job, Piece, Question, Result
from longctx.prompts.template import fill

ABSENT = "Not in the text."
MAX_QUOTES = 3
EVIDENCE_TOKENS = 240


def ask(packs: Sequence[Pack], question: str, *, max_tokens: int = 512) -> Job:
    """The answer to the question with its Citations; of several Packs each is asked."""
    if len(packs) == 1:
        return (yield from _ask_whole(packs[0], question, max_tokens))
    return (yield from _ask_parts(packs, question, max_tokens))


def _ask_whole(pack: Pack, question: str, max_tokens: int) -> Job:
    """The answer from one Pack that holds everything."""
    said = yield Question(
        pack, fill("ask", question=question), max_tokens, stream=True, label="answering"
    )
    assert said is not None
    if reply.is_absent(said.text):
        return Result("ask", text=ABSENT, counts={"parts": 1, "parts_with_an_answer": 0})
    citations, dropped = yield from _evidence(pack, question, said.text)
    counts = {"parts": 1, "parts_with_an_answer": 1, "quotes_not_found": dropped}
    return Result("ask", text=said.text.strip(), citations=citations, counts=counts)


def _ask_parts(packs: Sequence[Pack], question: str, max_tokens: int) -> Job:
    """The answer joined from the Packs that have one."""
    answers: list[str] = []
    citations: list[Citation] = []
    dropped = 0
    for number, pack in enumerate(packs, 1):
        label = f"asking part {number} of {len(packs)}"
        said = yield Question(pack, fill("ask", question=question), max_tokens, label=label)
        assert said is not None
        if reply.is_absent(said.text):
            continue
        answers.append(said.text.strip())
        found, missed = yield from _evidence(pack, question, said.text)
        citations += found
        dropped += missed
    counts = {
        "parts": len(packs),
        "parts_with_an_answer": len(answers),
        "quotes_not_found": dropped,
    }
    if not answers:
        return Result("ask", text=ABSENT, counts=counts)
    if len(answers) == 1:
        return Result("ask", text=answers[0], citations=tuple(citations), counts=counts)
    text = yield from join(
        [f"- {answer}" for answer in answers],
        lambda listed: fill("ask_join", question=question, answers=listed),
        max_tokens=max_tokens,
        label="joining the answers",
    )
    return Result("ask", text=text, citations=tuple(citations), counts=counts)


def _evidence(
    pack: Pack, question: str, answer: str
) -> Generator[Question | Piece, Answer | None, tuple[tuple[Citation, ...], int]]:
    """The Citations that were found in the Pack, and how many quotes were not."""
    text = fill("ask_evidence", question=question, answer=answer.strip())
    said = yield Question(pack, text, EVIDENCE_TOKENS, label="finding the place")
    assert said is not None
    return proofs(said.text, pack)


def proofs(text: str, pack: Pack) -> tuple[tuple[Citation, ...], int]:
    """The Citations of the quotes in `text` that were found, and how many were not."""
    quotes = reply.quotes(text, limit=MAX_QUOTES)
    found = [locate(quote, pack) for quote in quotes]
    kept = tuple(citation for citation in found if citation.span is not None)
    return kept, len(found) - len(kept)
