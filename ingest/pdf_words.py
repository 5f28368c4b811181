"""The words of a PDF page with the boxes around them, joined where only a space parts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np
import numpy.typing as npt

from longctx.ingest.pdf_glyphs import Boxes, Floats, Glyphs, Places
from longctx.ingest.pdf_layout import CELL_GAP, Piece
from longctx.ingest.pdf_text import LINE_HYPHENS, restored

_INVISIBLE = 3
# By how much a cell that is set beside a word is lower, or begins before it ends, in heights.
_SHIFT = 0.4
# Every character from here on counts as a letter.
_LETTERS = 0x3001
_IS_SPACE = np.array([chr(code).isspace() for code in range(_LETTERS)] + [False])
_IS_LINE_END = np.isin(np.arange(_LETTERS + 1), (10, 13))
_IS_HYPHEN = np.isin(np.arange(_LETTERS + 1), list(map(ord, LINE_HYPHENS)))
# The number of quarters by which text is turned that is set askew.
_ASKEW = -1
# Of text that is turned by a number of quarters, which edges become left, bottom, right and top
# once the page is turned back, and their signs.
_EDGES = ((0, 1, 2, 3), (3, 0, 1, 2), (2, 3, 0, 1), (1, 2, 3, 0))
_SIGNS = np.array([(1, 1, 1, 1), (-1, 1, -1, 1), (-1, -1, -1, -1), (1, -1, 1, -1)], np.int8)

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class OpenPage:
    """A page with its text, as long as its text page of pypdfium2 is open.

    `visible` is the part that is shown: left, bottom, right, top, in points, y going up.
    """

    textpage: Any
    text: str
    visible: tuple[float, float, float, float]


def pieces(pages: Sequence[OpenPage], room: Boxes) -> Iterator[tuple[list[Piece], list[str]]]:
    """The text of each page as Pieces in the order it is drawn, and its problems.

    A page that is set sideways is turned upright. Lines that are turned otherwise than most stay
    whole, wherever their words stand. Several pages are looked at in one go: for the words of one,
    numpy takes longer to be called than to compute.
    """
    text = "\n".join(page.text for page in pages)
    starts, lasts, begins = words_of(text)
    if not len(starts):
        yield from (([], []) for _ in pages)
        return
    look = _Look(pages, room)
    lines = starts[begins]
    quarters = look.quarters(lines)
    of_pages = look.split(lines, quarters)
    turns = [Counter(own.tolist()).most_common(1)[0][0] if len(own) else 0 for own in of_pages]
    is_odd = (quarters == _ASKEW) | (quarters != np.array(turns)[look.page_of(lines)])
    look.turns = [max(turn, 0) for turn in turns]
    odd = is_odd[np.cumsum(begins) - 1]
    first = look.boxes(starts)
    longer = np.flatnonzero(lasts > starts)
    last = first.copy()
    last[longer] = look.boxes(lasts[longer])
    height = first[:, 3] - first[:, 1]
    sloping = np.flatnonzero((np.abs(last[:, 1] - first[:, 1]) > _SHIFT * height) & ~odd)
    # A label that is set sideways may stand in a line with what was drawn before it.
    is_turned = look.quarters(lasts[sloping]) != np.array(look.turns)[look.page_of(lasts[sloping])]
    turned = sloping[is_turned]
    odd[turned] = begins[turned] = True
    begins[np.minimum(turned + 1, len(starts) - 1)] = True
    if cells := _overlooked(sloping[~is_turned], height, starts, lasts, look):
        at, places = np.searchsorted(starts, cells), np.array(cells)
        begins, odd = np.insert(begins, at, True), np.insert(odd, at, False)
        first = np.insert(first, at, look.boxes(places), axis=0)
        last = np.insert(last, at - 1, look.boxes(places - 1), axis=0)
        starts, lasts = np.insert(starts, at, places), np.insert(lasts, at - 1, places - 1)
    firsts, boxes = _joined(lasts - starts, begins, odd, first, last)
    begin = starts[firsts]
    ends = lasts[np.append(firsts[1:], len(starts)) - 1] + 1
    cuts = zip(begin.tolist(), ends.tolist(), strict=True)
    texts = [text[start:end] for start, end in cuts]
    outside = look.outside(begin, boxes)
    invisible = [_INVISIBLE in modes for modes in look.render_modes(lines)]
    bounds = look.bounds(begin)
    for number, (here, there) in enumerate(zip(bounds, bounds[1:], strict=False)):
        found = {"invisible": invisible[number], "outside": number in outside}
        own = map(Piece, restored(texts[here:there]), *boxes[here:there].T.tolist())
        yield list(own), [problem for problem, is_so in found.items() if is_so]


class _Look:
    """Open pages, whose texts are joined by line ends: a look at their characters by place."""

    def __init__(self, pages: Sequence[OpenPage], room: Boxes) -> None:
        self._glyphs = [Glyphs(page.textpage, len(page.text)) for page in pages]
        self._offsets = np.cumsum([0, *(len(page.text) + 1 for page in pages)])
        self._visible = np.array([page.visible for page in pages])
        self._room = room
        self.turns = [0] * len(pages)

    def page_of(self, places: Places) -> Places:
        """The number of the page that each character is on."""
        return np.searchsorted(self._offsets, places, "right") - 1

    def bounds(self, places: Places) -> list[int]:
        """Where the places of each page begin among those of all, and their end."""
        found: list[int] = np.searchsorted(places, self._offsets).tolist()
        return found

    def split(self, places: Places, values: Places) -> list[Places]:
        """The values, one for each place, page by page."""
        return np.split(values, self.bounds(places)[1:-1])

    def _own(self, places: Places) -> Iterator[tuple[Glyphs, Places]]:
        """Of each page its glyphs, and those of the places that are on it, counted from its own."""
        parts = self.split(places, places)
        for glyphs, own, offset in zip(self._glyphs, parts, self._offsets[:-1], strict=True):
            yield glyphs, own - offset

    def quarters(self, places: Places) -> Places:
        """How many quarters characters are turned; `_ASKEW` for what is turned otherwise."""
        angles = [angle for glyphs, own in self._own(places) for angle in glyphs.angles(own)]
        quarters = np.array(angles, np.float64) / (pi / 2)
        whole = np.rint(quarters)
        turned = np.where(np.abs(quarters - whole) < 0.05, whole % 4, _ASKEW)
        return turned.astype(np.intp)

    def render_modes(self, places: Places) -> list[set[int]]:
        """How characters are painted on each page: the numbers that PDF gives to the modes."""
        return [glyphs.render_modes(own) for glyphs, own in self._own(places)]

    def boxes(self, places: Places) -> Floats:
        """Left, bottom, right and top of characters, on pages that are turned upright: [N, 4]."""
        found, targets = self._room.room(len(places))
        bounds = self.bounds(places)
        for (glyphs, own), here, there in zip(
            self._own(places), bounds[:-1], bounds[1:], strict=True
        ):
            glyphs.fill(own, targets[here:there])
        boxes: Floats = found[:, (0, 3, 2, 1)]
        for turn, here, there in zip(self.turns, bounds[:-1], bounds[1:], strict=True):
            if turn:
                boxes[here:there] = boxes[here:there, _EDGES[turn]] * _SIGNS[turn]
        return boxes

    def outside(self, places: Places, boxes: Floats) -> set[int]:
        """The pages on which one of the boxes, which begin at those places, is not visible."""
        turned = zip(self._visible, self.turns, strict=True)
        visible = np.array([edges[list(_EDGES[turn])] * _SIGNS[turn] for edges, turn in turned])
        pages = self.page_of(places)
        around = visible[pages]
        is_out = (boxes[:, 2:] <= around[:, :2]) | (boxes[:, :2] >= around[:, 2:])
        return set(pages[is_out.any(axis=1)].tolist())


def _joined(
    lengths: Places, begins: Flags, odd: Flags, first: Floats, last: Floats
) -> tuple[Places, Floats]:
    """Which words begin a Piece, and the boxes around the Pieces: [N], [N, 4].

    Words are given by their lengths, by whether they begin a line, by whether their line is odd and
    stays whole, and by the boxes of their first and last characters.
    """
    lines = np.flatnonzero(begins)
    line = np.cumsum(begins) - 1
    left, right = first[:, 0], last[:, 2]
    wide = CELL_GAP * (first[:, 3] - first[:, 1])[_first_longest(lengths, lines)][line][1:]
    gaps = left[1:] - right[:-1]
    parted = begins.copy()
    parted[1:] |= ((gaps > wide) | (gaps < -2 * wide)) & ~odd[1:]
    firsts = np.flatnonzero(parted)
    ends = np.append(firsts[1:], len(lengths)) - 1
    # The longest word tells the height of the type: others are raised, or set in symbols.
    longest = _first_longest(lengths, firsts)
    boxes = np.stack([left[firsts], first[longest, 1], right[ends], first[longest, 3]], axis=1)
    whole = odd[firsts]
    begin, end = first[firsts[whole]], last[ends[whole]]
    boxes[whole, :2] = np.minimum(begin, end)[:, :2]
    boxes[whole, 2:] = np.maximum(begin, end)[:, 2:]
    return firsts, boxes


def words_of(text: str) -> tuple[Places, Places, Flags]:
    """The first and the last character of each word, and whether the word begins a line.

    After a hyphen at the end of a line pdfium goes on without a line end: the hyphen ends both.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    low = np.minimum(codes, _LETTERS)
    gap = np.ones(len(codes) + 2, bool)
    gap[1:-1] = _IS_SPACE[low]
    hyphen = np.zeros(len(codes) + 1, bool)
    hyphen[1:] = _IS_HYPHEN[low] | (codes == 0xFFFE)
    starts = np.flatnonzero(~gap[1:-1] & (gap[:-2] | hyphen[:-1]))
    lasts = np.flatnonzero(~gap[1:-1] & (gap[2:] | hyphen[1:]))
    line = np.cumsum(_IS_LINE_END[low])[starts]
    begins = np.ones(len(starts), bool)
    begins[1:] = (line[1:] != line[:-1]) | hyphen[lasts[:-1] + 1]
    return starts, lasts, begins


