"""A file's diff with the functions that it touches shown whole, and little else."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from longctx.ingest.code_structure import Definition, definitions
from longctx.ingest.document import Document
from longctx.ingest.read_text import decode

NUM_CONTEXT_LINES = 3
# Of a longer definition only the lines near the change are shown.
MAX_LINES = 120


class _Row(NamedTuple):
    """A line of a diff, and how many lines of the old and of the new file stand before it."""

    data: bytes
    old: int
    new: int


def with_surroundings(section: bytes, name: str) -> bytes:
    """The diff of one file, given with all its lines, cut to what is near a change.

    Near is what lies within three lines, or in the same function or short class. Each hunk is
    titled by the definition it begins to change.
    """
    head, mark, body = section.partition(b"\n@@ ")
    if not mark:
        return section
    rows = list(_rows(body.split(b"\n")[1:]))
    new_lines = [row.data[1:] for row in rows if row.data[:1] in b" +"]
    outline = _outline(name, b"\n".join(new_lines))
    shown = bytearray(len(new_lines) + 2)
    titles: dict[int, str] = {}
    for row in rows:
        if row.data[:1] in b"+-":
            line = row.new + (row.data[:1] == b"+")
            first, last, title = _around(outline, line)
            titles.setdefault(row.new, title)
            first, last = max(0, first), min(len(new_lines), last)
            shown[first : last + 1] = b"\1" * (last + 1 - first)
    hunks = _hunks([row for row in rows if row.data[:1] in b"+-\\" or shown[row.new + 1]], titles)
    return b"\n".join([head, *hunks, b""])


def _rows(lines: Sequence[bytes]) -> Iterator[_Row]:
    old = new = 0
    for line in lines:
        if line:
            yield _Row(line, old, new)
            old += line[:1] in b" -"
            new += line[:1] in b" +"


def _outline(name: str, data: bytes) -> list[tuple[int, int, Definition]]:
    """The definitions of the new file with their first and last lines."""
    decoded = decode(data)
    if decoded is None:
        return []
    document = Document(name, decoded[0], "code", "")
    return [
        (document.line_at(item.start), document.line_at(max(item.start, item.end - 1)), item)
        for item in definitions(document)
    ]


def _around(outline: Sequence[tuple[int, int, Definition]], line: int) -> tuple[int, int, str]:
    """The first and last line worth showing with a line, and the definition that holds it."""
    near = (line - NUM_CONTEXT_LINES, line + NUM_CONTEXT_LINES, "")
    index = bisect_right(outline, line, key=lambda item: item[0])
    for first, last, item in reversed(outline[:index]):
        if last >= line:
            title = f"{item.word} {item.name}"
            if last - first >= MAX_LINES:
                return near[0], near[1], title
            return min(first, near[0]), max(last, near[1]), title
        if item.depth == 0:
            break
    return near


def _hunks(rows: Iterable[_Row], titles: dict[int, str]) -> Iterator[bytes]:
    hunk: list[_Row] = []
    after = (0, 0)
    for row in rows:
        if hunk and (row.old, row.new) != after:
            yield _hunk(hunk, titles)
            hunk = []
        hunk.append(row)
        after = (row.old + (row.data[:1] in b" -"), row.new + (row.data[:1] in b" +"))
    if hunk:
        yield _hunk(hunk, titles)


def _hunk(rows: Sequence[_Row], titles: dict[int, str]) -> bytes:
    num_old = sum(row.data[:1] in b" -" for row in rows)
    num_new = sum(row.data[:1] in b" +" for row in rows)
    # A side without lines is named by the line before it.
    old, new = rows[0].old + (num_old > 0), rows[0].new + (num_new > 0)
    title = next((titles[row.new] for row in rows if row.data[:1] in b"+-"), "")
    mark = f"@@ -{old},{num_old} +{new},{num_new} @@ {title}".rstrip()
    return b"\n".join([mark.encode(), *(row.data for row in rows)])
