"""The words of a PDF page as lines in reading order: cells of tables apart, columns one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

# A wider space than this, in heights of the type, parts two cells; justified lines stay below.
CELL_GAP = 1.0
# A column of prose: at least this many lines of this many characters that begin at the same place.
_MIN_LINES = 8
_MIN_CHARACTERS = 20
# What is farther from the line before than usual, by this many heights, is a new paragraph.
_APART = 0.5
# How far apart, in points, places may be that count as the same.
_NEAR = 4.0


class Piece(NamedTuple):
    """A stretch of text on one line, without wide spaces, and the box around it, y going up."""

    text: str
    left: float
    bottom: float
    right: float
    top: float

    @property
    def height(self) -> float:
        """The height of its type."""
        return self.top - self.bottom


Row = list[Piece]


def reading_order(pieces: Sequence[Piece]) -> list[Row]:
    """The rows of a page, each with its cells from left to right, in the order they are read.

    What a file draws first mostly is what is read first. The boxes decide only where that order
    contradicts them: where it goes along both columns of prose at once, or back up in a column.
    """
    starts = _column_starts(pieces)
    rows = _rows(pieces, starts)
    if _drawn_across(pieces, starts) or _climbs(rows):
        return _by_place(rows, starts)
    return rows


def row_text(row: Row) -> str:
    """The cells of a row, set apart by two spaces."""
    return "  ".join(piece.text for piece in row)


def page_text(rows: Sequence[Row]) -> str:
    """The rows as lines, with a blank line where they stand farther apart than most."""
    spaces = [first[0].bottom - second[0].top for first, second in pairwise(rows)]
    usual = median(spaces) if spaces else 0.0
    lines = [f"{row_text(row)}\n" for row in rows]
    for place, space in enumerate(spaces, 1):
        if space > usual + _APART * rows[place][0].height:
            lines[place] = f"\n{lines[place]}"
    return "".join(lines)


def same_line(first: Piece, second: Piece) -> bool:
    """Whether the middle of one lies within the height of the other."""
    middle = (second.bottom + second.top) / 2
    return first.bottom < middle < first.top or (
        second.bottom < (first.bottom + first.top) / 2 < second.top
    )


def _is_prose(piece: Piece) -> bool:
    text = piece.text
    if len(text) >= _MIN_CHARACTERS:
        return True
    if text.isascii():
        return False
    # A Chinese character is as wide as two letters.
    return len(text) + sum(character > "\u2e80" for character in text) >= _MIN_CHARACTERS


def _column_starts(pieces: Sequence[Piece]) -> list[float]:
    """Where the second and further columns of prose begin, from left to right."""
    prose = sorted(filter(_is_prose, pieces), key=lambda piece: piece.left)
    if len(prose) < 2 * _MIN_LINES:
        return []
    groups: list[list[Piece]] = [[prose[0]]]
    for piece in prose[1:]:
        if piece.left - groups[-1][0].left > _NEAR:
            groups.append([])
        groups[-1].append(piece)
    starts: list[float] = []
    for group in groups:
        start = group[0].left
        if len(group) < _MIN_LINES:
            continue
        before = [piece for piece in prose if piece.right < start + 1]
        across = [piece for piece in prose if piece.left < start - 1 and piece.right > start + 1]
        edge = starts[-1] if starts else min((piece.left for piece in before), default=start)
        beside = [
            piece
            for piece in before
            if piece.left > edge - _NEAR and any(same_line(piece, other) for other in group)
        ]
        if len(beside) < _MIN_LINES or len(across) > len(group) + len(before):
            continue
        # The lines of prose fill their column; a label of a table does not reach the next one.
        reach = median(piece.right for piece in beside)
        if reach - edge > 0.7 * (start - edge):
            starts.append(start)
    return starts


def _column(piece: Piece, starts: Sequence[float]) -> int:
    """The column that a piece begins in."""
    return sum(piece.left > start - _NEAR for start in starts)


def _crosses(piece: Piece, starts: Sequence[float]) -> bool:
    return any(piece.left < start - _NEAR and piece.right > start + _NEAR for start in starts)


def _rows(pieces: Iterable[Piece], starts: Sequence[float]) -> list[Row]:
    """Pieces drawn one after the other on one line of one column, as rows."""
    rows: list[Row] = []
    for piece in pieces:
        last = rows[-1][-1] if rows else None
        if (
            last is not None
            and piece.left >= last.right - 1
            and same_line(last, piece)
            and (not starts or _column(last, starts) == _column(piece, starts))
        ):
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return rows


def _drawn_across(pieces: Sequence[Piece], starts: Sequence[float]) -> bool:
    """Whether the columns of prose are drawn line by line across them."""
    if not starts:
        return False
    times = sum(
        _column(first, starts) < _column(second, starts) and same_line(first, second)
        for first, second in pairwise(pieces)
        if _is_prose(first) and _is_prose(second)
    )
    return times >= _MIN_LINES


def _climbs(rows: Sequence[Row]) -> bool:
    """Whether the order goes up again in a column, or up and to the left of one."""
    prose = [row for row in rows if _is_prose(row[-1]) or _is_prose(row[0])]
    return any(
        second[0].bottom > first[0].top - first[0].height / 4
        and second[0].left < first[-1].right - _NEAR
        for first, second in pairwise(prose)
    )


def _by_place(rows: Iterable[Row], starts: Sequence[float]) -> list[Row]:
    """The rows from top to bottom, column by column between the rows that go across columns."""
    ordered: list[Row] = []
    columns: list[list[Row]] = [[] for _ in range(len(starts) + 1)]

    def flush() -> None:
        for column in columns:
            ordered.extend(column)
            column.clear()

    for row in sorted(rows, key=lambda row: (-row[0].bottom, row[0].left)):
        if any(_crosses(piece, starts) for piece in row):
            flush()
            ordered.append(row)
        else:
            columns[_column(row[0], starts)].append(row)
    flush()
    return ordered
