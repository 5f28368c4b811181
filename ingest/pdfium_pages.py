"""The pages of a PDF by pdfium: their words with the boxes around them, comments, the outline."""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import pi
from typing import Any

from longctx.ingest.pdf_layout import CELL_GAP, Piece
from longctx.ingest.pdf_structure import Bookmark
from longctx.ingest.pdf_text import LINE_HYPHENS, restored

_LINE = re.compile(r"\S[^\r\n]*")
_WORD = re.compile(rf"[^\s{LINE_HYPHENS}]+[{LINE_HYPHENS}]?|[{LINE_HYPHENS}]")
_INVISIBLE = 3
# Annotations that are drawn (form fields, text boxes, stamps), and those that comment on a place.
_DRAWN = {3, 13, 20}
_COMMENTS = {1, 9, 10, 11, 12, 14}

Box = tuple[float, float, float, float]
"""Left, bottom, right, top, in points, y going up."""


@dataclass(frozen=True, slots=True)
class PdfPage:
    """What is on a page.

    `problems` names what keeps its text from being read, or what a reader should know of it:
    "scanned", "damaged", "invisible" or "outside".
    """

    pieces: tuple[Piece, ...] = ()
    comments: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Unreadable(Exception):
    """A PDF that a library cannot open, with the reason for the user."""


def pdfium_pages(data: bytes, password: str) -> tuple[list[PdfPage], list[Bookmark]]:
    """The pages and the outline.

    Raises:
        Unreadable: pdfium cannot open the file.
    """
    import pypdfium2

    try:
        pdf = pypdfium2.PdfDocument(data, password=password or None)
    except pypdfium2.PdfiumError as error:
        raise Unreadable(_reason(str(error), password)) from error
    try:
        if pdf.get_formtype():
            pdf.init_forms()
        pages = [_page(pdf, number) for number in range(len(pdf))]
        outline = [
            Bookmark(destination.get_index() or 0, bookmark.get_title(), bookmark.level + 1)
            for bookmark in pdf.get_toc(max_depth=8)
            if (destination := bookmark.get_dest()) is not None
        ]
    except pypdfium2.PdfiumError as error:
        raise Unreadable(_reason(str(error), password)) from error
    finally:
        pdf.close()
    return pages, outline


def _reason(message: str, password: str) -> str:
    if "password" in message.lower():
        if password:
            return "encrypted: the password given does not open it"
        return "encrypted: give its password with --password"
    return "damaged, or not a PDF"


def _page(pdf: Any, number: int) -> PdfPage:
    import pypdfium2
    import pypdfium2.raw as pdfium

    try:
        page = pdf[number]
    except pypdfium2.PdfiumError:
        return PdfPage(problems=("damaged",))
    try:
        drawn, comments = _annotations(page)
        if drawn:
            pdfium.FPDFPage_Flatten(page.raw, pdfium.FLAT_NORMALDISPLAY)
            page.close()
            page = pdf[number]
        textpage = page.get_textpage()
        try:
            pieces, problems = _pieces(textpage, page.get_bbox())
        finally:
            textpage.close()
        if not pieces and pdfium.FPDFPage_CountObjects(page.raw):
            problems.append("scanned")
        return PdfPage(tuple(pieces), comments, tuple(problems))
    except pypdfium2.PdfiumError:
        return PdfPage(problems=("damaged",))
    finally:
        page.close()


def _annotations(page: Any) -> tuple[bool, tuple[str, ...]]:
    """Whether some annotation is drawn on the page, and what the others say of it."""
    import pypdfium2.raw as pdfium

    drawn, comments = False, []
    for index in range(pdfium.FPDFPage_GetAnnotCount(page.raw)):
        annotation = pdfium.FPDFPage_GetAnnot(page.raw, index)
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        drawn |= kind in _DRAWN
        if kind in _COMMENTS:
            text = _string(annotation, b"Contents")
            author = _string(annotation, b"T")
            if text:
                comments.append(f"{author}: {text}" if author else text)
        pdfium.FPDFPage_CloseAnnot(annotation)
    return drawn, tuple(comments)


def _string(annotation: Any, key: bytes) -> str:
    """The text of an entry of an annotation, its white space made single."""
    import pypdfium2.raw as pdfium

    size = pdfium.FPDFAnnot_GetStringValue(annotation, key, None, 0)
    buffer = ctypes.create_string_buffer(size)
    pdfium.FPDFAnnot_GetStringValue(
        annotation, key, ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size
    )
    return " ".join(buffer.raw.decode("utf-16-le", "replace").rstrip("\0").split())


