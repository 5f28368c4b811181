"""From Sources to Documents: the tables of readers, and of what holds several Documents."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath

from longctx.ingest.archive import (
    COMPRESSED,
    Room,
    is_tar,
    unpack_stream,
    unpack_tar,
    unpack_zip,
)
from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.read_epub import read_epub
from longctx.ingest.read_html import read_html
from longctx.ingest.read_mail import is_mailbox, read_mail
from longctx.ingest.read_notebook import read_notebook
from longctx.ingest.read_pdf import read_pdf
from longctx.ingest.read_rows import read_rows
from longctx.ingest.read_text import read_text

Reader = Callable[[Source, bytes], Document | Skipped]
# What holds several: an archive gives its files, a message its text and its attachments.
Opener = Callable[[Source, bytes, Room], Iterator[Document | Source | Skipped]]

MAGIC: dict[bytes, Reader] = {b"%PDF-": read_pdf}
# The first file of an EPUB, stored plainly, says what the zip file is.
EPUB_MARK, EPUB_MARK_PLACE = b"mimetypeapplication/epub+zip", 30
SUFFIXES: dict[str, Reader] = {
    ".csv": read_rows,
    ".epub": read_epub,
    ".htm": read_html,
    ".html": read_html,
    ".ipynb": read_notebook,
    ".jsonl": read_rows,
    ".ndjson": read_rows,
    ".pdf": read_pdf,
    ".tsv": read_rows,
    ".xhtml": read_html,
}
OPENERS: dict[str, Opener] = {
    ".eml": read_mail,
    ".mbox": read_mail,
    ".tar": unpack_tar,
    ".whl": unpack_zip,
    ".zip": unpack_zip,
}
# Archives inside archives inside archives, no deeper.
MAX_DEPTH = 3
MAX_BYTES = 1 << 28


def read(source: Source) -> Document | Skipped:
    """The Document in a Source, or why there is none."""
    data = source.data if source.path is None else _bytes(source.path)
    assert data is not None, "a Source has a path or data"
    if isinstance(data, str):
        return Skipped(source.name, data)
    return _reader(source.name, data)(source, data)


def read_all(sources: Iterable[Source]) -> tuple[list[Document], list[Skipped]]:
    """The Documents in the Sources, in order, and what was skipped.

    Archives and mail are opened, and what is in them is read in turn.
    """
    documents: list[Document] = []
    skipped: list[Skipped] = []
    for source in sources:
        for item in _items(source, Room(), 0):
            if isinstance(item, Document):
                documents.append(item)
            else:
                skipped.append(item)
    return documents, skipped


def _items(source: Source, room: Room, depth: int) -> Iterator[Document | Skipped]:
    data = source.data if source.path is None else _bytes(source.path)
    if isinstance(data, str):
        yield Skipped(source.name, data)
        return
    assert data is not None, "a Source has a path or data"
    opener = _opener(source.name, data)
    if opener is None:
        yield _reader(source.name, data)(source, data)
    elif depth == MAX_DEPTH:
        yield Skipped(source.name, f"packed inside {MAX_DEPTH} others")
    else:
        for item in opener(source, data, room):
            if isinstance(item, Source):
                yield from _items(item, room, depth + 1)
            else:
                yield item


def _opener(name: str, data: bytes) -> Opener | None:
    """What opens the data, where it holds several Documents."""
    suffix = PurePath(name).suffix.lower()
    if data.startswith(COMPRESSED):
        return unpack_stream
    if suffix in SUFFIXES or suffix in OPENERS:
        return OPENERS.get(suffix)
    if suffix:
        return None
    # Standard input, or a name that says nothing.
    if data.startswith(b"PK\x03\x04") and _reader(name, data) is read_text:
        return unpack_zip
    return unpack_tar if is_tar(data) else read_mail if is_mailbox(data) else None


def _reader(name: str, data: bytes) -> Reader:
    for magic, reader in MAGIC.items():
        if data.startswith(magic):
            return reader
    if data.startswith(EPUB_MARK, EPUB_MARK_PLACE):
        return read_epub
    return SUFFIXES.get(PurePath(name).suffix.lower(), read_text)


def _bytes(path: Path) -> bytes | str:
    """The bytes of a regular file, or why they cannot be had."""
    # The file may have been replaced since it was found: by a link, or by a pipe nobody writes to.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return "not a regular file"
            if status.st_size > MAX_BYTES:
                return f"{status.st_size / 1e6:,.0f} MB, more than the {MAX_BYTES / 1e6:,.0f} read"
            return file.read()
    except OSError as error:
        return (error.strerror or "cannot be read").lower()
