"""The job of a summary: every part is asked, and its key sentences are quoted.

What the model says of a part is its reading; the quoted sentences are chosen by code and are what
the text says. A small model is given one passage after another in the question itself, which it
reads better than a passage it has to find in all it has read: of a chapter found in a whole novel
the 1.5B told of persons who were not in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from longctx.ingest.document import Segment
from longctx.prompts.grounded import grounded
from longctx.prompts.grouping import grouped, shown_segments
from longctx.prompts.join import NO_DOCUMENTS, join
from longctx.prompts.key_sentences import key_sentences
from longctx.prompts.pack import Pack
from longctx.prompts.question import Citation, Job, Piece, Question, Result, Task
from longctx.prompts.reply import unannounced, whole_clauses
from longctx.prompts.template import fill
from longctx.prompts.together import together

# About a chapter: a small model keeps the thread of this much, and not of much more.
PART_CHARACTERS = 10_000
PART_TOKENS = 120
# About a page: of more a small model mixes up who does what.
PASSAGE_CHARACTERS = 3_500
PASSAGE_TOKENS = 60
KEY_SENTENCES = 2
_ANCHOR = 80


def summarize(packs: Sequence[Pack], *, max_tokens: int = 512, by_passage: bool = False) -> Job:
    """A Piece for each part of each Document with its quotes, and a summary of the whole.

    The model is asked of each part after all the Pack or, `by_passage`, with a page at a time.
    """
    pieces: list[Piece] = []
    counts: Counter[str] = Counter(parts=0, parts_summarized=0)
    names = {document.name for pack in packs for document in pack.documents}
    for pack in packs:
        parts = list(_parts(pack))
        tell = _tell_by_passage if by_passage else _tell

        def made(index: int, told: list[str], parts: list[_Part] = parts) -> list[Piece]:
            piece = _piece(parts[index], " ".join(filter(None, told)), counts)
            found = [piece] if piece else []
            pieces.extend(found)
            return found

        counts["parts"] += len(parts)
        yield from together([tell(pack, part) for part in parts], made)
    counts["parts_summarized"] = len(pieces)
    text = ""
    if len(pieces) > 1:
        text = yield from join(
            [f"- {_note(piece)}" for piece in pieces],
            lambda notes: fill("summarize_join", summaries=notes),
            max_tokens=max_tokens,
            label="joining the summaries",
        )
    return Result(
        "summarize", pieces=tuple(pieces), text=text, counts={"documents": len(names), **counts}
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the stretches of a Document that are summarized one by one."""

    stretches: Sequence[Segment]
    number: int

    @property
    def stretch(self) -> Segment:
        return self.stretches[self.number - 1]

    @property
    def label(self) -> str:
        name = self.stretch.document.name
        return f"summarizing {name}, {self.number} of {len(self.stretches)}"


def _parts(pack: Pack) -> Iterator[_Part]:
    for shown in pack.parts:
        stretches = grouped(shown_segments(shown), PART_CHARACTERS)
        for number, stretch in enumerate(stretches, 1):
            if stretch.text.strip():
                yield _Part(stretches, number)


def _tell(pack: Pack, part: _Part) -> list[Task[str]]:
    """What the model says of a part of what it has read."""
    stretch = part.stretch
    body = stretch.text.strip()
    asked = fill(
        "summarize_part",
        subject=_title(stretch, ", "),
        opening=" ".join(body[:_ANCHOR].split()),
        closing=" ".join(body[-_ANCHOR:].split()),
    )

    def told() -> Task[str]:
        said = yield Question(pack, asked, PART_TOKENS, label=part.label)
        assert said is not None
        return said.text

    return [told()]


def _tell_by_passage(pack: Pack, part: _Part) -> list[Task[str]]:
    """What the model says of each passage of the part."""

    def told(passage: Segment) -> Task[str]:
        asked = fill("summarize_passage", text=passage.text.strip())
        said = yield Question(NO_DOCUMENTS, asked, PASSAGE_TOKENS, label=part.label)
        assert said is not None
        text = said.text if said.finished else whole_clauses(said.text)
        return grounded(unannounced(text), passage.text)[0]

    passages = grouped([part.stretch], PASSAGE_CHARACTERS)
    return [told(passage) for passage in passages if passage.text.strip()]


def _piece(part: _Part, told: str, counts: Counter[str]) -> Piece | None:
    """What the model says of a part, as far as it may stand, and the part's key sentences."""
    stretch = part.stretch
    summary, foreign, copied = grounded(told.strip(), stretch.text)
    if foreign:
        counts["dropped_for_foreign_names"] += foreign
    if copied:
        counts["dropped_as_copied"] += copied
    document = stretch.document
    citations = tuple(
        Citation(" ".join(document.text[start:end].split()), "verified", document.span(start, end))
        for start, end in key_sentences(part.stretches, stretch, KEY_SENTENCES)
    )
    if not summary and not citations:
        return None
    heading = f"{_title(stretch, ' (')})" if stretch.heading.strip() else str(stretch.span)
    return Piece(heading, summary, citations=citations)


def _title(part: Segment, between: str) -> str:
    """The heading and the place."""
    heading = " ".join(part.heading.split())
    return f"{heading}{between}{part.span}" if heading else str(part.span)


def _note(piece: Piece) -> str:
    """The Piece for the question that joins all: the model's words, or the text's own."""
    quoted = " ".join(citation.quote for citation in piece.citations)
    return f"{piece.heading}: {piece.body or quoted}"
