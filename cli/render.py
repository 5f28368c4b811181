"""A Result as text, Markdown or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from longctx.cli.findings import finding_as_markdown, finding_as_text
from longctx.cli.options import Format
from longctx.ingest.document import Span
from longctx.prompts.ask import SOURCES
from longctx.prompts.finding import Finding
from longctx.prompts.look_again import SURE
from longctx.prompts.question import Citation, Piece, Result


class Dress(NamedTuple):
    """One form of writing: a Piece (its label apart, for colour), the opening, the closing."""

    piece: Callable[[Piece], tuple[str, str]]
    opening: Callable[[Sequence[Piece]], str]
    closing: Callable[[Result], str]


def piece_as_text(piece: Piece) -> tuple[str, str]:
    """The label, and the rest: a line with place and heading, then the body, indented."""
    if isinstance(piece, Finding):
        return finding_as_text(piece)
    lines = [f"{'  ' if piece.label else ''}{piece.heading}"]
    lines += [f"    {line}" for line in piece.body.splitlines()]
    lines += [f"    {citation_as_text(citation)}" for citation in piece.citations]
    lines += [f"    {line}" for line in doubts_as_text(piece.confidence)]
    return piece.label, "\n".join(lines) + "\n\n"


def opening_as_text(pieces: Sequence[Piece]) -> str:
    """What stands before the closing text."""
    return "Overall\n" if pieces else ""


def closing_as_text(result: Result) -> str:
    """What stands after the closing text: its sources and the counts."""
    lines = ["", "Sources"] if result.citations else []
    lines += [f"    {citation_as_text(citation)}" for citation in result.citations]
    parted = [""] if result.text else []
    warnings = warnings_as_text(result)
    lines += [*parted, *warnings] if warnings else []
    counts = counted(result.counts)
    lines += [*parted, f"({counts})"] if counts else []
    return "".join(f"{line}\n" for line in lines)


def warnings_as_text(result: Result) -> list[str]:
    """The lines that warn of what the answer may not have from the text."""
    missing = [missing_as_text(result.missing)] if result.missing else []
    return doubts_as_text(result.chances.get(SOURCES)) + missing


def missing_as_text(names: Sequence[str]) -> str:
    """The line that warns of what an answer names and the text does not have."""
    return f"The text does not have: {', '.join(names)}"


def doubts_as_text(chance: float | None) -> list[str]:
    """The line that warns of an answer that is not sure by its sources; none where it is."""
    if chance is None or chance >= SURE:
        return []
    return [f"Not sure: by these sources alone the model gives this a chance of {chance:.0%}"]


def piece_as_markdown(piece: Piece) -> tuple[str, str]:
    """No label apart, and the Piece under a heading of its own."""
    if isinstance(piece, Finding):
        return "", finding_as_markdown(piece)
    label = f"{piece.label}: " if piece.label else ""
    quotes = "".join(f"\n{citation_as_markdown(citation)}\n" for citation in piece.citations)
    quotes += "".join(f"\n**{line}**\n" for line in doubts_as_text(piece.confidence))
    return "", f"### {label}{piece.heading}\n\n{piece.body}\n{quotes}\n"


def opening_as_markdown(pieces: Sequence[Piece]) -> str:
    """What stands before the closing text."""
    return "## Overall\n\n" if pieces else ""


def closing_as_markdown(result: Result) -> str:
    """What stands after the closing text: its sources and the counts."""
    blocks = [citation_as_markdown(citation) for citation in result.citations]
    sources = "\n## Sources\n\n" + "\n\n".join(blocks) + "\n" if blocks else ""
    sources += "".join(f"\n**{line}**\n" for line in warnings_as_text(result))
    counts = counted(result.counts)
    return sources + (f"\n*{counts}*\n" if counts else "")


DRESSES: Mapping[Format, Dress] = {
    Format.text: Dress(piece_as_text, opening_as_text, closing_as_text),
    Format.md: Dress(piece_as_markdown, opening_as_markdown, closing_as_markdown),
}


def whole(result: Result, form: Format) -> str:
    """The Result written at once, in the words that streaming writes one by one."""
    dress = DRESSES[form]
    pieces = "".join("".join(dress.piece(piece)) for piece in result.pieces)
    text = f"{dress.opening(result.pieces)}{result.text}\n" if result.text else ""
    return pieces + text + dress.closing(result)


def as_json(payload: Mapping[str, Any]) -> str:
    """The payload as JSON with a newline at its end."""
    return json.dumps(payload, ensure_ascii=False, indent=2) + "\n"


def result_fields(result: Result) -> dict[str, Any]:
    """The fields of a Result for JSON."""
    return {
        "text": result.text,
        "citations": [citation_fields(citation) for citation in result.citations],
        "pieces": [
            {
                "heading": piece.heading,
                "label": piece.label,
                "body": piece.body,
                "confidence": piece.confidence,
                "citations": [citation_fields(citation) for citation in piece.citations],
            }
            for piece in result.pieces
        ],
        "counts": dict(result.counts),
    }


def asked_fields(result: Result) -> dict[str, Any]:
    """The fields for JSON that only an answer to a question has."""
    return {
        "chances": dict(result.chances),
        "missing": list(result.missing),
        "data": result.data,
    }


def citation_fields(citation: Citation) -> dict[str, Any]:
    """The fields of a Citation for JSON."""
    span = None if citation.span is None else span_fields(citation.span)
    return {"quote": citation.quote, "state": citation.state, "span": span}


def span_fields(span: Span) -> dict[str, Any]:
    """The fields of a Span for JSON."""
    return {
        "name": span.name,
        "start": span.start,
        "end": span.end,
        "first_line": span.first_line,
        "last_line": span.last_line,
        "first_page": span.first_page,
        "last_page": span.last_page,
        "unit": span.unit,
    }


def counted(counts: Mapping[str, int]) -> str:
    """The counts in words, `files 3, findings 0`, without those that say nothing."""
    return ", ".join(
        f"{name.replace('_', ' ')} {value:,}"
        for name, value in counts.items()
        if not (name.startswith("parts") and counts.get("parts") == 1)
        and (name, value) != ("quotes_not_found", 0)
    )


def citation_as_text(citation: Citation) -> str:
    """The place, the quote, and its state unless it is verified."""
    place = "no place" if citation.span is None else str(citation.span)
    return f'{place}: "{citation.quote}"{_state(citation)}'


def citation_as_markdown(citation: Citation) -> str:
    """The same as a block quote."""
    place = "no place" if citation.span is None else f"`{citation.span}`"
    return f"> {' '.join(citation.quote.split())}\n> ({place}{_state(citation, ', ')})"


def _state(citation: Citation, before: str = " ") -> str:
    """Nothing for a verified quote, its state for any other."""
    return "" if citation.state == "verified" else f"{before}[{citation.state}]"