def _pieces(textpage: Any, visible: Box) -> tuple[list[Piece], list[str]]:
    """The text in the order it is drawn, as Pieces, and what should be known of it.

    A page that is set sideways is turned upright. Lines that are turned otherwise than most stay
    whole, wherever their words stand.
    """
    import pypdfium2.raw as pdfium

    handle, text = textpage.raw, textpage.get_text_range()
    # Characters without a Unicode value are counted by pdfium, and are not in the text.
    exact = pdfium.FPDFText_CountChars(handle) == len(text)
    box = pdfium.FS_RECTF()
    pointer, get_box = ctypes.byref(box), pdfium.FPDFText_GetLooseCharBox
    get_angle, get_object = pdfium.FPDFText_GetCharAngle, pdfium.FPDFText_GetTextObject

    def index(place: int) -> int:
        if exact:
            return place
        return int(pdfium.FPDFText_GetCharIndexFromTextIndex(handle, place))

    def box_at(place: int) -> Box:
        get_box(handle, place if exact else index(place), pointer)
        return box.left, box.bottom, box.right, box.top

    lines = list(_LINE.finditer(text))
    quarters = [_quarter(get_angle(handle, index(line.start()))) for line in lines]
    turn = Counter(quarters).most_common(1)[0][0] if lines else 0
    invisible = any(
        pdfium.FPDFTextObj_GetTextRenderMode(get_object(handle, index(line.start()))) == _INVISIBLE
        for line in lines
    )
    upright = _UPRIGHT[turn or 0]
    boxes = (lambda place: upright(*box_at(place))) if turn else box_at
    pieces: list[Piece] = []
    for line, quarter in zip(lines, quarters, strict=True):
        if quarter == turn and turn is not None:
            pieces += _words(text, line.start(), line.end(), boxes)
        else:
            first, last = boxes(line.start()), boxes(line.end() - 1)
            left, bottom = min(first[0], last[0]), min(first[1], last[1])
            right, top = max(first[2], last[2]), max(first[3], last[3])
            pieces.append(Piece(line[0].rstrip(), left, bottom, right, top))
    left, bottom, right, top = upright(*visible)
    problems = ["invisible"] if invisible else []
    if any(
        piece.right <= left or right <= piece.left or piece.top <= bottom or top <= piece.bottom
        for piece in pieces
    ):
        problems.append("outside")
    texts = restored([piece.text for piece in pieces])
    return [piece._replace(text=text) for piece, text in zip(pieces, texts, strict=True)], problems


def _words(text: str, start: int, end: int, boxes: Callable[[int], Box]) -> Iterator[Piece]:
    """The words of a line, joined where only a plain space or none is between them."""
    begin, finish, left, bottom, right, top = start, start, 0.0, 0.0, 0.0, 0.0
    longest = 0
    for word in _WORD.finditer(text, start, end):
        first = boxes(word.start())
        last = boxes(word.end() - 1) if word.end() - word.start() > 1 else first
        gap = first[0] - right
        wide = CELL_GAP * (top - bottom)
        if finish > start and (text[finish - 1] in LINE_HYPHENS or gap > wide or gap < -2 * wide):
            yield Piece(text[begin:finish], left, bottom, right, top)
            finish = start
        if finish == start:
            begin, left, longest = word.start(), first[0], 0
        finish, right = word.end(), last[2]
        # The longest word tells the height of the type: others are raised, or set in symbols.
        if word.end() - word.start() > longest:
            longest, bottom, top = word.end() - word.start(), first[1], first[3]
    if finish > start:
        yield Piece(text[begin:finish], left, bottom, right, top)


def _quarter(angle: float) -> int | None:
    """How many quarters text is turned; None for text that is set askew."""
    quarters = angle / (pi / 2)
    return round(quarters) % 4 if abs(quarters - round(quarters)) < 0.05 else None


# The box of text that is turned by a number of quarters, as it is once the page is turned back.
_UPRIGHT: tuple[Callable[[float, float, float, float], Box], ...] = (
    lambda left, bottom, right, top: (left, bottom, right, top),
    lambda left, bottom, right, top: (-top, left, -bottom, right),
    lambda left, bottom, right, top: (-right, -top, -left, -bottom),
    lambda left, bottom, right, top: (bottom, -right, top, -left),
)
