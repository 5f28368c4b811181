"""Tables of rows (CSV, TSV, JSON Lines): whole, or where they are huge a sample of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.read_text import read_text

# Tables up to this many characters are shown whole, and this many of longer ones.
MAX_CHARACTERS = 1 << 20
SAMPLE = 1 << 16
# The sample is cut into this many stretches: the first rows, the last, and others between.
STRETCHES = 16
# A quoted field with more lines than this was never closed: its lines are rows.
MAX_ROW_LINES = 1000


def read_rows(source: Source, data: bytes) -> Document | Skipped:
    """The Document in a table; of a huge one stretches of rows, with notice of what is left out."""
    document = read_text(source, data)
    if isinstance(document, Skipped) or len(document.text) <= MAX_CHARACTERS:
        return document
    return _sampled(document)


def _sampled(document: Document) -> Document:
    """The Document with its first rows, its last, and some between; each keeps its line."""
    text = document.text
    rows = _rows(document)
    num_rows = len(rows) - 1
    shown = _stretches([text_start for text_start, _ in rows])
    pieces: list[str] = []
    marks: list[tuple[int, int]] = []
    position = after = 0

    def notice(row: int) -> None:
        nonlocal position
        if row > after:
            marks.append((position, rows[after][1]))
            count = row - after
            pieces.append(f"[{count:,} row{'s' if count > 1 else ''} left out]\n")
            position += len(pieces[-1])

    for first, last in shown:
        notice(first)
        stretch = text[rows[first][0] : rows[last][0]]
        for number, line in enumerate(stretch.splitlines(keepends=True)):
            marks.append((position, rows[first][1] + number))
            position += len(line)
        pieces.append(stretch)
        if not stretch.endswith("\n"):
            pieces.append("\n")
            position += 1
        after = last
    notice(num_rows)
    num_shown = sum(last - first for first, last in shown)
    note = (
        f"a sample: {num_shown:,} of {num_rows:,} rows in {len(shown)} stretches,"
        f" {num_rows - num_shown:,} rows left out"
    )
    return replace(
        document,
        text="".join(pieces),
        notes=(*document.notes, note),
        line_marks=tuple(marks),
    )


def _rows(document: Document) -> list[tuple[int, int]]:
    """Where each row begins, and on which line; last the end of the text."""
    text = document.text
    starts = document.line_starts[: document.num_lines]
    numbers = list(range(len(starts)))
    if '"' in text and not document.name.lower().endswith(("jsonl", "ndjson")):
        numbers = _records(text, starts)
    rows = [(starts[number], number + 1) for number in numbers]
    return [*rows, (len(text), len(starts) + 1)]


def _records(text: str, starts: list[int]) -> list[int]:
    """The lines that begin a row: those outside of quoted fields (RFC 4180)."""
    found: list[int] = []
    quoted = False
    for number, (start, end) in enumerate(pairwise([*starts, len(text)])):
        if not quoted:
            found.append(number)
        if text.count('"', start, end) % 2:
            quoted = not quoted
    longest = max(last - first for first, last in pairwise([*found, len(starts)]))
    return list(range(len(starts))) if longest > MAX_ROW_LINES else found


def _stretches(starts: list[int]) -> list[tuple[int, int]]:
    """The rows to show, as ranges of their numbers, spread evenly and no longer than the sample."""
    num_rows = len(starts) - 1
    room = SAMPLE // STRETCHES
    found: list[tuple[int, int]] = []

    def fitting(first: int, step: int) -> int:
        """The end of the longest stretch from a row on, forwards or backwards, that has room."""
        last = first
        while 0 <= last + step <= num_rows and abs(starts[last + step] - starts[first]) <= room:
            last += step
        return last

    for index in range(STRETCHES):
        if index < STRETCHES - 1:
            first = index * num_rows // (STRETCHES - 1)
            last = fitting(first, 1)
        else:
            first, last = fitting(num_rows, -1), num_rows
        if found:
            first = max(first, found[-1][1])
        if first < last:
            if found and found[-1][1] == first:
                first = found.pop()[0]
            found.append((first, last))
    return found