def _first_longest(lengths: Places, firsts: Places) -> Places:
    """The first of the longest words in each run of words; `firsts` holds where runs begin."""
    longest = np.maximum.reduceat(lengths, firsts)
    run = np.repeat(np.arange(len(firsts)), np.diff(firsts, append=len(lengths)))
    found = np.flatnonzero(lengths == longest[run])
    first: Places = found[np.searchsorted(run[found], np.arange(len(firsts)))]
    return first


def _overlooked(
    sloping: Places, heights: Floats, starts: Places, lasts: Places, look: _Look
) -> list[int]:
    """Where a cell begins that pdfium glues to the one before, which reaches into its column.

    Looked at are the `sloping` words, whose first and last characters stand at other heights. The
    cell does, and begins before the one before it ends; what is raised does not.
    """
    word = np.repeat(np.arange(len(sloping)), lasts[sloping] - starts[sloping] + 1)
    before = np.searchsorted(word, np.arange(len(sloping)))
    places = np.arange(len(word)) + (starts[sloping] - before)[word]
    boxes, least = look.boxes(places), (_SHIFT * heights[sloping])[word][1:]
    back = boxes[:-1, 2] - boxes[1:, 0] > least
    shifted = np.abs(boxes[1:, 1] - boxes[:-1, 1]) > least
    found: list[int] = places[1:][back & shifted & (word[1:] == word[:-1])].tolist()
    return found
