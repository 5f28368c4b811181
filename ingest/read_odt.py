"""ODT files (OpenDocument 1.3 text): the text as printed, tracked changes as wished."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.draft import Block, Draft
from longctx.ingest.odt_changes import TrackedChanges
from longctx.ingest.odt_lists import ListStyles
from longctx.ingest.read_settings import Changes, ReadSettings
from longctx.ingest.xml_tree import XmlRefused, inside, parse_xml
from longctx.ingest.zipped import ZipParts, ZipRefused

_SPACE = re.compile(r"[ \t\r\n]+")
_CONTAINERS = frozenset(
    (
        "text:section text:index-body text:index-title text:table-of-content"
        " text:alphabetical-index text:illustration-index text:table-index text:user-index"
        " text:object-index text:bibliography text:numbered-paragraph"
    ).split()
)
_ROW_GROUPS = frozenset(("table:table-header-rows", "table:table-rows", "table:table-row-group"))
_NOT_PRINTED = frozenset(
    (
        "text:tracked-changes text:sequence-decls text:variable-decls text:user-field-decls"
        " office:forms text:note-citation text:ruby-text title desc event-listeners"
    ).split()
)
# What is written apart from the paragraph that it stands in.
_APART = frozenset(("text:note", "office:annotation")) | _NOT_PRINTED
MAX_REPEATED = 64


@dataclass(slots=True)
class _List:
    """A list that is being read: its style, how deep the item is, and the numbers so far."""

    style: str
    level: int
    counters: dict[int, int] = field(default_factory=dict)


def read_odt(source: Source, data: bytes, settings: ReadSettings) -> Document | Skipped:
    """The Document in an ODT: numbers, notes and tables in the text, headings known."""
    draft = Draft()
    try:
        notes = _read(ZipParts(data), draft, settings.changes)
    except (ZipRefused, XmlRefused) as trouble:
        return Skipped(source.name, str(trouble))
    except RecursionError:
        return Skipped(source.name, "refused: lists or sections nested without end")
    if not draft.text:
        return Skipped(source.name, "no text in it")
    return draft.document(source, data, notes)


def _read(parts: ZipParts, draft: Draft, changes: Changes) -> list[str]:
    manifest = "META-INF/manifest.xml"
    if manifest in parts and b"encryption-data" in parts.read(manifest):
        raise ZipRefused("encrypted: it needs a password")
    if "content.xml" not in parts:
        raise ZipRefused("damaged: no text part in it")
    content = parse_xml(parts.read("content.xml"))
    styles = parse_xml(parts.read("styles.xml")) if "styles.xml" in parts else None
    body = inside(content, "office:body", "office:text")
    if body is None:
        raise ZipRefused("damaged: no text part in it")
    tracked = TrackedChanges(body, changes)
    reader = _Reader(ListStyles(styles, content), tracked)
    headers, footers = (_margins(reader, styles, kind) for kind in ("header", "footer"))
    for block in (*headers, *reader.blocks(body, None), *reader.rest()):
        draft.write(block)
    for block in (*reader.endnotes, *footers):
        draft.write(block)
    return list(tracked.notes())


def _margins(reader: _Reader, styles: Element | None, kind: str) -> Iterator[Block]:
    """What is printed at the edge of the pages."""
    roots = () if styles is None else styles.iter(f"style:{kind}")
    for text in dict.fromkeys(filter(None, map(reader.plain, roots))):
        yield Block(f"[{kind.title()}: {text}]")


class _Reader:
    """Reads the content of a text into blocks."""

    def __init__(self, styles: ListStyles, changes: TrackedChanges) -> None:
        self._styles = styles
        self._changes = changes
        # A paragraph whose end was added, and is rejected: it goes on in the next one.
        self._held: tuple[str, Element, _List | None] | None = None
        self._lists: dict[str, _List] = {}
        self._last_of_style: dict[str, _List] = {}
        self._outline: dict[int, int] = {}
        self._after: list[Block] = []
        self._numbers = {"footnote": 0, "endnote": 0}
        self.endnotes: list[Block] = []

    def plain(self, root: Element) -> str:
        """A short story (a note, a header, a text box) as one line for each paragraph."""
        outer, self._after = self._after, []
        text = "\n".join(block.text for block in self.blocks(root, None))
        self._after = outer
        return text

    def blocks(self, container: Element, around: _List | None) -> Iterator[Block]:
        """The blocks of what is in a body, a cell, a note or an item of a list."""
        # Only the first paragraph of an item bears its number.
        first = around
        for child in container:
            if child.tag in ("text:p", "text:h"):
                yield from self._paragraph(child, first)
                first = None
            elif child.tag == "text:list":
                yield from self._list(child, around)
            elif child.tag == "table:table":
                yield from self._table(child)
            elif child.tag in _CONTAINERS:
                yield from self.blocks(child, None)
            elif child.tag.startswith("draw:"):
                self._text(child)
                yield from self._waiting()

    def _list(self, element: Element, around: _List | None) -> Iterator[Block]:
        style = element.get("text:style-name") or (around.style if around else "")
        if around is not None:
            current = _List(style, around.level + 1, around.counters)
        else:
            former = self._lists.get(element.get("text:continue-list", ""))
            if former is None and element.get("text:continue-numbering") == "true":
                former = self._last_of_style.get(style)
            current = _List(style, 1, former.counters if former else {})
            self._last_of_style[style] = current
        if name := element.get("xml:id", ""):
            self._lists[name] = current
        for item in element:
            if item.tag == "text:list-item":
                start = item.get("text:start-value", "")
                self._count(
                    current, int(start) if start.isdigit() and len(start) < 6 else None, item
                )
                yield from self.blocks(item, current)
            elif item.tag == "text:list-header":
                yield from self.blocks(item, None)

    def _count(self, current: _List, start: int | None, item: Element) -> None:
        # An item that only holds a deeper list has no number of its own.
        if (len(item) and item[0].tag == "text:list") or self._changes.hides:
            return
        counters, level = current.counters, current.level
        first = self._styles.start(current.style, level) if start is None else start
        begins = start is not None or level not in counters
        counters[level] = first if begins else counters[level] + 1
        for deeper in [place for place in counters if place > level]:
            del counters[deeper]

    def rest(self) -> Iterator[Block]:
        """What is left of the last paragraph."""
        if self._held is not None:
            text, element, around = self._held
            self._held = None
            yield from self._written(text, element, around)

    def _paragraph(self, element: Element, around: _List | None) -> Iterator[Block]:
        begin = "{+" if self._changes.shows else ""
        text = f"{begin}{self._text(element)}{'+}' if self._changes.shows else ''}"
        text = text.replace("{++}", "")
        if self._held is not None:
            before, former, former_list = self._held
            if before.strip():
                element, around = former, former_list
            text, self._held = before + text, None
        if self._changes.hides:
            self._held = text, element, around
            return
        yield from self._written(text, element, around)

    def _written(self, text: str, element: Element, around: _List | None) -> Iterator[Block]:
        text = "\n".join(line.rstrip() for line in text.split("\n")).strip(" \n")
        heading, label, kind = element.tag == "text:h", "", ""
        value = element.get("text:outline-level", "1")
        level = int(value) if value in set("123456789") else 1
        if around is not None:
            label = self._styles.label(around.style, around.level, around.counters)
            if self._styles.is_bullet(around.style, around.level):
                kind, label = "bullet", f"{'  ' * (around.level - 1)}{label}"
        elif heading and element.get("text:is-list-header") != "true" and text.strip():
            counters = self._outline
            start = self._styles.start("", level)
            counters[level] = counters[level] + 1 if level in counters else start
            for deeper in [place for place in counters if place > level]:
                del counters[deeper]
            label = self._styles.label("", level, counters)
        printed = f"{label.rstrip()} {text.lstrip()}".rstrip() if label.strip() else text
        if printed.strip():
            title = " ".join(printed.split()) if heading and text.strip() else ""
            yield Block(printed, kind, title, level if title else 0)
        yield from self._waiting()

    def _waiting(self) -> Iterator[Block]:
        blocks, self._after = self._after, []
        yield from blocks

    def _text(self, element: Element) -> str:
        """The text inside a paragraph; white space counts once, as in HTML."""
        pieces = [self._kept(element.text)]
        for child in element:
            pieces.append(self._inline(child))
            pieces.append(self._kept(child.tail))
        return "".join(pieces)

    def _kept(self, text: str | None) -> str:
        return "" if not text or self._changes.hides else _SPACE.sub(" ", text)

    def _inline(self, child: Element) -> str:
        tag = child.tag
        if tag in ("text:change-start", "text:change-end"):
            return self._changes.border(child)
        if tag == "text:change":
            removed = map(self._text, self._changes.removed(child))
            return self._changes.marked("\n".join(removed))
        if self._changes.hides:
            # The end of what is hidden may stand in it.
            return "" if tag in _APART else self._text(child)
        if tag == "text:s":
            count = child.get("text:c", "1")
            return " " * min(int(count), 1000) if count.isdigit() and len(count) < 6 else " "
        if tag == "text:tab":
            return "\t"
        if tag == "text:line-break":
            return "\n"
        if tag == "text:note":
            return self._note(child)
        if tag == "office:annotation":
            said = self.plain(child).strip()
            by = "".join(item.text or "" for item in child.findall("dc:creator"))
            day = "".join((item.text or "")[:10] for item in child.findall("dc:date"))
            head = ", ".join(filter(None, (f"Comment by {by}" if by else "Comment", day)))
            self._after.append(Block(f"[{head}: {said}]", "beside"))
            return ""
        if tag.startswith("draw:") and child.find("text:p") is not None:
            if boxed := self.plain(child):
                self._after.append(Block(boxed, "beside"))
            return ""
        return "" if tag in _NOT_PRINTED else self._text(child)

    def _note(self, note: Element) -> str:
        kind = note.get("text:note-class", "footnote")
        citation, body = note.find("text:note-citation"), note.find("text:note-body")
        label = "" if citation is None else "".join(citation.itertext()).strip()
        if not label:
            self._numbers[kind] = self._numbers.get(kind, 0) + 1
            label = str(self._numbers[kind])
        text = "" if body is None else self.plain(body)
        block = Block(f"[^{label}]: {text}", "beside")
        (self.endnotes if kind == "endnote" else self._after).append(block)
        return f"[^{label}]"

    def _table(self, table: Element) -> Iterator[Block]:
        """A block for each row; a table of one column is only a frame around its paragraphs."""
        rows = [list(_cells(row)) for row in _rows(table)]
        if all(len(cells) == 1 for cells in rows):
            for (cell,) in rows:
                yield from self.blocks(cell, None)
            return
        for cells in rows:
            texts, beside = [], list[Block]()
            for cell in cells:
                blocks = list(self.blocks(cell, None))
                beside += (block for block in blocks if block.kind == "beside")
                words = " ".join(block.text for block in blocks if block.kind != "beside").split()
                texts.append(" ".join(words))
            if any(texts):
                yield Block(f"| {' | '.join(texts)} |", "row")
            yield from beside


def _rows(container: Element) -> Iterator[Element]:
    for child in container:
        if child.tag == "table:table-row":
            yield child
        elif child.tag in _ROW_GROUPS:
            yield from _rows(child)


def _cells(row: Element) -> Iterator[Element]:
    """The cells of a row, those that others cover too."""
    for cell in row:
        if cell.tag in ("table:table-cell", "table:covered-table-cell"):
            count = cell.get("table:number-columns-repeated", "1")
            repeated = int(count) if count.isdigit() and len(count) < 6 else 1
            yield from [cell] * min(repeated, MAX_REPEATED)
