"""The job of a summary: every part is asked, and its key sentences are quoted.

What the model says of a part is its reading; the quoted sentences are chosen by code and are what
the text says. Both are joined to a summary of the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence

from longctx.ingest.document import Segment
from longctx.prompts.grounded import grounded
from longctx.prompts.grouping import grouped, shown_segments
from longctx.prompts.join import join
from longctx.prompts.key_sentences import key_sentences
from longctx.prompts.pack import Pack
from longctx.prompts.question import Answer, Citation, Job, Piece, Question, Result
from longctx.prompts.template import fill

# About a chapter: a small model keeps the thread of this much, and not of much more.
PART_CHARACTERS = 10_000
PART_TOKENS = 120
KEY_SENTENCES = 2
_ANCHOR = 80


def summarize(packs: Sequence[Pack], *, max_tokens: int = 512) -> Job:
    """A Piece for each part of each Document with its quote, and a summary of the whole."""
    pieces: list[Piece] = []
    counts: Counter[str] = Counter(parts=0, parts_summarized=0)
    names = {document.name for pack in packs for document in pack.documents}
    for pack in packs:
        for shown in pack.parts:
            stretches = grouped(shown_segments(shown), PART_CHARACTERS)
            for number, stretch in enumerate(stretches, 1):
                if not stretch.text.strip():
                    continue
                counts["parts"] += 1
                label = f"summarizing {stretch.document.name}, {number} of {len(stretches)}"
                piece = yield from _summarize_part(pack, stretches, stretch, label, counts)
                if piece is not None:
                    counts["parts_summarized"] += 1
                    pieces.append(piece)
                    yield piece
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


def _summarize_part(
    pack: Pack, parts: Sequence[Segment], part: Segment, label: str, counts: Counter[str]
) -> Generator[Question | Piece, Answer | None, Piece | None]:
    """What the model says of one part and its key sentences; None if there is neither."""
    span, body = part.span, part.text.strip()
    heading = " ".join(part.heading.split())
    asked = fill(
        "summarize_part",
        subject=f"{heading}, {span}" if heading else str(span),
        opening=" ".join(body[:_ANCHOR].split()),
        closing=" ".join(body[-_ANCHOR:].split()),
    )
    said = yield Question(pack, asked, PART_TOKENS, label=label)
    assert said is not None
    summary, foreign, copied = grounded(said.text.strip(), part.text)
    if foreign:
        counts["dropped_for_foreign_names"] += foreign
    if copied:
        counts["dropped_as_copied"] += copied
    document = part.document
    citations = tuple(
        Citation(" ".join(document.text[start:end].split()), "verified", document.span(start, end))
        for start, end in key_sentences(parts, part, KEY_SENTENCES)
    )
    if not summary and not citations:
        return None
    return Piece(f"{heading} ({span})" if heading else str(span), summary, citations=citations)


def _note(piece: Piece) -> str:
    """The Piece for the question that joins all: the model's words, or the text's own."""
    quoted = " ".join(citation.quote for citation in piece.citations)
    return f"{piece.heading}: {piece.body or quoted}"
