"""PDF files: the text of every page, in reading order, by pdfium or else by pypdf."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from longctx.ingest.document import Document, Heading, Page, Skipped, Source

# How pdfium writes a hyphen at the end of a line.
_LINE_HYPHEN = re.compile(r"(?:(\w+)[\x02\ufffe\u00ad]\n?(\w+)|[\x02\ufffe\u00ad]\n?)")
_HYPHENED = re.compile(r"\w+(?:-\w+)?")
_LIGATURES = {
    0xFB00: "ff",
    0xFB01: "fi",
    0xFB02: "fl",
    0xFB03: "ffi",
    0xFB04: "ffl",
    0xFB05: "st",
    0xFB06: "st",
}
# Old TeX fonts give ligatures no Unicode name: their codes in the T1 encoding come through.
_TEX_LIGATURES = {"\x1b": "ff", "\x1c": "fi", "\x1d": "fl", "\x1e": "ffi", "\x1f": "ffl"}
_TEX_LIGATURE = re.compile(r"[\x1b-\x1f](?=[a-z])|(?<=[a-z])[\x1b-\x1f]")
_LEADERS = re.compile(r"(?: ?\. ?){5,}")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\uffff]")
_SYMBOLS = re.compile(r"[\u2600-\u27bf\ue000-\uf8ff\ufffd]+")
_NO_TEXT = "scanned: no text layer"


@dataclass(frozen=True, slots=True)
class _Outline:
    """A bookmark: its page, counted from 0, its title and depth."""

    page: int
    title: str
    level: int


class _Unreadable(Exception):
    """A PDF that a library cannot open, with the reason for the user."""


def read_pdf(source: Source, data: bytes) -> Document | Skipped:
    """The Document in a PDF, with its Pages and its outline; skipped without a text layer."""
    try:
        texts, outline = _with_pdfium(data)
    except _Unreadable as trouble:
        try:
            texts, outline = _with_pypdf(data)
        except _Unreadable:
            return Skipped(source.name, str(trouble))
    texts = [_clean(text) for text in _without_line_hyphens(texts)]
    if not any(texts):
        return Skipped(source.name, _NO_TEXT)
    pages: list[Page] = []
    position = 0
    for number, text in enumerate(texts, 1):
        pages.append(Page(number, position, position + len(text)))
        position += len(text)
    joined = "".join(texts)
    notes = []
    symbols = sum(map(len, _SYMBOLS.findall(joined)))
    if symbols * 5 > len(joined):
        notes.append("garbled: a font without a usable encoding")
    empty = [page.number for page in pages if page.start == page.end]
    if empty:
        notes.append(f"no text layer: {_page_list(empty)}")
    return Document(
        name=source.name,
        text=joined,
        kind="pdf",
        digest=hashlib.sha256(data).hexdigest(),
        pages=tuple(pages),
        notes=tuple(notes),
        headings=tuple(_headings(joined, pages, outline)),
    )


def _with_pdfium(data: bytes) -> tuple[list[str], list[_Outline]]:
    import pypdfium2

    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise _Unreadable(_reason(str(error))) from error
    try:
        if pdf.get_formtype():
            pdf.init_forms()
        texts = [_pdfium_page(pdf, number) for number in range(len(pdf))]
        outline = [
            _Outline(destination.get_index() or 0, bookmark.get_title(), bookmark.level + 1)
            for bookmark in pdf.get_toc(max_depth=8)
            if (destination := bookmark.get_dest()) is not None
        ]
    except pypdfium2.PdfiumError as error:
        raise _Unreadable(_reason(str(error))) from error
    finally:
        pdf.close()
    return texts, outline


def _pdfium_page(pdf: Any, number: int) -> str:
    """The text of a page; of its form fields where it has no other."""
    import pypdfium2

    try:
        page = pdf[number]
    except pypdfium2.PdfiumError:
        return ""
    text = page.get_textpage().get_text_range()
    if not text.strip() and pdf.formenv:
        page.flatten()
        text = page.get_textpage().get_text_range()
    return str(text)


def _with_pypdf(data: bytes) -> tuple[list[str], list[_Outline]]:
    import logging

    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    # Without a handler of ours what it has to say of damage goes to stderr.
    logging.getLogger("pypdf").addHandler(logging.NullHandler())
    # Damaged files make pypdf fail in its own and in Python's plain errors alike.
    damage = (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
    try:
        reader = PdfReader(BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise _Unreadable("encrypted: it needs a password")
        return [page.extract_text() for page in reader.pages], []
    except damage as error:
        raise _Unreadable(f"not a PDF that can be read: {error}") from error


def _reason(message: str) -> str:
    if "password" in message.lower():
        return "encrypted: it needs a password"
    return "damaged, or not a PDF"


def _without_line_hyphens(texts: list[str]) -> list[str]:
    """The pages with words joined that a line end had parted, and compounds left hyphenated.

    A compound is what stands with its hyphen elsewhere, or goes on with a capital: `Build-Depends`.
    """
    texts = [text.replace("\r\n", "\n").replace("\r", "\n") for text in texts]
    if not any(map(_LINE_HYPHEN.search, texts)):
        return texts
    known = Counter(word for text in texts for word in _HYPHENED.findall(text.lower()))

    def join(match: re.Match[str]) -> str:
        first, second = match[1] or "", match[2] or ""
        hyphened = f"{first}-{second}"
        as_one = known[f"{first}{second}".lower()]
        capital = second[:1].isupper() and not first.isupper()
        return hyphened if capital or known[hyphened.lower()] > as_one else f"{first}{second}"

    return [_LINE_HYPHEN.sub(join, text) for text in texts]


def _clean(text: str) -> str:
    """The text of a page as one would type it, ended by a newline where there is any."""
    text = _TEX_LIGATURE.sub(lambda match: _TEX_LIGATURES[match[0]], text.translate(_LIGATURES))
    text = _CONTROLS.sub("", _LEADERS.sub(" ... ", text))
    text = "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")
    return text + "\n" if text.strip() else ""


def _headings(text: str, pages: list[Page], outline: list[_Outline]) -> list[Heading]:
    """The outline's entries where their titles stand on their pages, in order of place."""
    headings: list[Heading] = []
    last = -1
    for entry in outline:
        title = " ".join(_CONTROLS.sub(" ", entry.title).split())
        if not title or entry.page >= len(pages):
            continue
        page = pages[entry.page]
        pattern = r"^[ \t]*(?:[\w.]{1,12}\s+)?" + r"\s+".join(map(re.escape, title.split()))
        search = re.compile(pattern, re.M | re.I)
        match = search.search(text, max(page.start, last + 1), page.end)
        start = match.start() if match else page.start
        if start > last:
            headings.append(Heading(start, title, entry.level))
            last = start
    return headings


def _page_list(numbers: list[int]) -> str:
    """`page 3` or `pages 3-7, 9`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][-1] == number - 1:
            spans[-1][1:] = [number]
        else:
            spans.append([number])
    listed = ", ".join("-".join(map(str, span)) for span in spans)
    return f"page{'s' if len(numbers) > 1 else ''} {listed}"
