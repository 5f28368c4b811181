"""The structure of a paper, with its places: title, authors, abstract, sections, references."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from longctx.ingest.document import Document, Segment
from longctx.ingest.segment import segments

# The front of a paper, with its title, authors and abstract, is no longer than this.
_FRONT = 8_000
_YEAR = re.compile(r"\b(?:1[89]|20)\d\d[a-z]?\b")

_ABSTRACT = re.compile(
    r"^[ \t]*(?:Abstract|ABSTRACT|A B S T R A C T|Summary|SUMMARY|摘[ \u3000]*要)[ \t]*"
    r"(?:[.:：—–-]\s*|\n\s*|(?<=[ \t])(?=[A-Z]))",
    re.M,
)
_AFTER_ABSTRACT = re.compile(
    r"^[ \t]*(?:key ?words?|index terms|contents|关键词|關鍵詞|jel\b"
    r"|(?:(?:1|I)\.?[ \t]+)?(?:introduction|引言|绪论|緒論))",
    re.M | re.I,
)
_REFERENCES = re.compile(
    r"^[ \t]*(?:(?:\d{1,2}|[IVX]{1,5}|[A-Z])\.?[ \t]+)?(?:references?(?: cited)?|bibliography"
    r"|literature(?: cited)?|works cited|literatur|参考文献|參考文獻)[ \t]*:?[ \t]*$",
    re.M | re.I,
)
_AFTER_REFERENCES = re.compile(r"^[ \t]*(?:Affiliation:|Appendi(?:x|ces)\b|附录)", re.M)
_LABEL = re.compile(r"^[ \t]*(?:\[[^\]\n]{1,24}\]|\d{1,3}\.)[ \t]+(?=\S)", re.M)
# "Bates D, Mächler M", "Douglas Bates and", "R Core Team", "van der Loo".
_AUTHOR = re.compile(r"(?:(?:van|von|de|der|den|di|la|le)\s+)*[^\W\d_a-z][\w’'.-]*(?:,|\s)\s*\S")
_ENTRY_END = re.compile(r"(?:[.)\]”\"/]|\b(?:10\.\d{4,}|https?:)\S*)$")


@dataclass(frozen=True)
class Paper:
    """The parts of a paper that were found; what was not is None or empty."""

    title: Segment | None
    authors: Segment | None
    abstract: Segment | None
    sections: tuple[Segment, ...]
    references: tuple[Segment, ...]


def paper(document: Document) -> Paper | None:
    """The parts of a paper; None for a Document with neither an abstract nor references."""
    text = document.text
    head = _ABSTRACT.search(text, 0, _FRONT)
    references = references_start(text)
    if head is None and references is None:
        return None
    title = _title(document)
    title_end = title.end if title else 0
    abstract = None
    if head is not None:
        abstract = _stretch(document, head.end(), _abstract_end(document, head.end()))
    parts = segments(document)
    body = abstract.end if abstract else title_end
    front_end = head.start() if head else next((p.start for p in parts if p.start >= body), body)
    end = len(text) if references is None else references
    return Paper(
        title,
        _stretch(document, title_end, front_end) if front_end > title_end else None,
        abstract,
        tuple(part for part in parts if body <= part.start < end),
        () if references is None else tuple(_entries(document, references)),
    )


def references_start(text: str) -> int | None:
    """Where the heading of the list of references stands; None without one."""
    for match in reversed(list(_REFERENCES.finditer(text))):
        # A heading of the contents, or the word alone, is not followed by works and their years.
        if _YEAR.search(text, match.end(), match.end() + 1500):
            return match.start()
    return None


def _title(document: Document) -> Segment | None:
    """The title that the type shows, or else the first paragraph of the text."""
    first = document.headings[0] if document.headings else None
    if first is not None and document.page_at(first.start) == 1 and first.level == 1:
        words = re.escape(first.title).replace(r"\ ", r"\s+")
        match = re.compile(words, re.I).search(document.text, first.start)
        if match is not None:
            return Segment(document, *match.span(), first.title, 1)
    match = re.search(r"\S[^\n]*(?:\n[^\n]+){0,2}", document.text)
    return Segment(document, *match.span()) if match else None


def _abstract_end(document: Document, start: int) -> int:
    """Where the abstract ends: before key words, or the next heading."""
    after = _AFTER_ABSTRACT.search(document.text, start, start + _FRONT)
    ends = [heading.start for heading in document.headings if heading.start > start]
    if after is not None:
        ends.append(after.start())
    return min(ends, default=min(start + _FRONT // 4, len(document.text)))


def _entries(document: Document, start: int) -> Iterator[Segment]:
    """The works listed from `start` on, parted by their labels, or else by names at line starts."""
    text = document.text
    start = text.index("\n", start) + 1 if "\n" in text[start:] else len(text)
    after = _AFTER_REFERENCES.search(text, start)
    ends = [heading.start for heading in document.headings if heading.start > start]
    end = min([*ends, after.start() if after else len(text)], default=len(text))
    labels = [match.start() for match in _LABEL.finditer(text, start, end)]
    starts = labels if len(labels) > 2 else list(_named_starts(text, start, end))
    for first, last in pairwise([*starts, end]):
        yield _stretch(document, first, last)


def _named_starts(text: str, start: int, end: int) -> Iterator[int]:
    """Where a line begins like a name after the end of an entry, and a year follows."""
    previous, position = ".", start
    openings: list[int] = []
    for line in text[start:end].split("\n"):
        after_end = not previous or _ENTRY_END.search(previous)
        if line.strip() and after_end and _AUTHOR.match(line.lstrip()):
            openings.append(position)
        previous = line.rstrip()
        position += len(line) + 1
    for first, last in pairwise([*openings, end]):
        if _YEAR.search(text, first, last):
            yield first


def _stretch(document: Document, start: int, end: int) -> Segment:
    """The stretch without the white space at its end."""
    return Segment(document, start, start + len(document.text[start:end].rstrip()))
