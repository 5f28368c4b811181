"""More than the window holds: trimmed in a stated order, or split into parts that fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from longctx.ingest.document import Document, Segment, Skipped
from longctx.ingest.errors import OverBudget
from longctx.ingest.segment import segments
from longctx.prompts.budget import Budget
from longctx.prompts.grouping import grouped
from longctx.prompts.pack import STRIDE, Count, Cut, Pack, contents_line, pack
from longctx.prompts.relevance import relevance

UNIT_CHARACTERS = 4_000
# A page mark or a gap mark, and a line mark, in tokens of any tokenizer that is used here.
_GAP_TOKENS = 12
_MARK_TOKENS = 7
# What a table of contents may take of the room for its Document.
_CONTENTS_SHARE = 0.15
_NEIGHBOUR_SHARE = 0.25

_TEST = re.compile(r"(?:^|/)(?:tests?|testing|specs?|__tests__)/|(?:^|/)(?:test_|conftest\.)")
_TEST_NAME = re.compile(r"(?:_test|_spec|\.test|\.spec)\.\w+$")
_BUILT = re.compile(r"(?:^|/)dist/")
_CONTENTS_LINE = re.compile(r"\.{3} ?\w+$", re.M)
_SOURCE, _TESTS, _OTHER = "source", "tests", "data"
_ORDER = (_SOURCE, _TESTS, _OTHER)


def fit(
    documents: Sequence[Document],
    skipped: Iterable[Skipped] = (),
    *,
    key: bytes,
    count: Count,
    budget: Budget,
    focus: str = "",
    question: str = "",
    stride: int = STRIDE,
) -> Pack:
    """The Pack of what matters most under the Budget, with every Cut listed.

    First come Documents whose names match a word of `focus` read as a gitignore pattern, then
    source, tests, data; within these the closest to the words of `question` and `focus`, then in
    the order given. A Document too large for the whole Budget, and the first for which the room
    runs short, gives the pages or Segments closest to these words, without any its beginning.

    Raises:
        OverBudget: not even one Document's smallest part fits.
    """
    whole = pack(documents, skipped, key=key, count=count, stride=stride)
    if whole.num_tokens <= budget.num_tokens:
        return whole
    costs = [part.num_tokens + count(contents_line(part.document)) + 1 for part in whole.parts]
    focused = _focused(documents, focus)
    question = f"{question} {focus}".strip()
    ranking = _ranking(documents, focused, question)
    kept: dict[int, list[Document | Segment]] = {}
    room = budget.num_tokens - _GAP_TOKENS * 3
    short: int | None = None
    giants = sum(cost > budget.num_tokens for cost in costs)
    for index in ranking:
        if costs[index] <= room:
            kept[index] = [documents[index]]
            room -= costs[index]
        elif costs[index] > budget.num_tokens:
            share = room // giants
            giants -= 1
            room -= _trim(kept, index, documents[index], share, count, question, stride)
        elif short is None:
            short = index
    if short is not None:
        _trim(kept, short, documents[short], room, count, question, stride)
    while True:
        items = [item for index in sorted(kept) for item in kept[index]]
        if not items:
            raise _too_small(budget, documents)
        cuts = _cuts(documents, kept, focused, count, question)
        packed = pack(items, skipped, key=key, count=count, cuts=cuts, stride=stride)
        if packed.num_tokens <= budget.num_tokens:
            return packed
        _drop(kept, ranking, packed.num_tokens - budget.num_tokens, count)


def split(
    documents: Sequence[Document],
    skipped: Iterable[Skipped] = (),
    *,
    key: bytes,
    count: Count,
    budget: Budget,
    stride: int = STRIDE,
) -> tuple[Pack, ...]:
    """Packs that each fit the Budget and together hold everything, in order.

    A Document is cut, along its Segments, only where it is larger than the Budget.

    Raises:
        OverBudget: the Budget is too small for even one Segment.
    """
    skipped = tuple(skipped)
    groups: list[list[Document | Segment]] = [[]]
    room = full = budget.num_tokens - _GAP_TOKENS * 3
    for document in documents:
        alone = pack([document], key=key, count=count, stride=stride)
        if alone.num_tokens <= budget.num_tokens:
            pieces: list[Document | Segment] = [document]
            costs = [alone.parts[0].num_tokens + count(contents_line(document)) + 1]
        else:
            units = grouped(segments(document), max(1_000, full))
            pieces = [*units]
            costs = [_cost(unit, count, stride) for unit in units]
        for piece, cost in zip(pieces, costs, strict=True):
            if cost > room and groups[-1]:
                groups.append([])
                room = full
            groups[-1].append(piece)
            room -= cost

    def packed(items: list[Document | Segment]) -> list[Pack]:
        found = pack(items, skipped, key=key, count=count, stride=stride)
        if found.num_tokens <= budget.num_tokens:
            return [found]
        if len(items) == 1:
            items = _halves(items[0])
        if len(items) == 1:
            raise _too_small(budget, documents)
        middle = len(items) // 2
        return [*packed(items[:middle]), *packed(items[middle:])]

    return tuple(item for group in groups for item in packed(group))


def _focused(documents: Sequence[Document], focus: str) -> set[int]:
    """The indices of the Documents whose names match a word of the focus."""
    from pathspec import GitIgnoreSpec

    matches = GitIgnoreSpec.from_lines(focus.replace(",", " ").split()).match_file
    return {index for index, document in enumerate(documents) if matches(document.name)}


def _ranking(documents: Sequence[Document], focused: set[int], question: str) -> list[int]:
    """The indices of the Documents, the one to keep first in front."""
    scores = relevance([document.text for document in documents], question)
    return sorted(
        range(len(documents)),
        key=lambda index: (
            index not in focused,
            _ORDER.index(_role(documents[index])),
            -scores[index],
            index,
        ),
    )


def _role(document: Document) -> str:
    """Whether a Document is source, a test, or data."""
    if document.kind == "data" or document.is_copied_in or _BUILT.search(document.name):
        return _OTHER
    name = PurePosixPath(document.name).name
    return _TESTS if _TEST.search(document.name) or _TEST_NAME.search(name) else _SOURCE


def _trim(
    kept: dict[int, list[Document | Segment]],
    index: int,
    document: Document,
    room: int,
    count: Count,
    question: str,
    stride: int,
) -> int:
    """Keep of one Document what fits the room, and return the tokens that takes."""
    units = _units(document)
    costs = [_cost(unit, count, stride) for unit in units]
    room -= count(contents_line(document)) + _GAP_TOKENS * 4
    left = room
    chosen: set[int] = set()
    for unit in _preference(units, costs, room, question):
        if costs[unit] <= left:
            chosen.add(unit)
            left -= costs[unit]
        elif not question:
            # a beginning is kept whole, and no scrap from far behind it
            break
    if not chosen:
        return 0
    kept[index] = [units[unit] for unit in sorted(chosen)]
    return room - left


def _units(document: Document) -> list[Segment]:
    """The smallest parts of a Document that are kept or left out: pages, or grouped Segments."""
    if document.pages:
        return [
            Segment(document, page.start, page.end, f"{page.unit} {page.number}")
            for page in document.pages
            if page.start < page.end
        ]
    return grouped(segments(document), UNIT_CHARACTERS)


def _cost(unit: Segment, count: Count, stride: int) -> int:
    """The tokens of a unit with its marks, at most."""
    num_marks = unit.text.count("\n") // stride + 1 if stride else 0
    return count(unit.text) + _GAP_TOKENS + num_marks * _MARK_TOKENS


def _preference(
    units: Sequence[Segment], costs: Sequence[int], room: int, question: str
) -> list[int]:
    """The units, best first: a short table of contents, then by the question, then in order."""
    texts = [unit.text for unit in units]
    raw = relevance(texts, question)
    # What a page says goes on on the next one, and begins on the one before.
    scores = [
        score + _NEIGHBOUR_SHARE * max([*raw[max(0, at - 1) : at], *raw[at + 1 : at + 2]] or [0.0])
        for at, score in enumerate(raw)
    ]
    ranked = sorted(range(len(units)), key=lambda index: (-scores[index], index))
    share = room * _CONTENTS_SHARE if any(raw) else 0
    contents: list[int] = []
    for index, text in enumerate(texts):
        if costs[index] <= share and len(_CONTENTS_LINE.findall(text)) >= 5:
            contents.append(index)
            share -= costs[index]
    return list(dict.fromkeys((*ranked[:1], *contents, *ranked)))


def _cuts(
    documents: Sequence[Document],
    kept: dict[int, list[Document | Segment]],
    focused: set[int],
    count: Count,
    question: str,
) -> list[Cut]:
    """What is not kept: whole Documents and stretches of others, in the order of the Documents."""
    later = "less close to the question" if question else "later than what the window holds"
    cuts: list[Cut] = []
    for index, document in enumerate(documents):
        role = _role(document)
        if index in kept:
            why = later
        elif focused and index not in focused:
            why = "not in the focus"
        elif role != _SOURCE:
            why = f"{role} come after {_ORDER[_ORDER.index(role) - 1]}"
        else:
            why = later
        shown = 0
        ranges = [_range(item) for item in kept.get(index, ())]
        for start, end in (*ranges, (len(document.text), len(document.text))):
            if start > shown:
                cuts.append(
                    Cut(document.span(shown, start), count(document.text[shown:start]), why)
                )
            shown = max(shown, end)
    return cuts


def _range(item: Document | Segment) -> tuple[int, int]:
    return (item.start, item.end) if isinstance(item, Segment) else (0, len(item.text))


def _drop(
    kept: dict[int, list[Document | Segment]], ranking: Sequence[int], excess: int, count: Count
) -> None:
    """Remove what ranks last until `excess` tokens are gone."""
    for index in reversed(ranking):
        while index in kept and excess > 0:
            excess -= count(kept[index].pop().text)
            if not kept[index]:
                del kept[index]


def _halves(item: Document | Segment) -> list[Document | Segment]:
    """The item in two at a line end near its middle; as it is where it has only one character."""
    start, end = _range(item)
    if end - start < 2:
        return [item]
    document = item.document if isinstance(item, Segment) else item
    middle = document.text.rfind("\n", start, (start + end) // 2) + 1
    if middle <= start:
        middle = (start + end) // 2
    heading, level = (item.heading, item.level) if isinstance(item, Segment) else ("", 0)
    return [
        Segment(document, start, middle, heading, level),
        Segment(document, middle, end, heading, level),
    ]


def _too_small(budget: Budget, documents: Sequence[Document]) -> OverBudget:
    return OverBudget(
        f"the window leaves {budget.num_tokens:,} tokens (of {budget.window:,}) for "
        f"{len(documents)} documents, too few for even one part of one",
        "choose a larger window with --window, or a model with one: longctx models",
    )
