"""Segments joined to stretches worth one question each."""

from __future__ import annotations

from collections.abc import Sequence

from longctx.ingest.document import Segment
from longctx.ingest.segment import segments
from longctx.prompts.pack import Part


def shown_segments(part: Part) -> list[Segment]:
    """The Segments of a Document as far as the Pack shows them."""
    return [
        Segment(item.document, max(item.start, start), min(item.end, end), item.heading, item.level)
        for start, end in part.ranges
        for item in segments(part.document)
        if item.start < end and item.end > start
    ]


def grouped(parts: Sequence[Segment], limit: int) -> list[Segment]:
    """The Segments joined, in order, to stretches of at most `limit` characters.

    Neighbours are joined while they fit, but a stretch half full ends where a higher level begins;
    a Segment longer than `limit` is cut at line ends. Nothing is left out.
    """
    groups: list[list[Segment]] = []
    for piece in (piece for part in parts for piece in _cut(part, limit)):
        if groups and _joins(groups[-1], piece, limit):
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return [_joined(group) for group in groups]


def _joins(group: list[Segment], piece: Segment, limit: int) -> bool:
    """Whether the piece still belongs to the group."""
    start = group[0].start
    half_full = piece.start - start > limit // 2
    return (
        group[-1].end == piece.start
        and piece.end - start <= limit
        and not (half_full and piece.level < group[-1].level)
    )


def _joined(group: list[Segment]) -> Segment:
    """The group as one Segment, named by the first and the last of its highest headings."""
    level = min((item.level for item in group if item.heading), default=group[0].level)
    titles = [item.heading for item in group if item.heading and item.level == level]
    title = " to ".join(dict.fromkeys((titles[0], titles[-1]))) if titles else ""
    return Segment(group[0].document, group[0].start, group[-1].end, title, level)


def _cut(part: Segment, limit: int) -> list[Segment]:
    """The Segment in pieces of near equal length that end at line ends."""
    length = part.end - part.start
    if length <= limit:
        return [part]
    wanted = -(-length // -(-length // limit))
    pieces: list[Segment] = []
    start, text = part.start, part.document.text
    while part.end - start > limit:
        end = text.rfind("\n", start, start + wanted) + 1
        if end <= start:
            end = start + wanted
        pieces.append(Segment(part.document, start, end, part.heading, part.level))
        start = end
    if start < part.end:
        pieces.append(Segment(part.document, start, part.end, part.heading, part.level))
    return pieces
