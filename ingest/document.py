"""The nouns of the text wing: Source, Document, Segment, Span, Page, Heading, Skipped."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

# What a Document may be counted in.
UNITS = ("line", "page", "chapter", "cell", "sheet", "slide", "message")

_COPIED_IN = re.compile(r"(?:^|/)_?(?:vendor|vendored|third_party|node_modules)/|\.min\.\w+$")


@dataclass(frozen=True, slots=True)
class Source:
    """Where bytes come from: a file, or data already read (stdin)."""

    name: str
    path: Path | None = None
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A Source that stays out of the Pack, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Page:
    """A part that its format numbers: a printed page, a chapter of an EPUB, a cell, a slide.

    `unit` is one of UNITS; all Pages of a Document have the same.
    """

    number: int
    start: int
    end: int
    unit: str = "page"


@dataclass(frozen=True, slots=True)
class Heading:
    """Where a part of a Document begins, its title, and its depth counted from 1."""

    start: int
    title: str
    level: int


@dataclass(frozen=True)
class Document:
    """One Source read whole: its text and the places in it.

    `kind` is "code", "markdown", "prose", "data", "diff" or "pdf"; `digest` is the SHA-256 of the
    bytes as they were read, in hex. `headings` holds the structure the format itself states (the
    outline of a PDF); where it is empty, structure is found in the text. `line_marks` is empty
    where the lines of the text are those of the original; else it holds (offset, line) pairs in
    order: from that offset on the text stands on that line of the original.
    """

    name: str
    text: str
    kind: str
    digest: str
    pages: tuple[Page, ...] = ()
    notes: tuple[str, ...] = ()
    headings: tuple[Heading, ...] = ()
    line_marks: tuple[tuple[int, int], ...] = ()

    @cached_property
    def line_starts(self) -> list[int]:
        """The offset of the first character of every line."""
        lengths = map(len, self.text.split("\n")[:-1])
        return [0, *(end + number for number, end in enumerate(accumulate(lengths), 1))]

    @property
    def is_copied_in(self) -> bool:
        """Whether it is code of others, which nobody mends where it was copied to."""
        return _COPIED_IN.search(self.name) is not None

    @property
    def num_lines(self) -> int:
        """How many lines there are to cite; a newline at the very end begins no further one."""
        if self.line_marks:
            return self.line_marks[-1][1]
        return len(self.line_starts) - self.text.endswith("\n")

    def line_at(self, offset: int) -> int:
        """The line of the original, counted from 1, that holds the character at `offset`."""
        if self.line_marks:
            index = bisect_right(self.line_marks, offset, key=lambda mark: mark[0])
            return self.line_marks[max(0, index - 1)][1]
        return bisect_right(self.line_starts, offset)

    def page_at(self, offset: int) -> int | None:
        """The number of the page that holds the character at `offset`; None without pages."""
        index = bisect_right(self.pages, offset, key=lambda page: page.start) - 1
        return self.pages[index].number if index >= 0 else None

    def span(self, start: int, end: int) -> Span:
        """The Span of the characters from `start` to before `end`."""
        last = max(start, end - 1)
        return Span(
            name=self.name,
            start=start,
            end=end,
            first_line=self.line_at(start),
            last_line=self.line_at(last),
            first_page=self.page_at(start),
            last_page=self.page_at(last),
            unit=self.unit,
        )

    @property
    def unit(self) -> str:
        """What the Document is counted in: "line", or the unit of its Pages."""
        return self.pages[0].unit if self.pages else "line"


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open character range of a Document, with the lines and pages it lies on."""

    name: str
    start: int
    end: int
    first_line: int
    last_line: int
    first_page: int | None = None
    last_page: int | None = None
    unit: str = "line"

    def __str__(self) -> str:
        """`name:12`, `name:12-15`, `name, page 3` or `name, cells 4-5`."""
        if self.first_page is not None:
            if self.last_page == self.first_page:
                return f"{self.name}, {self.unit} {self.first_page}"
            return f"{self.name}, {self.unit}s {self.first_page}-{self.last_page}"
        if self.last_line == self.first_line:
            return f"{self.name}:{self.first_line}"
        return f"{self.name}:{self.first_line}-{self.last_line}"


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a Document along its own structure: a chapter, a section, a definition."""

    document: Document
    start: int
    end: int
    heading: str = ""
    level: int = 0

    @property
    def text(self) -> str:
        """The characters of the stretch."""
        return self.document.text[self.start : self.end]

    @property
    def span(self) -> Span:
        """Where the stretch lies."""
        return self.document.span(self.start, self.end)


def numbered(unit: str, numbers: list[int]) -> str:
    """Numbers in ascending order with their unit: `page 3` or `pages 3-7, 9`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    listed = ", ".join("-".join(map(str, run)) for run in runs)
    return f"{unit}{'s' if len(numbers) > 1 else ''} {listed}"


def printable(name: str) -> str:
    r"""The name in characters that a terminal shows as they are, never two names as one.

    Bytes that are no UTF-8 (surrogate escapes) and control characters become `\xNN`, invisible
    and direction-changing characters `\uNNNN`, and a backslash is doubled.
    """
    if name.isascii() and name.isprintable() and "\\" not in name:
        return name
    return "".join(map(_printable_character, name))


def _printable_character(character: str) -> str:
    code = ord(character)
    if character == "\\":
        return "\\\\"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
