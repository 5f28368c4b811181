"""EPUB books, chapter by chapter in their reading order, with the headings they state."""

from __future__ import annotations

import hashlib
from itertools import groupby

from longctx.ingest.document import Document, Heading, Page, Skipped, Source, numbered
from longctx.ingest.epub_package import Entry, Package, lock, read_package
from longctx.ingest.page_text import PageText, page_text
from longctx.ingest.read_html import decode_markup
from longctx.ingest.zipped import ZipRefused, member, open_zip

# All the chapters of a book together may take as much as one file read plainly.
MAX_BYTES = 1 << 28
# Two headings of one title this close are one.
NEAR = 40


def read_epub(source: Source, data: bytes) -> Document | Skipped:
    """The Document in an EPUB, its chapters as Pages; a locked or damaged book is skipped."""
    try:
        book = _Book(data)
    except ZipRefused as trouble:
        return Skipped(source.name, str(trouble))
    package = read_package(book.names, book.text)
    system = lock(book.names, book.text, package.chapters)
    if system is not None:
        return Skipped(source.name, f"locked (DRM): {system}")
    pieces: list[str] = []
    pages: list[Page] = []
    chapters: dict[str, tuple[int, PageText]] = {}
    position = 0
    for number, name in enumerate(package.chapters, 1):
        markup = book.text(name)
        chapter = page_text(markup or "")
        text = chapter.text + "\n" if chapter.text else ""
        pages.append(Page(number, position, position + len(text), "chapter"))
        pieces.append(text)
        if markup is not None:
            chapters[name] = position, chapter
        position += len(text)
    if not position:
        return Skipped(source.name, "no text in it: " + (_notes(package, book, pages) or "empty"))
    notes = _notes(package, book, pages)
    return Document(
        name=source.name,
        text="".join(pieces),
        kind="prose",
        digest=hashlib.sha256(data).hexdigest(),
        pages=tuple(pages),
        notes=(notes,) if notes else (),
        headings=tuple(_headings(package.contents, chapters)),
    )


class _Book:
    """The files of the book, read when they are asked for."""

    def __init__(self, data: bytes) -> None:
        self._archive = open_zip(data)
        self._infos = {info.filename: info for info in self._archive.infolist()}
        self.names = list(self._infos)
        self.troubles: dict[str, str] = {}
        self._left = MAX_BYTES

    def text(self, name: str) -> str | None:
        """The text of a file; None where it is missing or cannot be read, with the reason kept."""
        if name not in self._infos:
            self.troubles[name] = "missing"
            return None
        try:
            data = member(self._archive, self._infos[name], self._left)
        except ZipRefused as trouble:
            self.troubles[name] = str(trouble)
            return None
        self._left -= len(data)
        decoded = decode_markup(data) if data else ("", ())
        if decoded is None:
            self.troubles[name] = "binary"
        return decoded and decoded[0]


def _notes(package: Package, book: _Book, pages: list[Page]) -> str:
    """What there is to say of chapters that could not be read or have no text."""
    notes = list(package.notes)
    bare = []
    for page, name in zip(pages, package.chapters, strict=True):
        if name in book.troubles:
            notes.append(f"chapter {page.number} ({name}): {book.troubles[name]}")
        elif page.start == page.end:
            bare.append(page.number)
    if bare:
        notes.append(f"no text in {numbered('chapter', bare)}")
    return "; ".join(notes)


def _headings(
    contents: tuple[Entry, ...], chapters: dict[str, tuple[int, PageText]]
) -> list[Heading]:
    """The headings in the text and those that only the contents list, in order of place.

    The contents say how deep a heading lies; one that they do not list lies as much deeper than
    the last listed one as their elements say.
    """
    listed: list[Heading] = []
    for entry in contents:
        if entry.file in chapters:
            position, chapter = chapters[entry.file]
            start = position + chapter.anchors.get(entry.anchor, 0)
            if start < position + len(chapter.text):
                listed.append(Heading(start, entry.title, entry.level))
    stated = [
        Heading(position + heading.start, heading.title, heading.level)
        for position, chapter in chapters.values()
        for heading in chapter.headings
    ]
    found: list[Heading] = []
    element, level = 1, 1
    # At one place the listed heading comes first.
    pairs = sorted(
        [(item.start, 0, item) for item in listed]
        + [(item.start, 1, item) for item in _without_listings(stated, listed)],
        key=lambda pair: pair[:2],
    )
    for start, group in groupby(pairs, key=lambda pair: pair[0]):
        same = list(group)
        first, last = same[0], same[-1]
        if first[1] == 0:
            level = first[2].level
            element = last[2].level if last[1] else element
        depth = level if first[1] == 0 else max(1, level + first[2].level - element)
        title = last[2].title
        # The contents lead to the file, and the title stands there below the number of the chapter.
        if not (found and found[-1].title == title and start - found[-1].start < NEAR):
            found.append(Heading(start, title, depth))
    return found


def _without_listings(stated: list[Heading], listed: list[Heading]) -> list[Heading]:
    """The headings in the text without those of a page of contents, which come again later."""
    last_place: dict[str, int] = {}
    for heading in (*stated, *listed):
        last_place[heading.title] = max(heading.start, last_place.get(heading.title, 0))
    starts = [*(heading.start for heading in stated), -1][1:]
    return [
        heading
        for heading, after in zip(stated, starts, strict=True)
        if last_place[heading.title] == heading.start
        or after - heading.start > 2 * len(heading.title) + 2
    ]
