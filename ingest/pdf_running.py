"""Running headers and footers of PDF pages: told by what repeats and counts along, and left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from longctx.ingest.pdf_layout import Row, row_text

# What stands at the same place of this many pages runs along them.
_MIN_PAGES = 3
_MAX_CHARACTERS = 160
# The step, in points, in which places are compared.
_STEP = 4.0
# A second line belongs to the header within this many heights; the body begins farther off.
_CLOSE = 1.8
_NUMBER = re.compile(r"\d+|\b[ivxl]+\b", re.I)
_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50}


@dataclass(frozen=True, slots=True)
class _Line:
    """What stands at one height, at the top or the bottom of a page."""

    rows: tuple[Row, ...]
    place: tuple[bool, int]
    shape: str
    offsets: frozenset[int]


def without_running(pages: Sequence[list[Row]]) -> tuple[list[list[Row]], str]:
    """The pages without the lines that run along them, and a note of what was left out."""
    edges = [_edges(rows, number) for number, rows in enumerate(pages)]
    runs_along = _RunsAlong([line for page in edges for lines in page for line in lines])
    dropped: Counter[str] = Counter()
    touched = 0
    kept = []
    for rows, page in zip(pages, edges, strict=True):
        # The second line runs along only behind a first that does.
        running = [line for lines in page for line in takewhile(runs_along, lines)]
        dropped.update(line.shape for line in running)
        gone = {id(row) for line in running for row in line.rows}
        touched += bool(gone)
        kept.append([row for row in rows if id(row) not in gone])
    if not any(kept):
        # Nothing runs along a text that is not there.
        return list(pages), ""
    return kept, _note(dropped, touched)


class _RunsAlong:
    """Whether a line is on several pages, or counts them, at a place that is for such lines."""

    def __init__(self, lines: Iterable[_Line]) -> None:
        lines = [line for line in lines if len(line.shape) <= _MAX_CHARACTERS]
        self._repeats = Counter((line.place, line.shape) for line in lines)
        self._counts = Counter((line.place, o) for line in lines for o in line.offsets)
        places = Counter(line.place for line in lines)
        alike = Counter(line.place for line in lines if self._alike(line))
        # The first line of the body stands at one place too, and is a new one on most pages.
        self._places = {place for place, count in alike.items() if count * 2 >= places[place]}

    def __call__(self, line: _Line) -> bool:
        return line.place in self._places and self._alike(line)

    def _alike(self, line: _Line) -> bool:
        if any(self._counts[line.place, offset] >= _MIN_PAGES for offset in line.offsets):
            return True
        return (
            any(map(str.isalpha, line.shape))
            and self._repeats[line.place, line.shape] >= _MIN_PAGES
        )


def _note(dropped: Counter[str], num_pages: int) -> str:
    if not dropped:
        return ""
    shown = [f'"{text}"' for text, _ in dropped.most_common(2) if any(map(str.isalpha, text))]
    what = f": {', '.join(shown)}" if shown else " (page numbers)"
    return f"running headers and footers of {num_pages} pages left out{what}"


def _edges(rows: Iterable[Row], number: int) -> list[list[_Line]]:
    """The highest and the lowest line of a page, each with the one close behind it."""
    heights: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: -row[0].bottom):
        if heights and heights[-1][0][0].bottom - row[0].bottom < _STEP / 2:
            heights[-1].append(row)
        else:
            heights.append([row])
    if not heights:
        return []
    return [
        list(_close(heights[:2], number, top=True)),
        list(_close(heights[:-3:-1], number, top=False)),
    ]


def _close(heights: Sequence[list[Row]], number: int, *, top: bool) -> Iterator[_Line]:
    previous = heights[0][0][0]
    for rows in heights:
        piece = rows[0][0]
        if abs(piece.bottom - previous.bottom) > _CLOSE * previous.height:
            return
        rows = sorted(rows, key=lambda row: row[0].left)
        text = " ".join(" ".join(map(row_text, rows)).split())
        place = top, round(piece.bottom / _STEP)
        yield _Line(tuple(rows), place, _NUMBER.sub("#", text), _offsets(text, number))


def _offsets(text: str, number: int) -> frozenset[int]:
    """By how much the first and the last number of a line are ahead of the number of its page."""
    words = [word.strip("-–—.|[]()") for word in text.split()]
    ends = {words[0], words[-1]} if words else set()
    return frozenset(_value(word) - number for word in ends if _NUMBER.fullmatch(word))


def _value(word: str) -> int:
    """The value of a number in digits or in small Roman numerals."""
    if word.isdecimal():
        return int(word)
    values = [_ROMAN[letter] for letter in word.lower()]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return sum(-value if value < following else value for value, following in pairs)
