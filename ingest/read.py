"""From a Source to Documents: the tables of readers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.name_filter import NameFilter
from longctx.ingest.read_settings import ReadSettings
from longctx.ingest.read_text import read_text
from longctx.ingest.workers import read_ahead

if TYPE_CHECKING:
    from longctx.ingest.archive import Room

# Each reader is a module and in it the function of the same name, imported when it is needed.
MAGIC = {b"%PDF-": "read_pdf", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "read_ole"}
SUFFIXES = {
    ".csv": "read_rows",
    ".docm": "read_docx",
    ".docx": "read_docx",
    ".dotx": "read_docx",
    ".epub": "read_epub",
    ".htm": "read_html",
    ".html": "read_html",
    ".ipynb": "read_notebook",
    ".jsonl": "read_rows",
    ".ndjson": "read_rows",
    ".odt": "read_odt",
    ".pdf": "read_pdf",
    ".ppsx": "read_pptx",
    ".pptm": "read_pptx",
    ".pptx": "read_pptx",
    ".rtf": "read_rtf",
    ".tsv": "read_rows",
    ".xhtml": "read_html",
    ".xlsm": "read_xlsx",
    ".xlsx": "read_xlsx",
}
# Readers of formats that leave the user a choice.
SETTLED = frozenset({"read_docx", "read_odt", "read_pdf", "read_rtf"})
# What holds several, module and function: an archive gives its files, a message its attachments.
OPENERS = {
    ".eml": ("read_mail", "read_mail"),
    ".mbox": ("read_mail", "read_mail"),
    ".tar": ("archive", "unpack_tar"),
    ".whl": ("archive", "unpack_zip"),
    ".zip": ("archive", "unpack_zip"),
}
# The first file of an EPUB, stored plainly, says what the zip file is.
EPUB_MARK, EPUB_MARK_PLACE = b"mimetypeapplication/epub+zip", 30
# In its first header (POSIX.1, pax).
TAR_MARK = b"ustar"
ZIP_MARK = b"PK\x03\x04"
COMPRESSED_MARKS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
# Archives inside archives inside archives, no deeper.
MAX_DEPTH = 3
MAX_BYTES = 1 << 28
DEFAULTS = ReadSettings()


def read(source: Source, settings: ReadSettings = DEFAULTS) -> Document | Skipped:
    """The Document in a Source that is no archive, or why there is none."""
    data = source.data if source.path is None else _bytes(source.path)
    assert data is not None, "a Source has a path or data"
    if isinstance(data, str):
        return Skipped(source.name, data)
    return _read(source, data, settings)


def read_all(
    sources: Iterable[Source],
    settings: ReadSettings = DEFAULTS,
    wanted: NameFilter | None = None,
) -> tuple[list[Document], list[Skipped]]:
    """The Documents in the Sources, in order, and what was skipped.

    Archives and mail are opened, and what is in them is read in turn, where its name is wanted.
    """
    wanted = wanted or NameFilter()
    documents: list[Document] = []
    skipped: list[Skipped] = []
    sources = list(sources)
    read_one = partial(_all_items, settings=settings, wanted=wanted)
    with read_ahead(sources, read_one) as ahead:
        for index, source in enumerate(sources):
            for item in ahead.get(index, partial(read_one, source))():
                if isinstance(item, Document):
                    documents.append(item)
                else:
                    skipped.append(item)
    return documents, skipped


def _all_items(
    source: Source, settings: ReadSettings, wanted: NameFilter
) -> list[Document | Skipped]:
    return list(_items(source, None, 0, settings, wanted))


def _items(
    source: Source, room: Room | None, depth: int, settings: ReadSettings, wanted: NameFilter
) -> Iterator[Document | Skipped]:
    data = source.data if source.path is None else _bytes(source.path)
    if isinstance(data, str):
        yield Skipped(source.name, data)
        return
    assert data is not None, "a Source has a path or data"
    opener = _opener(source.name, data)
    if opener is None:
        # Of what is no archive, `walk` has looked at the name already.
        if (depth == 0 and not wanted.may_hold(source.name)) or wanted(source.name):
            yield _read(source, data, settings)
        return
    if depth == MAX_DEPTH:
        yield Skipped(source.name, f"packed inside {MAX_DEPTH} others")
        return
    from longctx.ingest.archive import Room

    room = room or Room()
    for item in _function(*opener)(source, data, room):
        if isinstance(item, Source):
            yield from _items(item, room, depth + 1, settings, wanted)
        elif wanted(item.name) or (
            item.name == source.name
            and (isinstance(item, Skipped) or not wanted.may_hold(source.name))
        ):
            yield item


def _read(source: Source, data: bytes, settings: ReadSettings) -> Document | Skipped:
    name = _reader(source.name, data)
    if name == "read_text":
        return read_text(source, data)
    reader = _function(name, name)
    item: Document | Skipped = (
        reader(source, data, settings) if name in SETTLED else reader(source, data)
    )
    return item


def _function(module: str, name: str) -> Any:
    return getattr(import_module(f"longctx.ingest.{module}"), name)


def _opener(name: str, data: bytes) -> tuple[str, str] | None:
    """What opens the data, where it holds several Documents."""
    suffix = PurePath(name).suffix.lower()
    if data.startswith(COMPRESSED_MARKS):
        return "archive", "unpack_stream"
    if suffix in SUFFIXES or suffix in OPENERS:
        return OPENERS.get(suffix)
    if suffix:
        return None
    # Standard input, or a name that says nothing.
    if data.startswith(ZIP_MARK):
        return ("archive", "unpack_zip") if _reader(name, data) == "read_text" else None
    if data[257:262] == TAR_MARK:
        return "archive", "unpack_tar"
    if data.startswith(b"From "):
        from longctx.ingest.read_mail import is_mailbox

        return ("read_mail", "read_mail") if is_mailbox(data) else None
    return None


def _reader(name: str, data: bytes) -> str:
    """The reader of the data: by its first bytes, else by its name, else by what is in it."""
    for magic, reader in MAGIC.items():
        if data.startswith(magic):
            return reader
    if data.startswith(EPUB_MARK, EPUB_MARK_PLACE):
        return "read_epub"
    suffix = PurePath(name).suffix.lower()
    if suffix not in SUFFIXES and data.startswith((ZIP_MARK, b"{\\rtf")):
        from longctx.ingest.ooxml_package import office_suffix

        # A pipe has no name to tell by, and many a .doc is RTF.
        suffix = office_suffix(data) or suffix
    return SUFFIXES.get(suffix, "read_text")


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
