"""The passages of a Pack, and those of them that a question is about, to stand beside it.

A small model reads past what stands far from its question, and not past what stands near.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from longctx.ingest.document import Segment
from longctx.prompts.boundary import quotable
from longctx.prompts.key_sentences import sentences
from longctx.prompts.pack import Pack
from longctx.prompts.relevance import relevance
from longctx.prompts.template import fill

# How much text stands beside a question, in characters: of 72 questions over real texts the answer
# was within it for 67, and for 62 within two thirds of it.
BESIDE = 2_400
# A list or a stretch of code has no sentences: it is taken by lines.
_LONGEST = 320
# A passage between two that share words with the question is likelier to hold the answer.
_OF_NEIGHBOUR = 0.2
_OPENINGS = "<passages", "</passages"


def passages_of(pack: Pack) -> Iterator[Segment]:
    """The sentences of what the Pack shows, long ones taken by lines."""
    for part in pack.parts:
        for start, end in part.ranges:
            text = part.document.text[start:end]
            for sentence in sentences(text):
                for first, last in _lines(text, *sentence):
                    yield Segment(part.document, start + first, start + last)


def beside(pack: Pack, *questions: str, most: int = BESIDE) -> str:
    """What is put before questions: the passages that share words with them, in the Pack's order.

    The best of each question in turn, each with its neighbours, all together `most` characters,
    white space between them aside; "" where no words are shared, and of a short Pack, which is near
    as a whole.
    """
    if not most or len(pack.text) <= 2 * BESIDE:
        return ""
    found = list(passages_of(pack))
    texts = [one.text for one in found]
    chosen, room = set[int](), most
    for index in _in_turn([_best(relevance(texts, question)) for question in questions]):
        near = [
            other
            for other in range(max(0, index - 1), min(len(found), index + 2))
            if other not in chosen and found[other].document is found[index].document
        ]
        size = sum(len(texts[other]) for other in near)
        if size <= room:
            chosen.update(near)
            room -= size
        if not room:
            break
    if not chosen:
        return ""
    several = len(pack.documents) > 1
    shown = [
        (f"{quotable(run.document.name)}:\n" if several else "") + run.text
        for run in _runs([found[index] for index in sorted(chosen)])
    ]
    # the mark is keyed: no content can end the passages
    return fill("beside", mark=pack.parts[0].mark, passages="\n[...]\n".join(shown)) + "\n\n"


def marks(pack: Pack) -> tuple[str, ...]:
    """What an answer ends before: a model that copies passages may go on to the marks of them."""
    return tuple(f'{opening} id="{part.mark}"' for part in pack.parts[:1] for opening in _OPENINGS)


def _best(scores: Sequence[float]) -> list[int]:
    """The indices of the passages that share words, the best first."""
    around = [0.0, *scores, 0.0]
    smooth = [
        score + _OF_NEIGHBOUR * (around[index] + around[index + 2])
        for index, score in enumerate(scores)
    ]
    order = sorted(range(len(scores)), key=lambda index: -smooth[index])
    return [index for index in order if smooth[index] > 0]


def _in_turn(orders: Sequence[Sequence[int]]) -> Iterator[int]:
    for rank in zip_longest(*orders):
        yield from (index for index in rank if index is not None)


def _runs(found: Sequence[Segment]) -> Iterator[Segment]:
    """The Segments, those that only white space parts as one."""
    run = found[0]
    for one in found[1:]:
        if one.document is run.document and not one.document.text[run.end : one.start].strip():
            run = Segment(run.document, run.start, one.end)
        else:
            yield run
            run = one
    yield run


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
