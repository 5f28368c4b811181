"""The job of one turn of a conversation: an answer to what follows all that was said before."""

from __future__ import annotations

from collections.abc import Sequence

from longctx.prompts import reply
from longctx.prompts.ask import EVIDENCE_TOKENS, proofs
from longctx.prompts.pack import Pack
from longctx.prompts.question import Citation, Job, Question, Result, Turn
from longctx.prompts.template import fill, load


def asked(question: str) -> str:
    """The question as it is put to the model: the first one as `ask` puts it."""
    return fill("ask", question=question)


def chat(pack: Pack, question: str, earlier: Sequence[Turn], *, max_tokens: int = 512) -> Job:
    """The answer to the question with its Citations.

    The request for proofs goes on from the answer, and is no part of the turns after it.
    """
    text, turns = asked(question), tuple(earlier)
    said = yield Question(pack, text, max_tokens, turns=turns, stream=True, label="answering")
    assert said is not None
    citations: tuple[Citation, ...] = ()
    dropped = 0
    if not reply.is_absent(said.text):
        turns = (*turns, Turn(text, said.text))
        request = Question(
            pack, load("chat_evidence"), EVIDENCE_TOKENS, turns=turns, label="finding the place"
        )
        found = yield request
        assert found is not None
        citations, dropped = proofs(found.text, pack)
    return Result("chat", text=said.text, citations=citations, counts={"quotes_not_found": dropped})
