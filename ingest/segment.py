"""From a Document to Segments along its own structure: sections, clauses, definitions, hunks."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from longctx.ingest.code_languages import FUNCTIONS
from longctx.ingest.code_structure import Definition, definitions
from longctx.ingest.document import Document, Heading, Segment
from longctx.ingest.headings import markdown_headings, prose_headings, section_headings
from longctx.ingest.markup_headings import markup_of

# Code outside definitions is cut where a blank line comes after this many characters.
BLOCK_CHARACTERS = 3000
# A class longer than this is cut at its methods.
LONG_CLASS_LINES = 120

_WORD = re.compile(r"\w")
_DIFF_FILE = re.compile(r"^(?:diff --git .+|Index: .+|--- [^\n]+(?=\n\+\+\+ [^\n]+\n@@))$", re.M)
_DIFF_PATH = re.compile(r"^(?:\+\+\+ (?:b/)?|Index: )([^\t\n]+)", re.M)
_DIFF_HUNK = re.compile(r"^@@ .+", re.M)


def segments(document: Document) -> tuple[Segment, ...]:
    """The Document's Segments: in order, without gaps, from its first character to its last.

    Text before the first heading is a Segment of level 0 without a heading.
    """
    headings = list(document.headings) or list(_STRUCTURES[document.kind](document))
    if not headings and document.pages:
        headings = [
            Heading(page.start, f"{page.unit} {page.number}", 1)
            for page in document.pages
            if page.start < page.end
        ]
    if not headings or headings[0].start > 0:
        headings.insert(0, Heading(0, "", 0))
    ends = [*(heading.start for heading in headings[1:]), len(document.text)]
    return tuple(
        Segment(document, heading.start, end, heading.title, heading.level)
        for heading, end in zip(headings, ends, strict=True)
        if heading.start < end
    )


def _code(document: Document) -> Iterable[Heading]:
    found = definitions(document)
    if not found:
        return _blocks(document, 0, len(document.text))
    return _definitions(document, found)


def _definitions(document: Document, found: Sequence[Definition]) -> Iterator[Heading]:
    """The definitions, the members of long ones, and what stands between definitions."""
    end = 0
    # The definitions around a place that are cut at their members.
    cut: list[Definition] = []
    for definition in found:
        while cut and cut[-1].end <= definition.start:
            cut.pop()
        if definition.depth != len(cut):
            continue
        if not cut:
            yield from _between(document, end, definition.start)
            end = definition.end
        yield Heading(definition.start, f"{definition.word} {definition.name}", len(cut) + 1)
        if definition.word not in FUNCTIONS and _is_long(document, definition):
            cut.append(definition)
    yield from _between(document, end, len(document.text))


def _is_long(document: Document, definition: Definition) -> bool:
    lines = document.line_at(definition.end) - document.line_at(definition.start)
    return lines > LONG_CLASS_LINES


def _between(document: Document, start: int, end: int) -> Iterator[Heading]:
    """What stands between two definitions, in blocks where it is long."""
    words = _WORD.search(document.text, start, end)
    if words is None:
        return
    first = max(start, document.text.rfind("\n", start, words.start()) + 1)
    if first > 0:
        yield Heading(first, "", 1)
    yield from (block for block in _blocks(document, first, end) if block.start > first)


def _data(document: Document) -> Iterable[Heading]:
    return _blocks(document, 0, len(document.text))


def _blocks(document: Document, begin: int, end: int) -> Iterator[Heading]:
    """Stretches of at least `BLOCK_CHARACTERS`, cut before an unindented line after a blank one."""
    start, blank = begin, False
    starts = document.line_starts
    lines = starts[bisect_left(starts, begin) : bisect_left(starts, end)]
    # Text without blank lines, a minified page or a table, is cut at any line in the end.
    for line_start, line_end in pairwise([*lines, end]):
        line = document.text[line_start:line_end]
        length = line_start - start
        apart = blank and not line[:1].isspace()
        if length >= (BLOCK_CHARACTERS if apart else 4 * BLOCK_CHARACTERS):
            if start == begin:
                yield Heading(begin, _first_line(document.text[begin:line_start]), 1)
            start = line_start
            yield Heading(start, _first_line(document.text[start:line_end]), 1)
        blank = not line.strip()


def _first_line(text: str) -> str:
    """The first line with letters in it, cut to the length of a heading."""
    lines = (line.strip() for line in text.split("\n"))
    return next((line for line in lines if any(map(str.isalnum, line))), "")[:80]


def _diff(document: Document) -> Iterator[Heading]:
    """The files of a unified diff, and the further hunks of each."""
    files = list(_file_starts(document.text))
    for start, end in pairwise([*files, len(document.text)]):
        path = _DIFF_PATH.search(document.text, start, end)
        title = path[1] if path else _first_line(document.text[start:end])
        if title == "/dev/null":
            title = f"{_first_line(document.text[start:end])} (deleted)"
        yield Heading(start, title, 1)
        for index, hunk in enumerate(_DIFF_HUNK.finditer(document.text, start, end)):
            if index:
                yield Heading(hunk.start(), f"{title} {hunk[0]}"[:120], 2)


def _file_starts(text: str) -> Iterator[int]:
    """Where each file of the diff begins; `---` after `diff --git` or `Index:` begins none."""
    inside = False
    for match in _DIFF_FILE.finditer(text):
        if not match[0].startswith("---"):
            inside = True
            yield match.start()
        elif not inside or "\n@@" in text[text.rfind("\ndiff ", 0, match.start()) : match.start()]:
            yield match.start()


def _markdown(document: Document) -> Iterable[Heading]:
    return (markup_of(document.name) or markdown_headings)(document.text)


def _prose(document: Document) -> Iterable[Heading]:
    return (markup_of(document.name) or prose_headings)(document.text)


def _paper(document: Document) -> Iterable[Heading]:
    return section_headings(document.text) or prose_headings(document.text)


_STRUCTURES: dict[str, Callable[[Document], Iterable[Heading]]] = {
    "code": _code,
    "data": _data,
    "diff": _diff,
    "markdown": _markdown,
    "pdf": _paper,
    "prose": _prose,
}
