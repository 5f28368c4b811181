"""Which numbered paragraphs of a DOCX are headings, and the number each is cited by: 1.2(a)(iv)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from longctx.ingest.docx_numbering import Label
from longctx.ingest.headings import MAX_TITLE

_SENTENCE = re.compile(r"(?<=[\w)\"'][\w)\"'])[.:;](?=\s|$)")
_NOTE_MARK = re.compile(r"\[\^[^\]\n]*\]")
_PARENTHESIS = re.compile(r"\(\w{1,6}\)|[a-zA-Z]{1,6}\)")


@dataclass(frozen=True, slots=True)
class _Open:
    """A heading that goes on: its list and level there, its depth, and its number in full."""

    list_id: str
    place: int
    depth: int
    number: str


class Clauses:
    """Follows the headings and clauses of a document from its beginning to its end."""

    def __init__(self) -> None:
        """Begin before the first paragraph."""
        self._open: list[_Open] = []
        self._heading_lists: set[str] = set()

    def take(self, text: str, label: Label | None, outline: int | None) -> tuple[str, int] | None:
        """The title and depth of the heading that a paragraph is; None for one that is none."""
        numbered = label is not None and not label.bullet and label.text.strip()
        list_id, place = (label.list_id, label.level) if label and numbered else ("", 0)
        printed = label.text.strip() if label and numbered else ""
        if outline is not None:
            if not text.strip():
                return None
            self._close(lambda item: item.depth > outline)
            if list_id:
                self._heading_lists.add(list_id)
            title, depth = text, outline + 1
        elif label is not None and self._is_clause(label, printed):
            self._close(lambda item: item.list_id == list_id and item.place >= place)
            end = _SENTENCE.search(text)
            title = text[: end.start()] if end else text
            depth = self._open[-1].depth + 1 if self._open else 1
        else:
            return None
        number = self._full(printed) if printed else ""
        self._open.append(_Open(list_id, place, depth, number))
        title = " ".join(f"{number} {_NOTE_MARK.sub('', title)}".split())
        return title if len(title) <= MAX_TITLE else title[:MAX_TITLE].rsplit(" ", 1)[0], depth

    def _is_clause(self, label: Label, printed: str) -> bool:
        """Whether people would cite a paragraph by its number, which bullets and steps are not."""
        if not printed:
            return False
        if label.composite or label.list_id in self._heading_lists:
            return True
        inside = any(item.number for item in self._open)
        # Below a step there are only further steps.
        outer = label.level == 0 or any(item.list_id == label.list_id for item in self._open)
        return inside and outer and _PARENTHESIS.fullmatch(printed) is not None

    def _full(self, printed: str) -> str:
        """The number with those it hangs on; one that holds them already stays as it is."""
        above = self._open[-1].number if self._open else ""
        if not above or _PARENTHESIS.fullmatch(printed) is None:
            return printed
        return f"{above.rstrip('.')}{'' if printed[0] == '(' else ' '}{printed}"

    def _close(self, ends: Callable[[_Open], bool]) -> None:
        """Drop the first open heading that ends here, and all inside it."""
        for index, item in enumerate(self._open):
            if ends(item):
                del self._open[index:]
                return
