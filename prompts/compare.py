"""The job of comparison: passages are aligned by code, and only what changed is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from longctx.ingest.align import align
from longctx.ingest.document import Document, Segment
from longctx.ingest.segment import segments
from longctx.ingest.words import words
from longctx.prompts import reply
from longctx.prompts.changed_facts import changed_facts
from longctx.prompts.join import NO_DOCUMENTS, join
from longctx.prompts.own_sentences import own_ranges, own_sentences
from longctx.prompts.question import Citation, Job, Piece, Question, Result, Task
from longctx.prompts.template import fill
from longctx.prompts.together import together

GIST_TOKENS = 100
# A longer passage is put to the model by its beginning.
PASSAGE_CHARACTERS = 6_000
QUOTE_CHARACTERS = 200
NOTE_CHARACTERS = 120


def compare(left: Document, right: Document, *, max_tokens: int = 512, stream: bool = True) -> Job:
    """A Piece for each changed, removed or added passage, and a summary of the differences.

    Each question holds the two passages it is about, and no Document stands before it.
    """
    pieces: list[Piece] = []
    pairs = align(segments(left), segments(right))
    counts: Counter[str] = Counter(passages=len(pairs), same=0, changed=0, removed=0, added=0)
    tasks = list[list[Task[Piece | None]]]()
    for number, pair in enumerate(pairs, 1):
        label = f"comparing passage {number} of {len(pairs)}"
        if pair.kind == "same":
            counts["same"] += 1
        elif pair.left is not None and pair.right is not None:
            tasks.append([_changed(pair.left, pair.right, label, counts)])
        elif pair.left is not None:
            tasks.append([_alone(pair.left, "removed", label, counts)])
        else:
            assert pair.right is not None
            tasks.append([_alone(pair.right, "added", label, counts)])

    def made(_: int, found: list[Piece | None]) -> list[Piece]:
        known = [piece for piece in found if piece is not None]
        counts.update(piece.label for piece in known)
        pieces.extend(known)
        return known

    yield from together(tasks, made)
    text = ""
    if len(pieces) > 1:
        text = yield from join(
            [_note(piece) for piece in pieces],
            lambda changes: fill("compare_join", left=left.name, right=right.name, changes=changes),
            max_tokens=max_tokens,
            label="joining the differences",
            stream=stream,
        )
    return Result("compare", pieces=tuple(pieces), text=text, counts=dict(counts))


def compare_each(left: Document, others: Sequence[Document], *, max_tokens: int = 512) -> Job:
    """The comparison of one Document with each of the others, in one Result."""
    if len(others) == 1:
        return (yield from compare(left, others[0], max_tokens=max_tokens))
    pieces: list[Piece] = []
    counts: Counter[str] = Counter()
    for right in others:
        result = yield from compare(left, right, max_tokens=max_tokens, stream=False)
        pieces += result.pieces
        counts.update(result.counts)
        if result.text:
            overall = Piece(f"Overall: {left.name} and {right.name}", result.text)
            pieces.append(overall)
            yield overall
    return Result("compare", pieces=tuple(pieces), counts=dict(counts))


def _changed(left: Segment, right: Segment, label: str, counts: Counter[str]) -> Task[Piece | None]:
    """What changed between two passages: found by code, told by the model side by side."""
    lines = []
    for word, here, there in (("Was", left, right), ("Now", right, left)):
        if own := own_sentences(here.text, there.text):
            gist = yield from _gist(here.document.name, "\n".join(own), label, counts)
            lines.append(f"{word}: {gist}")
    if not lines:
        lines.append("The same sentences in another order.")
    gone, new = changed_facts(left.text, right.text)
    if gone:
        lines.append(f"Only in {left.document.name}: {', '.join(gone)}")
    if new:
        lines.append(f"Only in {right.document.name}: {', '.join(new)}")
    citations = (_first_difference(left, right), _first_difference(right, left))
    return Piece(_heading(right) or _heading(left), "\n".join(lines), "changed", citations)


def _alone(passage: Segment, kind: str, label: str, counts: Counter[str]) -> Task[Piece | None]:
    """The gist of a passage that only one Document has; None for one without words."""
    if not any(character.isalnum() for character in passage.text):
        return None
    gist = ""
    if words(passage.text) != words(passage.heading):
        gist = yield from _gist(passage.document.name, passage.text, label, counts)
    return Piece(_heading(passage), gist, kind, (_first_difference(passage, None),))


def _gist(name: str, text: str, label: str, counts: Counter[str]) -> Task[str]:
    """What a text says, in a sentence."""
    asked = fill("compare_gist", name=name, text=_cut(text, counts))
    said = yield Question(NO_DOCUMENTS, asked, GIST_TOKENS, label=label)
    assert said is not None
    return reply.unannounced(said.text if said.finished else reply.whole_clauses(said.text))


def _cut(text: str, counts: Counter[str]) -> str:
    """The text as it is put to the model; a cut is marked and counted."""
    text = text.strip()
    if len(text) <= PASSAGE_CHARACTERS:
        return text
    counts["asked_by_their_beginning_only"] += 1
    return f"{text[:PASSAGE_CHARACTERS].rstrip()} [...]"


def _note(piece: Piece) -> str:
    """The Piece in a line for the summary: with more before it, a small model loses the thread."""
    said = (line[:NOTE_CHARACTERS].rstrip() for line in piece.body.splitlines())
    return f"- {piece.heading} ({piece.label}): {' '.join(said)}"


def _heading(passage: Segment) -> str:
    """The passage's own heading, or its first words."""
    return " ".join((passage.heading or passage.text.strip()[:60]).split())


def _first_difference(passage: Segment, other: Segment | None) -> Citation:
    """The first sentence of the passage that the other does not have: its text and its place."""
    text = passage.text
    known = f"{other.text if other else ''}\n{passage.heading}"
    start, end = next(own_ranges(text, known), next(own_ranges(text, ""), (0, len(text))))
    if end - start > QUOTE_CHARACTERS:
        end = text.rfind(" ", start, start + QUOTE_CHARACTERS)
        end = end if end > start else start + QUOTE_CHARACTERS
    span = passage.document.span(passage.start + start, passage.start + end)
    return Citation(" ".join(text[start:end].split()), "verified", span)
