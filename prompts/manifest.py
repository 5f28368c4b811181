"""What is in a Pack, what is out and why, as plain data."""

from __future__ import annotations

from typing import Any

from longctx.ingest.document import Span
from longctx.prompts.pack import Pack, Part


def manifest(pack: Pack) -> dict[str, Any]:
    """The Pack's contents for JSON: documents, skipped, cuts, and the sum of tokens."""
    return {
        "num_tokens": pack.num_tokens,
        "estimated": pack.estimated,
        "documents": [_part(part) for part in pack.parts],
        "skipped": [{"name": item.name, "reason": item.reason} for item in pack.skipped],
        "cuts": [
            {**_place(cut.span), "num_tokens": cut.num_tokens, "reason": cut.reason}
            for cut in pack.cuts
        ],
    }


def _part(part: Part) -> dict[str, Any]:
    document = part.document
    return {
        "name": document.name,
        "kind": document.kind,
        "num_lines": document.num_lines,
        "num_pages": len(document.pages) or None,
        "num_tokens": part.num_tokens,
        "whole": part.whole,
        "shown": [_place(document.span(start, end)) for start, end in part.ranges],
        "digest": document.digest,
        "notes": list(document.notes),
    }


def _place(span: Span) -> dict[str, Any]:
    return {
        "name": span.name,
        "lines": [span.first_line, span.last_line],
        "unit": span.unit,
        "pages": None if span.first_page is None else [span.first_page, span.last_page],
    }
