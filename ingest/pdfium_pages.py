"""The pages of a PDF by pdfium: their text, comments, the outline."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from longctx.ingest.pdf_glyphs import Boxes
from longctx.ingest.pdf_layout import Piece
from longctx.ingest.pdf_structure import Bookmark
from longctx.ingest.pdf_words import OpenPage, pieces

# Annotations that are drawn (form fields, text boxes, stamps), and those that comment on a place.
_DRAWN = {3, 13, 20}
_COMMENTS = {1, 9, 10, 11, 12, 14}
# How many pages are open at a time.
_TOGETHER = 16


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
        pages = list(_pages(pdf))
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


def _pages(pdf: Any) -> Iterator[PdfPage]:
    """The pages in their order; a few are open at a time."""
    room = Boxes()
    before: list[_Opened] = []
    for first in range(0, len(pdf), _TOGETHER):
        last = min(first + _TOGETHER, len(pdf))
        opened = {n: page for n in range(first, last) if (page := _opened(pdf, n)) is not None}
        # What pages share, fonts most of all, is loaded anew once none of them is open any more.
        for page in before:
            page.page.close()
        found = pieces([page.open for page in opened.values()], room)
        read = {n: _read(page, *own) for (n, page), own in zip(opened.items(), found, strict=True)}
        for page in opened.values():
            page.open.textpage.close()
        before = list(opened.values())
        yield from (read.get(n, PdfPage(problems=("damaged",))) for n in range(first, last))
    for page in before:
        page.page.close()


@dataclass(frozen=True, slots=True)
class _Opened:
    """A page of pypdfium2 that is open, with its text page, and what is said of it."""

    page: Any
    open: OpenPage
    comments: tuple[str, ...]


def _opened(pdf: Any, number: int) -> _Opened | None:
    """The page, what is drawn upon it made part of it; None where it is damaged."""
    import pypdfium2
    import pypdfium2.raw as pdfium

    page = None
    try:
        page = pdf[number]
        drawn, comments = _annotations(page)
        if drawn:
            pdfium.FPDFPage_Flatten(page.raw, pdfium.FLAT_NORMALDISPLAY)
            page.close()
            page = pdf[number]
        textpage = page.get_textpage()
        text = textpage.get_text_range()
        return _Opened(page, OpenPage(textpage, text, page.get_bbox()), comments)
    except pypdfium2.PdfiumError:
        if page is not None:
            page.close()
        return None


def _read(page: _Opened, found: Sequence[Piece], problems: Sequence[str]) -> PdfPage:
    import pypdfium2.raw as pdfium

    if not found and pdfium.FPDFPage_CountObjects(page.page.raw):
        problems = [*problems, "scanned"]
    return PdfPage(tuple(found), page.comments, tuple(problems))


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
