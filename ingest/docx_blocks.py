"""The paragraphs and tables of a DOCX as blocks of text, each as it is printed."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from longctx.ingest.docx_clauses import Clauses
from longctx.ingest.docx_inline import Inline
from longctx.ingest.docx_numbering import Label, Numbering
from longctx.ingest.docx_story import CHANGES, NoteMark, Story
from longctx.ingest.docx_styles import BODY_LEVEL, number_in, switched_on
from longctx.ingest.draft import Block
from longctx.ingest.read_settings import Changes
from longctx.ingest.xml_tree import inside

_WRAPPERS = frozenset({"w:sdt", "w:sdtContent", "w:customXml", "w:smartTag"})
# The kind of blocks that stand beside the text: notes, comments, text boxes.
BESIDE = "beside"
# No table has more columns in Word.
MAX_SPAN = 63


class Blocks:
    """Reads the stories of a document (its body, its notes, a header) into blocks."""

    def __init__(
        self, story: Story, numbering: Numbering, notes: dict[str, dict[str, Element]]
    ) -> None:
        """Keep what all stories share; `notes` holds footnotes, endnotes and comments by id."""
        self._story = story
        self._numbering = numbering
        self._notes = notes
        self._clauses = Clauses()
        self.endnotes: list[Block] = []
        self.num_embedded = 0

    def body(self, root: Element) -> list[Block]:
        """The blocks of the main text; text boxes and footnotes follow what they hang on."""
        return list(self._blocks(root, outer=True))

    def plain(self, root: Element) -> str:
        """A short story (a note, a header, a text box) as one line of text for each paragraph."""
        story = self._story
        fields, quotes = story.fields, story.open_quotes
        story.fields, story.open_quotes = [], {}
        text = "\n".join(block.text for block in self._blocks(root, outer=False))
        story.fields, story.open_quotes = fields, quotes
        return text

    def _blocks(self, container: Element, *, outer: bool) -> Iterator[Block]:
        inline = Inline(self._story)
        # Of paragraphs that are joined, the first with any text lends the whole its style.
        first: Element | None = None
        for item in self._items(container):
            if item.tag == "w:p":
                inline.walk(item)
                if self._goes_on(item, inline):
                    first = item if first is None and inline.pieces else first
                    continue
                yield from self._paragraph(item if first is None else first, inline, outer=outer)
                self._end_section(item)
            else:
                if first is not None:
                    yield from self._paragraph(first, inline, outer=outer)
                yield from self._table(item, outer=outer)
            inline, first = Inline(self._story), None
        # The last paragraph of a cell or a story has nothing to join.
        if first is not None:
            yield from self._paragraph(first, inline, outer=outer)

    def _items(self, container: Element) -> Iterator[Element]:
        """The paragraphs and tables, with what only wraps them taken off."""
        for child in container:
            if child.tag in ("w:p", "w:tbl"):
                yield child
            elif child.tag in _WRAPPERS or child.tag in CHANGES:
                if self._story.keeps(child.tag):
                    yield from self._items(child)
            elif child.tag == "mc:AlternateContent":
                yield from self._items(child[0] if len(child) else child)
            elif child.tag == "w:altChunk":
                self.num_embedded += 1

    def _goes_on(self, paragraph: Element, inline: Inline) -> bool:
        """Whether the mark at the end of the paragraph is not there: the next one joins it."""
        mark = inside(paragraph, "w:pPr", "w:rPr")
        for change in () if mark is None else mark:
            if change.tag in CHANGES:
                inline.count_change(change)
                if not self._story.keeps(change.tag):
                    return True
                if self._story.changes is Changes.show:
                    inline.show_mark(change.tag)
        # A style separator: a heading with its text running on in the same line.
        return bool(switched_on(mark, "w:vanish") and switched_on(mark, "w:specVanish"))

    def _paragraph(self, paragraph: Element, inline: Inline, *, outer: bool) -> Iterator[Block]:
        text = inline.text
        label, outline = self._label(paragraph)
        printed = text
        if label is not None and label.text.strip():
            indent = "  " * label.level if label.bullet else ""
            printed = f"{indent}{label.text.strip()} {text.lstrip()}".rstrip()
        if printed.strip():
            heading = self._clauses.take(text, label, outline) if outer else None
            kind = "bullet" if label is not None and label.bullet else ""
            yield Block(printed, kind, *(heading or ("", 0)))
        for box in inline.boxes:
            if boxed := self.plain(box):
                yield Block(boxed, BESIDE)
        for note in inline.marks:
            yield from self._note(note)

    def _properties(self, paragraph: Element) -> Element | None:
        """The properties of a paragraph, or those it had before a tracked change of them."""
        properties = paragraph.find("w:pPr")
        if properties is not None and self._story.changes is Changes.reject:
            former = inside(properties, "w:pPrChange", "w:pPr")
            return properties if former is None else former
        return properties

    def _label(self, paragraph: Element) -> tuple[Label | None, int | None]:
        """The number before a paragraph, and the level of the heading that it is, from 0."""
        properties = self._properties(paragraph)
        named = None if properties is None else properties.find("w:pStyle")
        style_id = None if named is None else named.get("w:val")
        style = self._story.styles.paragraph(style_id)
        outline = number_in(properties, "w:outlineLvl")
        outline = style.outline if outline is None else outline
        if outline is not None and not 0 <= outline < BODY_LEVEL:
            outline = None
        own = None if properties is None else properties.find("w:numPr")
        if own is not None and self._story.changes is Changes.reject:
            own = None if own.find("w:ins") is not None else own
        own_id = None if own is None else own.find("w:numId")
        num_id = style.num_id if own_id is None else own_id.get("w:val")
        if num_id is None or num_id == "0":
            return None, outline
        level = number_in(own, "w:ilvl")
        if level is None:
            level = self._numbering.level_of_style(num_id, style_id or "")
        if level is None:
            level = style.num_level or 0
        return self._numbering.label(num_id, level), outline

    def _note(self, mark: NoteMark) -> Iterator[Block]:
        note = self._notes.get(mark.kind, {}).get(mark.note_id)
        text = "" if note is None else self.plain(note).strip()
        if note is None or not text:
            return
        if mark.kind == "comment":
            yield Block(f"[{self._comment_head(mark.note_id, note)}: {text}]", BESIDE)
            return
        block = Block(f"[^{mark.text}]: {text}" if mark.text else text, BESIDE)
        if mark.kind == "endnote":
            self.endnotes.append(block)
        else:
            yield block

    def _comment_head(self, name: str, comment: Element) -> str:
        """Who commented, when, on what."""
        by, quote = comment.get("w:author", "").strip(), self._story.quote(name)
        head = f"Comment by {by}" if by else "Comment"
        return ", ".join(filter(None, (head, comment.get("w:date", "")[:10], quote)))

    def _end_section(self, paragraph: Element) -> None:
        if inside(paragraph, "w:pPr", "w:sectPr") is not None:
            for footing in self._story.footings.values():
                if footing.each_section:
                    footing.next = footing.start

    def _table(self, table: Element, *, outer: bool) -> Iterator[Block]:
        """A block for each row; a table of one column is only a frame around its paragraphs."""
        rows = [(row, list(self._present(row, "w:tc"))) for row in self._present(table, "w:tr")]
        if all(len(cells) == 1 for _, cells in rows):
            for _, (cell,) in rows:
                yield from self._blocks(cell, outer=outer)
            return
        for row, cells in rows:
            texts = [""] * min(number_in(row, "w:trPr", "w:gridBefore") or 0, MAX_SPAN)
            beside: list[Block] = []
            for cell in cells:
                blocks = list(self._blocks(cell, outer=False))
                beside += (block for block in blocks if block.kind == BESIDE)
                words = " ".join(block.text for block in blocks if block.kind != BESIDE)
                merged = inside(cell, "w:tcPr", "w:vMerge")
                goes_on = merged is not None and merged.get("w:val", "continue") == "continue"
                texts.append("" if goes_on else " ".join(words.split()))
                width = number_in(cell, "w:tcPr", "w:gridSpan") or 1
                texts += [""] * min(width - 1, MAX_SPAN)
            if any(texts):
                yield Block(f"| {' | '.join(texts)} |", "row")
            yield from beside

    def _present(self, container: Element, tag: str) -> Iterator[Element]:
        """The rows of a table, or the cells of a row, that are there in the text that is read."""
        for child in container:
            if child.tag == tag:
                properties = child.find(f"{tag}Pr")
                if properties is None or all(self._story.keeps(mark.tag) for mark in properties):
                    yield child
            elif child.tag in _WRAPPERS or child.tag in CHANGES and self._story.keeps(child.tag):
                yield from self._present(child, tag)
