"""The pages of a PDF by pdfium: their text, comments, the outline."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from longctx.ingest.pdf_layout import Piece
from longctx.ingest.pdf_structure import Bookmark
from longctx.ingest.pdf_words import pieces

# Annotations that are drawn (form fields, text boxes, stamps), and those that comment on a place.
_DRAWN = {3, 13, 20}
_COMMENTS = {1, 9, 10, 11, 12, 14}


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
            found, problems = pieces(textpage, page.get_bbox())
        finally:
            textpage.close()
        if not found and pdfium.FPDFPage_CountObjects(page.raw):
            problems.append("scanned")
        return PdfPage(tuple(found), comments, tuple(problems))
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
