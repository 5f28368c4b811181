"""From a Source to a Document: the table of readers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path, PurePath

from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.read_settings import ReadSettings
from longctx.ingest.read_text import read_text

# Each reader is a module and in it the function of the same name, imported when it is needed.
MAGIC = {b"%PDF-": "read_pdf", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "read_ole"}
SUFFIXES = {
    ".docm": "read_docx",
    ".docx": "read_docx",
    ".dotx": "read_docx",
    ".odt": "read_odt",
    ".pdf": "read_pdf",
    ".ppsx": "read_pptx",
    ".pptm": "read_pptx",
    ".pptx": "read_pptx",
    ".rtf": "read_rtf",
    ".xlsm": "read_xlsx",
    ".xlsx": "read_xlsx",
}
# Readers of formats that leave the user a choice.
SETTLED = frozenset({"read_docx", "read_odt", "read_pdf", "read_rtf"})
DEFAULTS = ReadSettings()
MAX_BYTES = 1 << 28


def read(source: Source, settings: ReadSettings = DEFAULTS) -> Document | Skipped:
    """The Document in a Source, or why there is none."""
    data = source.data if source.path is None else _bytes(source.path)
    assert data is not None, "a Source has a path or data"
    if isinstance(data, str):
        return Skipped(source.name, data)
    return _read(source, data, settings)


def read_all(
    sources: Iterable[Source], settings: ReadSettings = DEFAULTS
) -> tuple[list[Document], list[Skipped]]:
    """The Documents in the Sources, in order, and what was skipped."""
    documents: list[Document] = []
    skipped: list[Skipped] = []
    for source in sources:
        item = read(source, settings)
        if isinstance(item, Document):
            documents.append(item)
        else:
            skipped.append(item)
    return documents, skipped


def _read(source: Source, data: bytes, settings: ReadSettings) -> Document | Skipped:
    name = _reader(source.name, data)
    if name == "read_text":
        return read_text(source, data)
    reader = getattr(import_module(f"longctx.ingest.{name}"), name)
    item: Document | Skipped = (
        reader(source, data, settings) if name in SETTLED else reader(source, data)
    )
    return item


def _reader(name: str, data: bytes) -> str:
    """The reader of the data: by its first bytes, else by its name, else by what is in it."""
    for magic, reader in MAGIC.items():
        if data.startswith(magic):
            return reader
    suffix = PurePath(name).suffix.lower()
    if suffix not in SUFFIXES and data.startswith((b"PK", b"{\\rtf")):
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
