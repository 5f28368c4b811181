"""Finding: a Piece of a review, how it is known again, and what keeps it from being shown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import sha256

from longctx.ingest.document import Document, Span
from longctx.ingest.suspicion import Suspicion
from longctx.prompts.question import Citation, Piece

# The categories that each focus keeps.
FOCUS: Mapping[str, frozenset[str]] = {
    "security": frozenset({"security"}),
    "correctness": frozenset({"bug", "resource", "concurrency", "error-handling"}),
    "refactor": frozenset({"maintainability"}),
    "performance": frozenset({"performance"}),
}
MAX_LINES = 5
_IGNORE = re.compile(r"longctx:\s*ignore(?:\[(?P<kinds>[\w, -]+)\])?")


@dataclass(frozen=True, slots=True)
class Finding(Piece):
    """A defect in one place; `label` is its severity and its one Citation proves it.

    `source` is "computed" or "model"; `code` holds whole lines, from the first of the place on;
    `suppressed` says by what it is silenced ("" if it is not): "comment" or "file".
    """

    kind: str = ""
    category: str = ""
    suggestion: str = ""
    source: str = "computed"
    related: tuple[Span, ...] = ()
    remark: str = ""
    code: str = ""
    fingerprint: str = ""
    suppressed: str = ""

    @property
    def span(self) -> Span:
        """Its place."""
        (citation,) = self.citations
        assert citation.span is not None
        return citation.span

    @property
    def quote(self) -> str:
        """The text at its place."""
        return self.citations[0].quote


@dataclass(frozen=True, slots=True)
class Remark(Piece):
    """What the model says of a Finding that is shown already, known by its fingerprint."""

    fingerprint: str = ""


def explained(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """The Pieces with each Remark put into its Finding."""
    pieces = tuple(pieces)
    said = {one.fingerprint: one.body for one in pieces if isinstance(one, Remark)}
    return tuple(
        replace(one, remark=said.get(one.fingerprint, "")) if isinstance(one, Finding) else one
        for one in pieces
        if not isinstance(one, Remark)
    )


def computed_finding(document: Document, suspicion: Suspicion) -> Finding:
    """The Finding that a Suspicion is, with the text of its place as the proof."""
    span, rule = suspicion.span, suspicion.rule
    return Finding(
        heading=rule.title,
        body=suspicion.why,
        label=rule.severity,
        citations=(Citation(document.text[span.start : span.end], "verified", span),),
        kind=suspicion.kind,
        category=rule.category,
        suggestion=rule.suggestion,
        related=suspicion.related,
        code=code_lines(document, span),
    )


def code_lines(document: Document, span: Span) -> str:
    """The whole lines of the place, the first few of them."""
    start = document.text.rfind("\n", 0, span.start) + 1
    end = document.text.find("\n", max(span.start, span.end - 1))
    lines = document.text[start : end if end >= 0 else None].split("\n")
    return "\n".join(lines[:MAX_LINES])


def with_fingerprints(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The Findings with fingerprints: kind, file and the code itself, but no line numbers."""
    seen: Counter[str] = Counter()
    for one in findings:
        code = " ".join(one.quote.split())
        key = f"{one.kind}\0{one.span.name}\0{code}"
        fingerprint = sha256(f"{key}\0{seen[key]}".encode("utf-8", "replace")).hexdigest()[:16]
        seen[key] += 1
        yield replace(one, fingerprint=fingerprint)


def is_silenced(finding: Finding, document: Document | None) -> bool:
    """Whether a comment on its first line, or alone on the line above, says to ignore its kind."""
    if document is None or document.name != finding.span.name:
        return False
    lines = document.text[: finding.span.start].count("\n")
    text = document.text.split("\n", lines + 1)[max(0, lines - 1) : lines + 1]
    for number, line in enumerate(text):
        match = _IGNORE.search(line)
        above = number == 0 and len(text) == 2
        if match is None or (above and line.lstrip()[:1] not in ("#", "/", "*", "-")):
            continue
        kinds = match["kinds"]
        if kinds is None or finding.kind in [one.strip() for one in kinds.split(",")]:
            return True
    return False


def is_listed(finding: Finding, rules: Iterable[str]) -> bool:
    """Whether a line of an ignore file names it: a fingerprint, or `kind` and a glob of paths."""
    for rule in rules:
        kind, _, paths = rule.partition(" ")
        if rule == finding.fingerprint:
            return True
        if kind in (finding.kind, "*") and fnmatchcase(finding.span.name, paths.strip() or "*"):
            return True
    return False
