"""What a contract says in fixed forms: defined terms, parties, duties, bans, rights and figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from longctx.ingest.document import Document, Span
from longctx.ingest.figures import figures

# Parties are named where a contract begins.
PREAMBLE_CHARACTERS = 4_000

_QUOTED = r'["“](?P<term>[^"“”]{1,80}?),?["”]'
_MEANS = re.compile(
    rf"{_QUOTED}[^.;:\"“”]{{0,60}}?\s"
    r"(?:means?|(?:refers?|referred)\s+to|includes?|ha(?:s|ve)\s+the\s+(?:same\s+)?meanings?"
    r"|is\s+defined|are\s+defined)\b"
)
_IS = re.compile(rf"(?:^|(?<=[.;:]))\s*(?:An?|The)\s+{_QUOTED}\s+(?:is|are)\b", re.M)
_CALLED = re.compile(
    rf"\((?:(?:hereinafter|hereafter|herein|collectively|together|individually|each|the|an?|as"
    rf"|referred|to|called|and|or|any|such)[\s,]+)*{_QUOTED}[^()]{{0,60}}\)",
    re.I,
)
_PARTIES = re.compile(
    r"\b(?:between|among)\b(?P<list>.+?)(?=(?<=\w\w)\.\s+[A-Z]|;\s|\n\s*\n|\Z)", re.S
)
_NAME = r"(?-i:[A-Z])[^\s,()\"“”]*(?:,?\s+(?:(?-i:[A-Z])[^\s,()\"“”]*|of|&))*"
_PARTY = re.compile(
    rf"(?:\A|\band\b|\bamong\b|[,;:]|\([a-z0-9]+\))\s*(?P<name>{_NAME})(?=\s*(?:[,(]|\band\b|$))"
    r"(?:(?:(?!\band\s+(?-i:[A-Z]))[^()])*"
    r"\((?:[^()\"“]*)[\"“](?P<role>[^\"”]{1,60}?),?[\"”][^()]*\))?",
    re.S,
)
_SENTENCE_END = re.compile(
    r"(?:(?<=\w\w[.;!?])|(?<=\d[.;!?]))[\"”)]*\s+(?=[\"“(]?[A-Z0-9(])|(?<=[.;:]\n)|\n[ \t]*\n\s*"
)
# The longer forms first: "shall not" is no duty. May is a month unless in small letters.
_MODAL = re.compile(
    r"\b(?:(?P<ban>(?:(?i:shall|must|will|can)|may|MAY)\s+(?i:not|never)\b|cannot\b"
    r"|(?:is|are)\s+prohibited)"
    r"|(?P<right>may\b|MAY\b|(?:is|are)\s+(?:permitted|entitled)\s+to)"
    r"|(?P<duty>(?i:shall|must)\b|(?:is|are)\s+(?:required|obliged|obligated)\s+to"
    r"|(?:agrees?|undertakes?)\s+to\b))"
)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a contract says in a fixed form, and where.

    `kind` is "term", "party", "duty", "ban", "right", or the kind of a Figure. `text` is the term,
    the name, the sentence or the figure; `name` is what a party is called in the contract.
    """

    kind: str
    text: str
    span: Span
    name: str = ""


def contract_facts(document: Document) -> tuple[Fact, ...]:
    """All that the functions below find, in the order of the text."""
    found = [*terms(document), *parties(document), *obligations(document), *amounts(document)]
    return tuple(sorted(found, key=lambda fact: (fact.span.start, fact.span.end)))


def terms(document: Document) -> Iterator[Fact]:
    """The terms that the text defines: `"X" means …`, `A "X" is …`, `(the "X")`."""
    seen: set[int] = set()
    for pattern in (_MEANS, _IS, _CALLED):
        for match in pattern.finditer(document.text):
            start, end = match.span("term")
            if start not in seen:
                seen.add(start)
                yield Fact("term", _even(match["term"]), document.span(start, end))


def parties(document: Document) -> Iterator[Fact]:
    """Who the contract is between, by its first sentence that says so."""
    match = _PARTIES.search(document.text, 0, PREAMBLE_CHARACTERS)
    if match is None:
        return
    start = match.start("list")
    for party in _PARTY.finditer(match["list"]):
        span = document.span(start + party.start("name"), start + party.end("name"))
        yield Fact("party", _even(party["name"]), span, _even(party["role"] or ""))


def obligations(document: Document) -> Iterator[Fact]:
    """The sentences that say what someone must do, must not do, or may do.

    A sentence with several such words is of the first kind of ban, duty and right that it has.
    """
    for start, end in _sentences(document.text):
        kinds = {match.lastgroup for match in _MODAL.finditer(document.text, start, end)}
        kind = next((kind for kind in ("ban", "duty", "right") if kind in kinds), None)
        if kind is not None:
            yield Fact(kind, _even(document.text[start:end]), document.span(start, end))


def amounts(document: Document) -> Iterator[Fact]:
    """The numbers, dates, durations, shares and amounts of money."""
    for figure in figures(document.text):
        span = document.span(figure.start, figure.end)
        yield Fact(figure.kind, _even(figure.text), span)


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    ends = [(match.start(), match.end()) for match in _SENTENCE_END.finditer(text)]
    for end, following in (*ends, (len(text), len(text))):
        lead = len(text[start:end]) - len(text[start:end].lstrip())
        if start + lead < end:
            yield start + lead, end
        start = following


def _even(text: str) -> str:
    """The text on one line."""
    return " ".join(text.split())
