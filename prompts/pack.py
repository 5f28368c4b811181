"""The Pack: the text that every command prefills, and the way back from it to the originals."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from longctx.ingest.document import Document, Segment, Skipped, Span
from longctx.ingest.errors import InputError, OverBudget
from longctx.prompts.boundary import close_mark, document_mark, keyed_mark, open_mark, quotable
from longctx.prompts.budget import Budget, estimate
from longctx.prompts.searchable import Run, Searchable

Count = Callable[[str], int]
STRIDE = 10


@dataclass(frozen=True, slots=True)
class Cut:
    """A stretch of a Document that was left out, and why."""

    span: Span
    num_tokens: int
    reason: str


@dataclass(frozen=True, slots=True)
class Part:
    """A Document in the Pack: its place in the text, and the ranges of it that are shown."""

    document: Document
    mark: str
    start: int
    end: int
    num_tokens: int
    ranges: tuple[tuple[int, int], ...]

    @property
    def whole(self) -> bool:
        """Whether every character of the Document is shown."""
        return self.ranges == ((0, len(self.document.text)),)


@dataclass(frozen=True, eq=False)
class Pack:
    """Documents rendered for one prompt, with what was left out.

    `estimated` says that the token counts are guesses. `runs` maps stretches of `text` to the
    Documents, in order; marks lie between them.
    """

    text: str
    parts: tuple[Part, ...]
    num_tokens: int
    runs: tuple[Run, ...]
    skipped: tuple[Skipped, ...] = ()
    cuts: tuple[Cut, ...] = ()
    estimated: bool = False

    @property
    def documents(self) -> tuple[Document, ...]:
        """The Documents of which anything is shown, in order."""
        return tuple(part.document for part in self.parts)

    @property
    def unmarked(self) -> tuple[str, ...]:
        """The names of the Documents and what is shown of each, without any marks."""
        return tuple(
            text
            for part in self.parts
            for text in (
                part.document.name,
                *(part.document.text[start:end] for start, end in part.ranges),
            )
        )

    def segment(self, start: int, end: int) -> Segment | None:
        """The stretch of a Document behind `text[start:end]`.

        Marks inside or at the edges of the range are passed over. None for marks only, or for more
        than one Document.
        """
        first = bisect_right(self.runs, start, key=lambda run: run.end)
        last = bisect_right(self.runs, end - 1, key=lambda run: run.start) - 1
        if first > last or self.runs[first].part != self.runs[last].part:
            return None
        head, tail = self.runs[first], self.runs[last]
        return Segment(
            self.parts[head.part].document,
            head.offset + max(0, start - head.start),
            tail.offset + min(end, tail.end) - tail.start,
        )

    def locate(self, start: int, end: int) -> Span | None:
        """Where `text[start:end]` comes from, or None as for `segment`."""
        found = self.segment(start, end)
        return None if found is None else found.span

    @cached_property
    def searchable(self) -> Searchable:
        """The Documents' text without marks, folded for searching quotes; built on first use."""
        return Searchable(self.text, self.runs)


def pack(
    items: Sequence[Document | Segment],
    skipped: Iterable[Skipped] = (),
    *,
    key: bytes,
    count: Count,
    budget: Budget | None = None,
    cuts: Iterable[Cut] = (),
    stride: int = STRIDE,
) -> Pack:
    """The Pack of whole Documents, or of Segments of them, in the order given.

    Every `stride`-th line is preceded by a line mark, every page by a page mark. The same inputs
    and key give the same text.

    Raises:
        InputError: there is nothing to pack.
        OverBudget: the Pack takes more tokens than `budget` allows.
    """
    skipped = tuple(skipped)
    if not items:
        reasons = "; ".join(f"{item.name}: {item.reason}" for item in skipped[:3])
        raise InputError(
            f"there is nothing to read{f' ({reasons})' if reasons else ''}",
            "name a directory, a file or - for stdin that holds text",
        )
    parts: list[Part] = []
    runs: list[Run] = []
    pieces: list[str] = []
    position = 0
    for _, group in groupby(items, key=lambda item: id(_document(item))):
        members = list(group)
        document, ranges = _document(members[0]), _ranges(members)
        mark = document_mark(key, document)
        text, part_runs = render(document, ranges, mark=mark, stride=stride)
        runs += [
            Run(run.start + position, run.end + position, len(parts), run.offset)
            for run in part_runs
        ]
        parts.append(Part(document, mark, position, position + len(text), count(text), ranges))
        pieces.append(text)
        position += len(text)
    contents = render_contents(parts, mark=keyed_mark(key, " ".join(part.mark for part in parts)))
    packed = Pack(
        text="".join((*pieces, contents)),
        parts=tuple(parts),
        # Each piece ends in a newline and the next begins with "<": every pre-tokenizer splits
        # there, so the sum is the count of the whole.
        num_tokens=sum(part.num_tokens for part in parts) + count(contents),
        runs=tuple(runs),
        skipped=skipped,
        cuts=tuple(cuts),
        estimated=count is estimate,
    )
    if budget is not None and packed.num_tokens > budget.num_tokens:
        raise _over_budget(packed, budget)
    return packed


