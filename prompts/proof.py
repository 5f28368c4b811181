"""The sentences that prove an answer, found by code: a small model copies the wrong ones.

Of what an answer names and the documents do not have, too: most of what a model makes up is that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from longctx.ingest.words import words
from longctx.prompts.key_sentences import sentences
from longctx.prompts.pack import Pack
from longctx.prompts.question import Citation
from longctx.prompts.relevance import relevance

# The words of the answer are nearer to the proof than those of the question.
_ANSWER_WEIGHT = 2.0
# How near to the best a second proof must come.
_NEAR_BEST = 0.8
# A list or a stretch of code has no sentences: it is taken by lines.
_LONGEST = 320
# With less of the answer's words in it a sentence proves nothing: they are of different languages.
_LEAST_SHARED = 0.2
# Names, whose capital does not begin a sentence, and numbers that are seldom written as a word.
_NAMED = re.compile(
    r"(?<![.!?:]\s)(?<!^)(?<![\w.])[A-Z][\w-]+(?: [A-Z][\w-]+)*|\b\d[\d.,]*\d\b", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Proof:
    """The Citations of an answer, the best first, and how much of its words the best one has."""

    citations: tuple[Citation, ...]
    shared: float

    @property
    def holds(self) -> bool:
        """Whether the answer and its proof are about the same."""
        return self.shared >= _LEAST_SHARED


def prove(answer: str, question: str, pack: Pack, *, most: int = 3) -> Proof:
    """The Proof of an answer: at most `most` sentences of the Pack that are near the best."""
    places = list(_passages(pack))
    texts = [pack.text[start:end] for start, end in places]
    of_answer, of_question = relevance(texts, answer), relevance(texts, question)
    scores = [
        _ANSWER_WEIGHT * one + other for one, other in zip(of_answer, of_question, strict=True)
    ]
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    if not order or scores[order[0]] <= 0:
        return Proof((), 0.0)
    told, best = set(words(answer)), set(words(texts[order[0]]))
    found: dict[str, Citation] = {}
    for index in order:
        if len(found) == most or scores[index] < _NEAR_BEST * scores[order[0]]:
            break
        segment = pack.segment(*places[index])
        if segment is not None:
            quote = " ".join(segment.text.split())
            found.setdefault(quote, Citation(quote, "verified", segment.span))
    return Proof(tuple(found.values()), len(told & best) / max(1, len(told)))


def missing(answer: str, question: str, packs: Sequence[Pack]) -> tuple[str, ...]:
    """The names and numbers of the answer that neither the Packs nor the question have."""
    named = dict.fromkeys(match.group() for match in _NAMED.finditer(answer))
    if not named:
        return ()
    known = {word for text in (question, *(pack.text for pack in packs)) for word in words(text)}
    return tuple(name for name in named if not known.issuperset(words(name)))


def _passages(pack: Pack) -> Iterator[tuple[int, int]]:
    """Where the sentences of the Pack's Documents stand, long ones taken by lines."""
    for part in pack.parts:
        for start, end in sentences(pack.text[part.start : part.end]):
            yield from _lines(pack.text, part.start + start, part.start + end)


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The range, in runs of lines of no more than `_LONGEST` characters where it is longer."""
    first = start
    while end - first > _LONGEST:
        last = text.rfind("\n", first + 1, first + _LONGEST)
        if last < 0:
            last = text.find("\n", first + _LONGEST, end)
        if last < 0:
            break
        if text[first:last].strip():
            yield first, last
        first = last + 1
    if text[first:end].strip():
        yield first, end
