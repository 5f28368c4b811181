"""Text written block by block, which can be cut back, and where each stretch of it comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_INVISIBLE = re.compile("[\xad\u200b\u2060\ufeff]")
_BAR = " | "


@dataclass(slots=True)
class Row:
    """The row of a table being written: its cells stand in one line."""

    piece: int
    length: int
    num_cells: int = 0
    begins: bool = True


@dataclass(frozen=True, slots=True)
class Mark:
    """A state of the text to which it can be cut back."""

    piece: int
    length: int
    gap: int


@dataclass(slots=True)
class Flow:
    """The text so far, and what is due before the next word of it.

    `gap` is 1 where the next word begins a line and 2 where a blank one precedes it; `prefix` is
    the bullet it gets. `origins` holds (offset in the text, offset in the source) where `source`,
    which has the line ends of the original, is given.
    """

    source: str = ""
    pieces: list[str] = field(default_factory=list)
    length: int = 0
    gap: int = 0
    space: bool = False
    prefix: str = ""
    indent: int = 0
    row: Row | None = None
    origins: list[tuple[int, int]] = field(default_factory=list)

    def mark(self) -> Mark:
        """The state of now."""
        return Mark(len(self.pieces), self.length, self.gap)

    def since(self, mark: Mark) -> str:
        """The text since the mark."""
        return "".join(self.pieces[mark.piece :])

    def cut(self, mark: Mark) -> str:
        """The text since the mark, which is taken out."""
        removed = self.since(mark)
        del self.pieces[mark.piece :]
        self.length = mark.length
        while self.origins and self.origins[-1][0] >= self.length:
            self.origins.pop()
        self.gap, self.prefix = max(mark.gap, self.gap), ""
        return removed

    def apart(self, gap: int) -> None:
        """What comes next is set apart from what was written."""
        self.gap, self.space = max(self.gap, gap), False

    def words(self, data: str, offset: int) -> None:
        """Write text in which all white space is alike; it stands at `offset` of the source."""
        data = _INVISIBLE.sub("", data)
        if not self.source or "\n" not in data:
            self._words(data, offset)
            return
        for line in data.split("\n"):
            self._words(line, offset)
            self.space = True
            offset = self._next_line(offset)

    def _words(self, data: str, offset: int) -> None:
        words = data.split()
        if not words:
            self.space = self.space or bool(data)
            return
        offset += len(data) - len(data.lstrip())
        if not self._begin_block(offset):
            self.add(" " * (self.space or data[0].isspace()))
            self._comes_from(offset)
        self.add(" ".join(words))
        self.space = data[-1].isspace()

    def lines(self, data: str, offset: int) -> None:
        """Write text whose lines and spaces stay as they are."""
        self._begin_block(offset, indented=False)
        for number, line in enumerate(data.split("\n")):
            if number:
                self.add("\n")
                offset = self._next_line(offset)
            if line:
                self._comes_from(offset)
            self.add(line)

    def add(self, text: str) -> None:
        """Write text as it is."""
        if text:
            self.pieces.append(text)
            self.length += len(text)

    def _next_line(self, offset: int) -> int:
        return self.source.find("\n", offset) + 1 or offset

    def _comes_from(self, offset: int) -> None:
        if self.source:
            self.origins.append((self.length, offset))

    def _begin_block(self, offset: int = -1, *, indented: bool = True) -> bool:
        """Whether a new block was due; if so it is set apart here, and comes from `offset`."""
        if not self.gap and not self.prefix:
            return False
        if self.row is not None and not self.row.begins:
            apart = self.gap > 0 and self.pieces[-1] != _BAR
            self.add(" " * apart)
            if offset >= 0:
                self._comes_from(offset)
            self.add(self.prefix)
        else:
            self.add("\n" * ((self.gap or 1) if self.length else 0))
            if offset >= 0:
                self._comes_from(offset)
            self.add("  " * (self.indent - 1) * indented + self.prefix)
        if self.row is not None:
            self.row.begins = False
        self.gap, self.prefix = 0, ""
        return True

    def places(self, start: int, end: int) -> tuple[tuple[int, int], ...]:
        """The origins of that stretch as (offset, line of the source), only where they change."""
        lines: list[tuple[int, int]] = []
        line, counted = 1, 0
        for offset, origin in self.origins:
            line += self.source.count("\n", counted, origin)
            counted = max(counted, origin)
            # a block comes from where its indent begins, which may be before the first word of all
            place = max(0, offset - start)
            if lines and lines[-1][0] == place:
                lines.pop()
            if offset < end and (not lines or lines[-1][1] != line):
                lines.append((place, line))
        return tuple(lines)

    def begin_row(self) -> None:
        """Begin a row of a table."""
        self.row = Row(len(self.pieces), self.length)
        self.apart(1)

    def begin_cell(self) -> None:
        """Begin a cell, with a bar before it where it is not the first of its row."""
        row = self.row
        assert row is not None
        if row.num_cells:
            if row.begins:
                self._begin_block()
            self.gap, self.space = 0, False
            self.add(_BAR)
        row.num_cells += 1

    def leave_row(self) -> None:
        """Go on in blocks, without the bar before a cell that does not stay in line."""
        if self.row is not None and self.pieces and self.pieces[-1] == _BAR:
            self.length -= len(self.pieces.pop())
        self.row = None

    def end_row(self) -> None:
        """End the row; one without any text leaves nothing behind."""
        row = self.row
        if row is not None and not self.since(Mark(row.piece, row.length, 0)).strip(" |\n"):
            self.cut(Mark(row.piece, row.length, 1))
        self.row = None
        self.apart(1)
