"""The words of a PDF page with the boxes around them, joined where only a space parts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import pi
from typing import Any

import numpy as np
import numpy.typing as npt

from longctx.ingest.pdf_glyphs import Glyphs, Places
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

Flags = npt.NDArray[np.bool_]
Box = tuple[Any, Any, Any, Any]
"""Left, bottom, right, top, in points, y going up: four numbers, or four arrays of them."""
Boxes = Callable[[Places], Box]


def pieces(textpage: Any, visible: Box) -> tuple[list[Piece], list[str]]:
    """The text of a text page of pypdfium2 as Pieces in the order it is drawn, and its problems.

    A page that is set sideways is turned upright. Lines that are turned otherwise than most stay
    whole, wherever their words stand.
    """
    text = textpage.get_text_range()
    if not text or text.isspace():
        return [], []
    glyphs = Glyphs(textpage, len(text))
    starts, lasts, begins = words_of(text)
    lines = starts[begins]
    quarters = [_quarter(angle) for angle in glyphs.angles(lines)]
    turn = Counter(quarters).most_common(1)[0][0]
    is_odd = np.array([quarter is None or quarter != turn for quarter in quarters])
    odd = is_odd[np.cumsum(begins) - 1]
    upright = _UPRIGHT[turn or 0]

    def boxes_of(places: Places) -> Box:
        return upright(*glyphs.boxes(places))

    first, last = boxes_of(starts), boxes_of(lasts)
    if cells := _overlooked(first, last, starts, lasts, boxes_of):
        at = np.searchsorted(starts, cells)
        begins, odd = np.insert(begins, at, True), np.insert(odd, at, False)
        starts, lasts = np.insert(starts, at, cells), np.insert(lasts, at - 1, np.array(cells) - 1)
        first, last = boxes_of(starts), boxes_of(lasts)
    firsts, boxes = _joined(lasts - starts, begins, odd, first, last)
    ends = lasts[np.append(firsts[1:], len(starts)) - 1] + 1
    cuts = zip(starts[firsts].tolist(), ends.tolist(), strict=True)
    texts = restored([text[start:end] for start, end in cuts])
    problems = ["invisible"] if _INVISIBLE in glyphs.render_modes(lines) else []
    left, bottom, right, top = upright(*visible)
    if ((boxes[:, 2:] <= (left, bottom)) | (boxes[:, :2] >= (right, top))).any():
        problems.append("outside")
    return [Piece(text, *box) for text, box in zip(texts, boxes.tolist(), strict=True)], problems


def _joined(
    lengths: Places, begins: Flags, odd: Flags, first: Box, last: Box
) -> tuple[Places, npt.NDArray[np.float32]]:
    """Which words begin a Piece, and the boxes around the Pieces: [N], [N, 4].

    Words are given by their lengths, by whether they begin a line, by whether their line is odd and
    stays whole, and by the boxes of their first and last characters.
    """
    lines = np.flatnonzero(begins)
    line = np.cumsum(begins) - 1
    left, right = first[0], last[2]
    wide = CELL_GAP * (first[3] - first[1])[_first_longest(lengths, lines)][line][1:]
    gaps = left[1:] - right[:-1]
    parted = begins.copy()
    parted[1:] |= ((gaps > wide) | (gaps < -2 * wide)) & ~odd[1:]
    firsts = np.flatnonzero(parted)
    ends = np.append(firsts[1:], len(lengths)) - 1
    # The longest word tells the height of the type: others are raised, or set in symbols.
    longest = _first_longest(lengths, firsts)
    boxes = np.stack([left[firsts], first[1][longest], right[ends], first[3][longest]], axis=1)
    whole = odd[firsts]
    begin = np.stack(first, axis=1)[firsts[whole]]
    end = np.stack(last, axis=1)[ends[whole]]
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


def _overlooked(first: Box, last: Box, starts: Places, lasts: Places, boxes: Boxes) -> list[int]:
    """Where a cell begins that pdfium glues to the one before, which reaches into its column.

    Words are given by the boxes of their first and last characters, and by the places of these.
    The cell stands at another height, and begins before the one before it ends; what is raised
    does not.
    """
    height = first[3] - first[1]
    found: list[int] = []
    for word in np.flatnonzero(np.abs(last[1] - first[1]) > _SHIFT * height):
        left, bottom, right, _ = boxes(np.arange(starts[word], lasts[word] + 1))
        back = right[:-1] - left[1:] > _SHIFT * height[word]
        shifted = np.abs(bottom[1:] - bottom[:-1]) > _SHIFT * height[word]
        found += (starts[word] + 1 + np.flatnonzero(back & shifted)).tolist()
    return found


def _quarter(angle: float) -> int | None:
    """How many quarters text is turned; None for text that is set askew."""
    quarters = angle / (pi / 2)
    return round(quarters) % 4 if abs(quarters - round(quarters)) < 0.05 else None


# The box of text that is turned by a number of quarters, as it is once the page is turned back.
_UPRIGHT: tuple[Callable[[Any, Any, Any, Any], Box], ...] = (
    lambda left, bottom, right, top: (left, bottom, right, top),
    lambda left, bottom, right, top: (-top, left, -bottom, right),
    lambda left, bottom, right, top: (-right, -top, -left, -bottom),
    lambda left, bottom, right, top: (bottom, -right, top, -left),
)
