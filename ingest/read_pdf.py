"""PDF files: the text of every page, in reading order, by pdfium or else by pypdf."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

from longctx.ingest.document import Document, Page, Skipped, Source, numbered
from longctx.ingest.pdf_layout import Piece, page_text, reading_order
from longctx.ingest.pdf_running import without_running
from longctx.ingest.pdf_structure import Bookmark, large_type, placed
from longctx.ingest.pdf_text import clean, is_garbled, single_line, without_line_hyphens
from longctx.ingest.pdfium_pages import PdfPage, Unreadable, pdfium_pages

if TYPE_CHECKING:
    from longctx.ingest.read_settings import ReadSettings

_PROBLEMS = {
    "scanned": "no text layer",
    "damaged": "damaged",
    "invisible": "invisible text, as text recognition leaves it",
    "outside": "text outside the visible page",
}


def read_pdf(source: Source, data: bytes, settings: ReadSettings) -> Document | Skipped:
    """The Document in a PDF, with its Pages and its outline; skipped without a text layer."""
    try:
        found, outline = pdfium_pages(data, settings.password)
    except Unreadable as trouble:
        try:
            found, outline = _pypdf_pages(data, settings.password), []
        except Unreadable:
            return Skipped(source.name, str(trouble))
    rows, note = without_running([reading_order(page.pieces) for page in found])
    texts = [page_text(page) for page in rows]
    texts = [clean(text) for text in without_line_hyphens(texts)]
    texts = [text + _comments(page) for text, page in zip(texts, found, strict=True)]
    joined = "".join(texts)
    if not joined:
        scanned = any("scanned" in page.problems for page in found)
        return Skipped(source.name, "scanned: no text layer" if scanned else "empty")
    pages: list[Page] = []
    position = 0
    for number, text in enumerate(texts, 1):
        pages.append(Page(number, position, position + len(text)))
        position += len(text)
    notes = [note] if note else []
    if is_garbled(joined):
        notes.append("garbled: a font without a usable encoding")
    for problem, words in _PROBLEMS.items():
        if numbers := [n for n, page in enumerate(found, 1) if problem in page.problems]:
            notes.append(f"{words}: {numbered('page', numbers)}")
    return Document(
        name=source.name,
        text=joined,
        kind="pdf",
        digest=hashlib.sha256(data).hexdigest(),
        pages=tuple(pages),
        notes=tuple(notes),
        headings=tuple(placed(joined, pages, _marks(outline, large_type(rows)))),
    )


def _pypdf_pages(data: bytes, password: str) -> list[PdfPage]:
    """The pages by pypdf, each line a Piece at a place of its own."""
    import logging

    from pypdf import PdfReader

    # Without a handler of ours what it has to say of damage goes to stderr.
    logging.getLogger("pypdf").addHandler(logging.NullHandler())
    try:
        reader = PdfReader(BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(password):
            raise Unreadable("encrypted")
        texts = [page.extract_text() for page in reader.pages]
    # Damaged files make pypdf fail in its own errors, in Python's, and in those of zlib.
    except Exception as error:
        raise Unreadable(str(error)) from error
    return [PdfPage(tuple(_stacked(text))) for text in texts]


def _stacked(text: str) -> Iterable[Piece]:
    """The lines of a text without places, one below the other."""
    for place, line in enumerate(text.splitlines()):
        if line.strip():
            yield Piece(line, 0, -12.0 * place, 0, 10 - 12.0 * place)


def _marks(outline: list[Bookmark], large: list[Bookmark]) -> list[Bookmark]:
    """The outline after the title on the first page; else what is set large, if it is enough."""
    if not outline:
        return large if len(large) > 2 else []
    first = [replace(mark, level=1) for mark in large if mark.page == 0]
    # The name of a journal may be set larger than the title.
    return sorted(first, key=lambda mark: (" " in mark.title, mark.size))[-1:] + outline


def _comments(page: PdfPage) -> str:
    """What the annotations of a page say, each on a line of its own."""
    return "".join(f"[comment] {single_line(comment)}\n" for comment in page.comments)
