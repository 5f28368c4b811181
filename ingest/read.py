"""From a Source to a Document: the table of readers."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath

from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.read_epub import read_epub
from longctx.ingest.read_html import read_html
from longctx.ingest.read_pdf import read_pdf
from longctx.ingest.read_text import read_text

Reader = Callable[[Source, bytes], Document | Skipped]

MAGIC: dict[bytes, Reader] = {b"%PDF-": read_pdf}
SUFFIXES: dict[str, Reader] = {
    ".epub": read_epub,
    ".htm": read_html,
    ".html": read_html,
    ".pdf": read_pdf,
    ".xhtml": read_html,
}
MAX_BYTES = 1 << 28


def read(source: Source) -> Document | Skipped:
    """The Document in a Source, or why there is none."""
    data = source.data if source.path is None else _bytes(source.path)
    assert data is not None, "a Source has a path or data"
    if isinstance(data, str):
        return Skipped(source.name, data)
    return _reader(source.name, data)(source, data)


def read_all(sources: Iterable[Source]) -> tuple[list[Document], list[Skipped]]:
    """The Documents in the Sources, in order, and what was skipped."""
    documents: list[Document] = []
    skipped: list[Skipped] = []
    for source in sources:
        item = read(source)
        if isinstance(item, Document):
            documents.append(item)
        else:
            skipped.append(item)
    return documents, skipped


def _reader(name: str, data: bytes) -> Reader:
    for magic, reader in MAGIC.items():
        if data.startswith(magic):
            return reader
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
