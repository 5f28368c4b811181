"""The job of one question: an answer, then the sentences that prove it, found by code."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from longctx.prompts import reply
from longctx.prompts.chance import chance_of_yes
from longctx.prompts.citation import locate
from longctx.prompts.join import join
from longctx.prompts.look_again import look_again
from longctx.prompts.pack import Pack
from longctx.prompts.passages import BESIDE, beside, marks
from longctx.prompts.proof import missing, prove
from longctx.prompts.question import Citation, Job, Piece, Question, Result, Task
from longctx.prompts.template import fill

ABSENT = "Not in the text."
MAX_QUOTES = 5
# The model copies fewer.
MOST_COPIED = 3
EVIDENCE_TOKENS = 240
# When the model may be asked whether the documents hold the answer: of the question alone, of its
# answer, and of the answer and its sources without the documents.
BEFORE, AFTER, SOURCES = "before", "after", "sources"


@dataclass(frozen=True, slots=True)
class _Told:
    """What one Pack says; `text` is "" where it does not hold the answer."""

    text: str = ""
    citations: tuple[Citation, ...] = ()
    dropped: int = 0
    chances: Mapping[str, float] = field(default_factory=dict)


def ask(
    packs: Sequence[Pack],
    question: str,
    *,
    max_tokens: int = 512,
    gates: Collection[str] = (),
    least: float = 0.0,
    near: int = BESIDE,
    name: str = "",
) -> Job:
    """The answer to the question with its Citations; of several Packs each is asked.

    At each of the `gates` BEFORE and AFTER the chance that the Pack holds the answer is measured; a
    Pack whose chance is below `least` does not hold it, and one that passed is asked for it. At
    SOURCES it is the chance that the whole answer is right by what its Citations say. `near`
    characters of passages stand beside the question. With a `name`, that of one of several
    Documents that are asked by themselves, no words are streamed.
    """
    told: list[_Told] = []
    for number, pack in enumerate(packs, 1):
        label = asking(number, len(packs), name)
        # what may still be taken back is not shown as it comes
        stream = len(packs) == 1 and not name and not (AFTER in gates and least > 0)
        told.append(
            (yield from _ask_pack(pack, question, max_tokens, gates, least, label, stream, near))
        )
    answers = [one for one in told if one.text]
    counts = {"parts": len(packs), "parts_with_an_answer": len(answers)}
    chances = {
        gate: max(one.chances[gate] for one in told if gate in one.chances)
        for gate in gates
        if any(gate in one.chances for one in told)
    }
    if not answers:
        return Result("ask", text=ABSENT, counts=counts, chances=chances)
    text = answers[0].text
    if len(answers) > 1:
        text = yield from join(
            [f"- {one.text}" for one in answers],
            lambda listed: fill("ask_join", question=question, answers=listed),
            max_tokens=max_tokens,
            label="joining the answers",
            stream=not name,
        )
    citations = tuple(citation for one in answers for citation in one.citations)
    if SOURCES in gates:
        label = f"{name}: looking again" if name else "looking again"
        sure = yield from look_again(text, question, citations, label)
        chances |= {} if sure is None else {SOURCES: sure}
    return Result(
        "ask",
        text=text,
        citations=citations,
        counts={**counts, "quotes_not_found": sum(one.dropped for one in answers)},
        chances=chances,
        missing=missing(text, question, packs),
    )


def asking(number: int, parts: int, name: str = "") -> str:
    """What is done now, for the one who waits: which part of how many, and of which Document."""
    part = f"asking part {number} of {parts}" if parts > 1 else "answering"
    return f"{name}: {part}" if name else part


def ask_each(
    groups: Mapping[str, Sequence[Pack]],
    question: str,
    *,
    max_tokens: int = 512,
    gates: Collection[str] = (),
    least: float = 0.0,
    near: int = BESIDE,
) -> Job:
    """An answer of each Document's own, as a Piece by its name."""
    data, pieces, missed = dict[str, str | None](), list[Piece](), list[str]()
    for name, packs in groups.items():
        found = yield from ask(
            packs, question, max_tokens=max_tokens, gates=gates, least=least, near=near, name=name
        )
        data[name] = None if found.text == ABSENT else found.text
        sure = found.chances.get(SOURCES)
        pieces.append(Piece(name, found.text, citations=found.citations, confidence=sure))
        yield pieces[-1]
        missed += found.missing
    counts = {"documents": len(data), "answers": sum(one is not None for one in data.values())}
    known = tuple(dict.fromkeys(missed))
    return Result("ask", tuple(pieces), counts=counts, missing=known, data=data)


def _ask_pack(
    pack: Pack,
    question: str,
    max_tokens: int,
    gates: Collection[str],
    least: float,
    label: str,
    stream: bool,
    near: int,
) -> Task[_Told]:
    """What one Pack says, and the chance that it says it."""
    chances: dict[str, float] = {}
    template, passages = "ask", beside(pack, question, most=near)
    if BEFORE in gates:
        asked = fill("ask_before", beside=passages, question=question)
        chances[BEFORE] = yield from chance_of_yes(pack, asked, label)
        if chances[BEFORE] < least:
            return _Told(chances=chances)
        template = "ask_present" if least > 0 else template
    said = yield Question(
        pack,
        fill(template, beside=passages, question=question),
        max_tokens,
        stop=marks(pack),
        stream=stream,
        label=label,
    )
    assert said is not None
    text = said.text.strip()
    if reply.is_absent(text):
        return _Told(chances=chances)
    if AFTER in gates:
        asked = fill("ask_after", beside=passages, question=question, answer=text)
        chances[AFTER] = yield from chance_of_yes(pack, asked, label)
        if chances[AFTER] < least:
            return _Told(chances=chances)
    citations, dropped = yield from evidence(pack, question, text)
    return _Told(text, citations, dropped, chances)


def evidence(pack: Pack, question: str, answer: str) -> Task[tuple[tuple[Citation, ...], int]]:
    """The Citations of what proves the answer, and how many quotes of the model were not found.

    The model is asked for them only where the words of the answer lead nowhere.
    """
    proof = prove(answer, question, pack, most=MAX_QUOTES)
    if proof.holds:
        return proof.citations, 0
    text = fill("ask_evidence", question=question, answer=answer)
    said = yield Question(pack, text, EVIDENCE_TOKENS, label="finding the place")
    assert said is not None
    found = [locate(quote, pack) for quote in reply.quotes(said.text, limit=MOST_COPIED)]
    kept = tuple(citation for citation in found if citation.span is not None)
    return kept or proof.citations, len(found) - len(kept)
