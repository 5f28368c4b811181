"""The manifest of a Pack as a table: what is in, what is out and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longctx.prompts.pack import Pack, Part


def manifest_as_text(pack: Pack) -> str:
    """A line for each Document with its tokens, then what was cut, then what was skipped."""
    about = "about " if pack.estimated else ""
    noun = "document" if len(pack.parts) == 1 else "documents"
    lines = [f"{about}{pack.num_tokens:,} tokens in {len(pack.parts)} {noun}"]
    lines += [
        f"{part.num_tokens:>11,}  {part.document.name}{_shown(part)}{_notes(part)}"
        for part in pack.parts
    ]
    lines += [f"{-cut.num_tokens:>11,}  {cut.span} left out: {cut.reason}" for cut in pack.cuts]
    lines += [f"{'-':>11}  {item.name} skipped: {item.reason}" for item in pack.skipped]
    return "\n".join(lines)


def _shown(part: Part) -> str:
    """Which ranges of a Document are in, where it is not whole."""
    if part.whole:
        return ""
    spans = [part.document.span(start, end) for start, end in part.ranges]
    places = (
        f"{span.first_line}-{span.last_line}"
        if span.first_page is None
        else f"{span.first_page}-{span.last_page}"
        for span in spans
    )
    return f" ({spans[0].unit}s {', '.join(places)})"


def _notes(part: Part) -> str:
    """What the reader noted."""
    return f" ({'; '.join(part.document.notes)})" if part.document.notes else ""
