"""The headings of a PDF: its outline, or what is set in larger type than the text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from longctx.ingest.document import Heading, Page
from longctx.ingest.pdf_layout import Row, row_text
from longctx.ingest.pdf_text import LINE_HYPHENS, single_line

# A heading is set this much larger than the text, or more.
_LARGER = 1.07
_MAX_TITLE = 150
# The text may be set in several sizes, code in a smaller one: each has this share of it.
_TEXT_SHARE = 0.1
# Larger type on more lines than this share is no heading: a poster, a slide.
_MAX_SHARE = 0.15
_TITLE = re.compile(r"(?:[\dA-Z]{1,3}(?:\.\d+)*\.?\s+)?[\"“‘'(]?[^\W_a-z][^=∈≤≥±]*(?<![,;:])$")
_MAX_SENTENCE = 8
_LINE_BEFORE = re.compile(r"^[ \t]*(?:[\w.]{1,12}\s+)?\Z", re.M)
_LONGEST_NUMBER = 60


@dataclass(frozen=True, slots=True)
class Bookmark:
    """A title on a page, counted from 0, and its depth, counted from 1.

    `size` is the height of its type where it is known.
    """

    page: int
    title: str
    level: int
    size: float = 0.0


def large_type(pages: Sequence[list[Row]]) -> list[Bookmark]:
    """What is set in larger type than the text, the largest at the highest level."""
    heights = [list(map(_size, rows)) for rows in pages]
    sizes: Counter[float] = Counter()
    for rows, own in zip(pages, heights, strict=True):
        for row, size in zip(rows, own, strict=True):
            sizes[size] += len(row[0].text) if len(row) == 1 else sum(len(p.text) for p in row)
    if not sizes:
        return []
    share = _TEXT_SHARE * sizes.total()
    least = _LARGER * max(size for size, count in sizes.items() if count >= share)
    found = [
        Bookmark(number, title, 1, size)
        for number, (rows, own) in enumerate(zip(pages, heights, strict=True))
        if max(own, default=0) >= least
        for title, size in _titles(rows, own, number, least)
    ]
    if len(found) > _MAX_SHARE * sum(map(len, pages)) + 3:
        return []
    # What comes again labels something: the axes of plots.
    times = Counter(mark.title for mark in found)
    found = [mark for mark in found if times[mark.title] == 1]
    levels: list[float] = []
    for size in sorted({mark.size for mark in found}, reverse=True):
        if not levels or size < levels[-1] * 0.96:
            levels.append(size)
    return [
        Bookmark(mark.page, mark.title, sum(size >= mark.size for size in levels) or 1, mark.size)
        for mark in found
    ]


def placed(text: str, pages: Sequence[Page], marks: Iterable[Bookmark]) -> list[Heading]:
    """The titles where they stand on their pages, in order of place."""
    headings: list[Heading] = []
    last = -1
    for mark in marks:
        title = single_line(mark.title)
        if not title or mark.page >= len(pages):
            continue
        page = pages[mark.page]
        found = _find_title(text, title.lower().split(), max(page.start, last + 1), page.end)
        if found is None and mark.size:
            continue
        start = page.start if found is None else found
        if start > last:
            headings.append(Heading(start, title, mark.level))
            last = start
    return headings


def _find_title(text: str, words: list[str], start: int, end: int) -> int | None:
    """Where a line begins with the words, or with a number before them; any white space counts.

    A pattern made of the words would take longer to compile than the page to search.
    """
    page = text[start:end]
    # A capital may become two characters, and the places would be wrong.
    lower = page.lower() if len(page.lower()) == len(page) else page
    place = lower.find(words[0])
    while place >= 0:
        first, here = start + max(0, place - _LONGEST_NUMBER), start + place
        before = _LINE_BEFORE.search(text, first, here)
        if before is not None and _goes_on(lower, place, words):
            return before.start()
        place = lower.find(words[0], place + 1)
    return None


def _goes_on(text: str, place: int, words: list[str]) -> bool:
    """Whether the words stand at that place, the last perhaps as the beginning of a longer one."""
    stretch = text[place : place + 3 * sum(map(len, words)) + 100].split(None, len(words))
    *found, last = stretch[: len(words)]
    return found == words[:-1] and last.startswith(words[-1])


def _size(row: Row) -> float:
    """The height of the type; 0 for a line that is turned: its box is as high as it is long."""
    first = row[0]
    height = first.top - first.bottom
    turned = first.right - first.left < height and len(first.text) > 2
    return 0.0 if turned else round(height, 1)


def _titles(
    rows: Sequence[Row], heights: Sequence[float], number: int, least: float
) -> Iterator[tuple[str, float]]:
    """The titles on the page of a number, rows of one size joined, and their sizes."""
    title, size = "", 0.0
    for row, height in zip([*rows, []], [*heights, 0.0], strict=True):
        if title and abs(height - size) < 0.3 and len(title) < _MAX_TITLE:
            title = f"{title} {row_text(row)}"
            continue
        if title:
            title = _hyphens_joined(title)
            # The title of the whole may begin with the name of a program.
            if _is_title(title if number else title[:1].upper() + title[1:]):
                yield title, size
        title, size = (row_text(row), height) if height >= least else ("", 0.0)


def _hyphens_joined(title: str) -> str:
    return re.sub(rf"[{LINE_HYPHENS}] ?", "", title)


def _is_title(text: str) -> bool:
    """Whether the text has the form of a title: letters most of all, and no whole sentence."""
    if sum(map(str.isalpha, text)) * 2 < len(text) or not 2 < len(text) <= _MAX_TITLE:
        return False
    if text.endswith(".") and len(text.split()) > _MAX_SENTENCE:
        return False
    return _TITLE.match(text) is not None
