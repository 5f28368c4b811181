"""The job of a summary: every part is asked and quoted, then the part summaries are joined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence

from longctx.ingest.document import Segment
from longctx.prompts import reply
from longctx.prompts.citation import locate
from longctx.prompts.grouping import grouped, shown_segments
from longctx.prompts.join import join
from longctx.prompts.pack import Pack
from longctx.prompts.question import Answer, Citation, Job, Piece, Question, Result
from longctx.prompts.template import fill

# About a chapter: a small model keeps the thread of this much, and not of much more.
PART_CHARACTERS = 16_000
PART_TOKENS = 260
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
                piece = yield from _summarize_part(pack, stretch, label, counts)
                if piece is not None:
                    counts["parts_summarized"] += 1
                    pieces.append(piece)
                    yield piece
    text = ""
    if len(pieces) > 1:
        text = yield from join(
            [f"- {piece.heading}: {piece.body}" for piece in pieces],
            lambda notes: fill("summarize_join", summaries=notes),
            max_tokens=max_tokens,
            label="joining the summaries",
        )
    return Result(
        "summarize", pieces=tuple(pieces), text=text, counts={"documents": len(names), **counts}
    )


def _summarize_part(
    pack: Pack, part: Segment, label: str, counts: Counter[str]
) -> Generator[Question | Piece, Answer | None, Piece | None]:
    """The summary of one part; None if the model says nothing."""
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
    summary, quote = reply.split_quote(said.text)
    if not summary:
        return None
    citations: tuple[Citation, ...] = ()
    if quote:
        citation = locate(quote, pack, prefer=part.document.name)
        place = citation.span
        if place is None:
            counts["quotes_not_found"] += 1
        elif place.name == span.name and part.start <= place.start < part.end:
            citations = (citation,)
        else:
            counts["quotes_from_elsewhere"] += 1
    return Piece(f"{heading} ({span})" if heading else str(span), summary, citations=citations)
