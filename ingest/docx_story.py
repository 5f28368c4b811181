"""What the paragraphs of a DOCX share while they are read: changes, open fields, comments."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from longctx.ingest.docx_styles import Styles
from longctx.ingest.read_settings import Changes

ADDED = frozenset({"w:ins", "w:moveTo", "w:cellIns"})
REMOVED = frozenset({"w:del", "w:moveFrom", "w:cellDel"})
CHANGES = ADDED | REMOVED


@dataclass(slots=True)
class Footing:
    """How the footnotes or the endnotes of a document are numbered, and how far that has come."""

    style: str
    start: int
    each_section: bool = False
    next: int = 0

    def __post_init__(self) -> None:
        """Begin at the start."""
        self.next = self.start


@dataclass(slots=True)
class Story:
    """What the paragraphs of a document share while they are read."""

    styles: Styles
    changes: Changes
    footings: dict[str, Footing]
    fields: list[bool] = field(default_factory=list)
    open_quotes: dict[str, list[str]] = field(default_factory=dict)
    quotes: dict[str, list[str]] = field(default_factory=dict)
    authors: Counter[str] = field(default_factory=Counter)
    num_added: int = 0
    num_removed: int = 0
    num_hidden: int = 0

    def keeps(self, tag: str) -> bool:
        """Whether the text in or of an element that marks a change is part of what is read."""
        if tag in ADDED:
            return self.changes is not Changes.reject
        return tag not in REMOVED or self.changes is not Changes.accept

    def quote(self, comment_id: str) -> str:
        """The words that a comment is about, in quotation marks; "" where it names none."""
        pieces = self.quotes.pop(comment_id, None) or self.open_quotes.pop(comment_id, [])
        quoted = " ".join("".join(pieces).split())
        return f'on "{quoted}"' if quoted else ""


@dataclass(frozen=True, slots=True)
class NoteMark:
    """A reference to a footnote, an endnote or a comment, and what is printed for it."""

    kind: str
    note_id: str
    text: str