def render(
    document: Document, ranges: Sequence[tuple[int, int]], *, mark: str, stride: int = STRIDE
) -> tuple[str, list[Run]]:
    """The Document between its boundary marks, and the Runs of its characters in that text."""
    pieces = [open_mark(document, mark)]
    runs: list[Run] = []
    position, shown = len(pieces[0]), 0

    def add(text: str) -> None:
        nonlocal position
        pieces.append(text)
        position += len(text)

    for start, end in ranges:
        if start > shown:
            add(_gap_mark(document, shown, start))
        for first, last in _stretches(document, start, end, stride):
            add(_place_mark(document, first) if stride else "")
            runs.append(Run(position, position + last - first, 0, first))
            add(document.text[first:last])
            if document.text[last - 1] != "\n":
                add("\n")
        shown = end
    if shown < len(document.text):
        add(_gap_mark(document, shown, len(document.text)))
    add(close_mark(mark))
    return "".join(pieces), runs


def render_contents(parts: Sequence[Part], *, mark: str) -> str:
    """The list of what the Pack holds, which follows the Documents."""
    lines = "".join(f"{contents_line(part.document)}\n" for part in parts)
    noun = "document" if len(parts) == 1 else "documents"
    return f'<contents id="{mark}">\n{len(parts)} {noun}:\n{lines}</contents id="{mark}">\n'


def contents_line(document: Document) -> str:
    """One entry of the contents: the name and how long the Document is."""
    count = len(document.pages) or document.num_lines
    return f"{quotable(document.name)} ({count} {document.unit}{'' if count == 1 else 's'})"


def _document(item: Document | Segment) -> Document:
    return item.document if isinstance(item, Segment) else item


def _ranges(items: Sequence[Document | Segment]) -> tuple[tuple[int, int], ...]:
    """The character ranges of one Document's items, joined where they touch."""
    ranges: list[tuple[int, int]] = []
    for item in items:
        start, end = (item.start, item.end) if isinstance(item, Segment) else (0, len(item.text))
        assert start < end and (not ranges or ranges[-1][1] <= start), "Segments are out of order"
        if ranges and ranges[-1][1] == start:
            start = ranges.pop()[0]
        ranges.append((start, end))
    return tuple(ranges)


def _stretches(document: Document, start: int, end: int, stride: int) -> Iterable[tuple[int, int]]:
    """The pieces of a range that each get a place mark of their own."""
    if not stride:
        return [(start, end)]
    grid = (
        [page.start for page in document.pages]
        if document.pages
        else document.line_starts[::stride]
    )
    inner = grid[bisect_right(grid, start) : bisect_right(grid, end - 1)]
    points = [start, *dict.fromkeys(inner), end]
    return zip(points, points[1:], strict=False)


def _place_mark(document: Document, offset: int) -> str:
    if document.pages:
        return f"[{document.unit} {document.page_at(offset)}]\n"
    return f"[line {document.line_at(offset)}]\n"


def _gap_mark(document: Document, start: int, end: int) -> str:
    span = document.span(start, end)
    first, last = (
        (span.first_page, span.last_page) if document.pages else (span.first_line, span.last_line)
    )
    if first == last:
        return f"[{document.unit} {first} left out]\n"
    return f"[{document.unit}s {first}-{last} left out]\n"


def _over_budget(packed: Pack, budget: Budget) -> OverBudget:
    largest = sorted(packed.parts, key=lambda part: -part.num_tokens)[:3]
    names = ", ".join(f"{part.document.name} {part.num_tokens:,}" for part in largest)
    about = "about " if packed.estimated else ""
    return OverBudget(
        f"the documents take {about}{packed.num_tokens:,} tokens and the window leaves "
        f"{budget.num_tokens:,} for them (of {budget.window:,}); the largest: {names}",
        "trim with --fit, go part by part with --split, or leave files out with --exclude",
    )
