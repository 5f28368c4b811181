"""The sentences that prove an answer, found by code: a small model copies the wrong ones.

Of what an answer names and the documents do not have, too: most of what a model makes up is that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from longctx.ingest.document import Segment
from longctx.ingest.words import words
from longctx.prompts.key_sentences import sentences
from longctx.prompts.pack import Pack
from longctx.prompts.passages import passages_of
from longctx.prompts.question import Citation
from longctx.prompts.relevance import relevance

# The words of the answer are nearer to the proof than those of the question.
_ANSWER_WEIGHT = 2.0
# How near to the best a second proof must come.
_NEAR_BEST = 0.8
# With less of the answer's words in it a sentence proves nothing: they are of different languages.
_LEAST_SHARED = 0.2
# And one of several sentences of an answer, which may say nothing, has no proof with less.
_LEAST_OF_SEVERAL = 0.25
# An answer of one claim has no more proofs.
_MOST_OF_ONE = 3
# A sentence of so many words that goes on after a semicolon makes several claims. So do the items
# of a list.
_LONG = 30
_SEMICOLON, _ITEM = re.compile(r";\s+"), re.compile(r"\n\s*(?=(?:[-*•]|\d+[.)])\s)")
_LEAST_OF_CLAIM = 4
# Shorter names of Documents are words, too.
_SHORTEST_NAME = 5
# Names, whose capital does not begin a sentence, and numbers that are seldom written as a word.
_NAMED = re.compile(
    r"(?<![.!?:]\s)(?<!^)(?<![\w.])[A-Z][\w-]+(?: [A-Z][\w-]+)*|\b\d[\d.,]*\d\b", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Proof:
    """The Citations of an answer, and what share of a sentence's words its own one has at best."""

    citations: tuple[Citation, ...]
    shared: float

    @property
    def holds(self) -> bool:
        """Whether the answer and its proof are about the same."""
        return self.shared >= _LEAST_SHARED


def prove(
    answer: str, question: str, pack: Pack, *, most: int = 3, verbatim: bool = False
) -> Proof:
    """The Proof of an answer: at most `most` sentences of the Pack.

    Each claim of the answer has one; an answer of one claim those that are near the best.
    With `verbatim` they are among those that hold the answer as it stands, if any do.
    """
    passages = list(passages_of(pack))
    if verbatim:
        wanted = _flat(answer)
        holding = [one for one in passages if wanted in _flat(one.text)]
        passages = holding or passages
    texts = [one.text for one in passages]
    of_question = relevance(texts, question)
    claims = _claims(answer)[:most]
    chosen: list[int] = []
    best = 0.0
    for claim in claims:
        both = zip(relevance(texts, claim), of_question, strict=True)
        scores = [_ANSWER_WEIGHT * of_claim + other for of_claim, other in both]
        order = _best(scores, passages, texts, _named(claim, pack))[: min(most, _MOST_OF_ONE)]
        near = [index for index in order if scores[index] >= _NEAR_BEST * scores[order[0]]]
        told = set(words(claim))
        shared = len(told & {word for index in order[:1] for word in words(texts[index])})
        best = max(best, shared / max(1, len(told)))
        if len(claims) == 1:
            chosen += near
        elif shared >= _LEAST_OF_SEVERAL * len(told):
            chosen += order[:1]
    found: dict[str, Citation] = {}
    for index in chosen:
        quote = " ".join(texts[index].split())
        found.setdefault(quote, Citation(quote, "verified", passages[index].span))
    return Proof(tuple(found.values()), best)


def _claims(answer: str) -> list[str]:
    """The sentences of an answer, long ones by their clauses, lists by their items."""
    found: list[str] = []
    for start, end in sentences(answer):
        for item in _ITEM.split(answer[start:end]):
            clauses = _SEMICOLON.split(item) if len(words(item)) > _LONG else [item]
            whole = [one for one in clauses if len(words(one)) >= _LEAST_OF_CLAIM]
            found += whole if len(whole) > 1 else [item]
    return found


def _best(
    scores: Sequence[float], passages: Sequence[Segment], texts: Sequence[str], named: set[str]
) -> list[int]:
    """The passages that share words, the best first; only those of the Documents that are named.

    Of passages that say the same the first stands for all.
    """
    order = [
        index
        for index, passage in enumerate(passages)
        if scores[index] > 0 and (not named or passage.document.name in named)
    ]
    first: dict[str, int] = {}
    for index in sorted(order, key=lambda index: -scores[index]):
        first.setdefault(texts[index], index)
    return list(first.values())


def _flat(text: str) -> str:
    return " ".join(text.casefold().split())


def _named(claim: str, pack: Pack) -> set[str]:
    """The Documents that the claim names: it is about these."""
    return {
        document.name
        for document in pack.documents
        for name in (PurePosixPath(document.name).name, PurePosixPath(document.name).stem)
        if len(name) >= _SHORTEST_NAME and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", claim)
    }


def missing(answer: str, question: str, packs: Sequence[Pack]) -> tuple[str, ...]:
    """The names and numbers of the answer that neither the Packs nor the question have."""
    named = dict.fromkeys(match.group() for match in _NAMED.finditer(answer))
    if not named:
        return ()
    shown = (text for pack in packs for text in pack.unmarked)
    known = {word for text in (question, *shown) for word in words(text)}
    return tuple(name for name in named if not known.issuperset(words(name)))
