"""Findings as text, Markdown and the fields of JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from longctx.ingest.document import Span
from longctx.prompts.finding import Finding
from longctx.prompts.question import Citation, Piece


def finding_as_text(finding: Finding) -> tuple[str, str]:
    """The severity, and the rest: place and title, the lines of code, what they do, what to do."""
    head = f"  {finding.span}: {finding.heading} ({_tags(finding)})"
    if finding.suppressed:
        return finding.label, f"{head} [suppressed by a {finding.suppressed}]\n\n"
    lines = [head, *_code_lines(finding)]
    lines += [f"    {line}" for line in finding.body.splitlines()]
    if finding.related:
        lines.append(f"    See {', '.join(map(str, finding.related))}")
    if finding.suggestion:
        lines.append(f"    Fix: {finding.suggestion}")
    return finding.label, "\n".join(lines) + "\n\n"


def finding_as_markdown(finding: Finding) -> str:
    """The Finding under a heading of its own."""
    head = f"### {finding.label}: {finding.heading} ({_tags(finding)})\n\n`{finding.span}`"
    if finding.suppressed:
        return f"{head}, suppressed by a {finding.suppressed}\n\n"
    blocks = [f"{head}{_state(finding)}", _fenced(finding.code or finding.quote), finding.body]
    if finding.related:
        blocks.append("See " + ", ".join(f"`{span}`" for span in finding.related))
    if finding.suggestion:
        blocks.append(f"**Fix:** {finding.suggestion}")
    return "\n\n".join(block for block in blocks if block) + "\n\n"


def findings_fields(pieces: Iterable[Piece]) -> list[dict[str, Any]]:
    """The fields of all Findings among the Pieces, for JSON."""
    return [_fields(piece) for piece in pieces if isinstance(piece, Finding)]


def _fields(finding: Finding) -> dict[str, Any]:
    span = finding.span
    return {
        "id": finding.fingerprint,
        "kind": finding.kind,
        "severity": finding.label,
        "category": finding.category,
        "source": finding.source,
        "path": span.name,
        "first_line": span.first_line,
        "last_line": span.last_line,
        "title": finding.heading,
        "explanation": finding.body,
        "remark": finding.remark,
        "quote": finding.quote,
        "quote_state": finding.citations[0].state,
        "suggestion": finding.suggestion,
        "confidence": finding.confidence,
        "related": [_place_fields(one) for one in finding.related],
        "suppressed": finding.suppressed,
    }


def _place_fields(span: Span) -> dict[str, Any]:
    return {"path": span.name, "first_line": span.first_line, "last_line": span.last_line}


def _tags(finding: Finding) -> str:
    opinion = finding.source == "model"
    return (
        f"{finding.category}, the model's opinion"
        if opinion
        else (f"{finding.category}, {finding.kind}")
    )


def _code_lines(finding: Finding) -> list[str]:
    if not finding.code:
        return [f"    | {' '.join(finding.quote.split())}{_state(finding)}"]
    first = finding.span.first_line
    lines = finding.code.split("\n")
    width = len(str(first + len(lines) - 1))
    return [f"    {first + row:>{width}} | {line}" for row, line in enumerate(lines)]


def _state(finding: Finding) -> str:
    citation: Citation = finding.citations[0]
    return "" if citation.state == "verified" else f" [{citation.state}]"


def _fenced(code: str) -> str:
    """The code in a fence that nothing in it closes."""
    fence = "```"
    while fence in code:
        fence += "`"
    return f"{fence}\n{code}\n{fence}"
