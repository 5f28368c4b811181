"""A text as it is written down block by block, with its headings and pages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from longctx.ingest.document import Document, Heading, Page, Source


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph or a row; a blank line parts it from the last unless both are of one kind."""

    text: str
    kind: str = ""
    title: str = ""
    level: int = 0


class Draft:
    """Blocks become one text; where each heading and page begins is kept."""

    def __init__(self) -> None:
        """Begin with an empty page."""
        self._pieces: list[str] = []
        self._length = 0
        self._last: str | None = None
        self.headings: list[Heading] = []
        self.pages: list[Page] = []

    @property
    def text(self) -> str:
        """All that was written, ended by a newline."""
        return "".join(self._pieces)

    def write(self, block: Block) -> None:
        """Write a block below the last one."""
        if self._last is not None and not (block.kind and block.kind == self._last):
            self._put("\n")
            if self.pages and self.pages[-1].end == self._length - 1:
                # The blank line between two pages is the end of the first.
                self.pages[-1] = replace(self.pages[-1], end=self._length)
        if block.level:
            self.headings.append(Heading(self._length, block.title, block.level))
        self._put(f"{block.text}\n")
        self._last = block.kind

    def add_page(self, text: str, unit: str) -> int:
        """Write the text of a whole page as it is; where it begins."""
        start = self._length
        self._put(text)
        self.end_page(unit)
        return start

    def end_page(self, unit: str) -> None:
        """Let all that was written since the last page be the next one."""
        start = self.pages[-1].end if self.pages else 0
        self.pages.append(Page(len(self.pages) + 1, start, self._length, unit))

    def _put(self, text: str) -> None:
        self._pieces.append(text)
        self._length += len(text)

    def document(
        self, source: Source, data: bytes, notes: Iterable[str], *, kind: str = "prose"
    ) -> Document:
        """The Document that was written down from the data of a Source."""
        return Document(
            name=source.name,
            text=self.text,
            kind=kind,
            digest=hashlib.sha256(data).hexdigest(),
            pages=tuple(self.pages),
            notes=tuple(notes),
            headings=tuple(self.headings),
        )
