"""The text inside a paragraph of a DOCX: runs, fields, changes, marks of notes, symbols."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree.ElementTree import Element

from longctx.ingest.docx_story import ADDED, NoteMark, Story
from longctx.ingest.docx_styles import switched_on
from longctx.ingest.number_formats import numeral
from longctx.ingest.read_settings import Changes
from longctx.ingest.symbol_fonts import readable, symbol
from longctx.ingest.xml_tree import inside

_ADDITION, _REMOVAL = ("{+", "+}"), ("[-", "-]")


class Inline:
    """The text of one paragraph as it is gathered, and what hangs on it.

    `boxes` are text boxes, `marks` the notes; both come after the paragraph.
    """

    def __init__(self, story: Story) -> None:
        """Begin without text."""
        self.pieces: list[str] = []
        self.boxes: list[Element] = []
        self.marks: list[NoteMark] = []
        self._story = story
        self._font = ""
        self._hidden = False

    @property
    def text(self) -> str:
        """What was gathered, without white space at the ends of lines."""
        text = "".join(self.pieces)
        if self._story.changes is Changes.show:
            for opened, closed in (_ADDITION, _REMOVAL):
                text = text.replace(closed + opened, "")
        return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")

    def show_mark(self, tag: str) -> None:
        """Show that the end of the paragraph was added or removed, where its text was not."""
        opened, closed = _ADDITION if tag in ADDED else _REMOVAL
        text = self.text
        within = text.startswith(opened) and text.find(closed) == len(text) - len(closed)
        if text and not within:
            self.pieces.append(f"{opened}¶{closed}")

    def walk(self, element: Element) -> None:
        """Take the text of all that is inside an element."""
        for child in element:
            handler = _HANDLERS.get(child.tag)
            if handler is not None:
                handler(self, child)
            elif len(child) and not child.tag.endswith("Pr"):
                self.walk(child)

    def put(self, text: str) -> None:
        """Take text, unless it is hidden or the code of a field."""
        if not text or not all(self._story.fields):
            return
        if self._hidden:
            self._story.num_hidden += len(text)
            return
        self.pieces.append(text)
        for quote in self._story.open_quotes.values():
            quote.append(text)

    def _run(self, run: Element) -> None:
        properties = run.find("w:rPr")
        if properties is None:
            self.walk(run)
            return
        before = self._font, self._hidden
        hidden = switched_on(properties, "w:vanish")
        style = properties.find("w:rStyle")
        if hidden is None and style is not None:
            hidden = self._story.styles.is_hidden(style.get("w:val", ""))
        self._hidden = self._hidden or bool(hidden)
        fonts = properties.find("w:rFonts")
        self._font = "" if fonts is None else fonts.get("w:ascii", "")
        self.walk(run)
        self._font, self._hidden = before

    def _text(self, element: Element) -> None:
        text = element.text or ""
        if element.get("xml:space") != "preserve":
            text = text.strip(" \t\r\n")
        self.put(readable(text.replace("\n", " "), self._font))

    def _symbol(self, element: Element) -> None:
        try:
            code = int(element.get("w:char", ""), 16)
        except ValueError:
            return
        self.put(symbol(element.get("w:font", ""), code))

    def _change(self, element: Element) -> None:
        """What was added or removed: taken, passed over, or taken with marks around it."""
        story = self._story
        self.count_change(element)
        if not story.keeps(element.tag):
            return
        before = len(self.pieces)
        self.walk(element)
        if story.changes is Changes.show and len(self.pieces) > before:
            opened, closed = _ADDITION if element.tag in ADDED else _REMOVAL
            self.pieces.insert(before, opened)
            self.pieces.append(closed)

    def count_change(self, element: Element) -> None:
        """Remember that there was a change, and whose."""
        if element.tag in ADDED:
            self._story.num_added += 1
        else:
            self._story.num_removed += 1
        if author := element.get("w:author", "").strip():
            self._story.authors[author] += 1

    def _field_character(self, element: Element) -> None:
        """A field is code, then (maybe) its result; only the result is printed."""
        fields, kind = self._story.fields, element.get("w:fldCharType")
        if kind == "begin":
            fields.append(False)
            self._form_field(element)
        elif kind == "separate" and fields:
            fields[-1] = True
        elif kind == "end" and fields:
            fields.pop()

    def _form_field(self, begin: Element) -> None:
        """Check boxes and lists of forms, whose state stands in no text."""
        shown = ""
        box, choice = inside(begin, "w:ffData", "w:checkBox"), inside(begin, "w:ffData", "w:ddList")
        if box is not None:
            checked = switched_on(box, "w:checked")
            shown = "☒" if (switched_on(box, "w:default") if checked is None else checked) else "☐"
        elif choice is not None:
            result = choice.find("w:result")
            entries = [entry.get("w:val", "") for entry in choice.findall("w:listEntry")]
            place = "0" if result is None else result.get("w:val", "0")
            shown = entries[int(place)] if place.isdigit() and int(place) < len(entries) else ""
        state = self._story.fields.pop()
        self.put(shown)
        self._story.fields.append(state)

    def _note(self, element: Element) -> None:
        if not all(self._story.fields) or self._hidden:
            return
        kind = element.tag.removeprefix("w:").removesuffix("Reference")
        footing = self._story.footings[kind]
        if element.get("w:customMarkFollows") in ("1", "true", "on"):
            # The mark is the text that comes next in the run, and it does not count.
            label = ""
        else:
            label = numeral(footing.next, footing.style)
            footing.next += 1
            self.put(f"[^{label}]")
        self.marks.append(NoteMark(kind, element.get("w:id", ""), label))

    def _comment(self, element: Element) -> None:
        self.marks.append(NoteMark("comment", element.get("w:id", ""), ""))

    def _comment_start(self, element: Element) -> None:
        self._story.open_quotes[element.get("w:id", "")] = []

    def _comment_end(self, element: Element) -> None:
        name = element.get("w:id", "")
        self._story.quotes[name] = self._story.open_quotes.pop(name, [])

    def _alternatives(self, element: Element) -> None:
        """The same thing in a new and in an old form: the new one, unless it shows nothing."""
        before = len(self.pieces), len(self.boxes)
        for form in element:
            self.walk(form)
            if (len(self.pieces), len(self.boxes)) != before:
                return

    def _box(self, element: Element) -> None:
        self.boxes.append(element)

    def _watermark(self, element: Element) -> None:
        self.put(element.get("string", ""))

    def _ruby(self, element: Element) -> None:
        """A word with its reading in small letters above it."""
        for name, form in (("w:rubyBase", "{}"), ("w:rt", "({})")):
            part = element.find(name)
            before = len(self.pieces)
            if part is not None:
                self.walk(part)
            if len(self.pieces) > before:
                self.pieces[before:] = [form.format("".join(self.pieces[before:]))]

    def _group(self, sign: str, element: Element | None) -> None:
        """A part of a formula: in parentheses where it is more than one letter or number."""
        before = len(self.pieces)
        if element is not None:
            self.walk(element)
        if len(self.pieces) - before > 1:
            self.pieces[before:] = ["(", *self.pieces[before:], ")"]
        if len(self.pieces) > before:
            self.pieces.insert(before, sign)

    def _fraction(self, element: Element) -> None:
        self._group("", element.find("m:num"))
        self._group("/", element.find("m:den"))

    def _superscript(self, element: Element) -> None:
        self._group("^", element)

    def _subscript(self, element: Element) -> None:
        self._group("_", element)

    def _root(self, element: Element) -> None:
        self._group("√", element.find("m:e"))

    def _operator(self, element: Element) -> None:
        """A sum or an integral."""
        sign = inside(element, "m:naryPr", "m:chr")
        self.put("∫" if sign is None else sign.get("m:val", ""))
        self.walk(element)

    def _delimiters(self, element: Element) -> None:
        first, last = (inside(element, "m:dPr", f"m:{name}Chr") for name in ("beg", "end"))
        self.put("(" if first is None else first.get("m:val", ""))
        self.walk(element)
        self.put(")" if last is None else last.get("m:val", ""))

    def _passed_over(self, element: Element) -> None:
        pass


def _always(text: str) -> Callable[[Inline, Element], None]:
    return lambda inline, element: inline.put(text)


_HANDLERS: dict[str, Callable[[Inline, Element], None]] = {
    "w:r": Inline._run,
    "w:t": Inline._text,
    "w:delText": Inline._text,
    "m:t": Inline._text,
    "w:tab": _always("\t"),
    "w:ptab": _always("\t"),
    "w:br": _always("\n"),
    "w:cr": _always("\n"),
    "w:noBreakHyphen": _always("\u2011"),
    "w:sym": Inline._symbol,
    "w:ins": Inline._change,
    "w:del": Inline._change,
    "w:moveTo": Inline._change,
    "w:moveFrom": Inline._change,
    "w:fldChar": Inline._field_character,
    "w:footnoteReference": Inline._note,
    "w:endnoteReference": Inline._note,
    "w:commentReference": Inline._comment,
    "w:commentRangeStart": Inline._comment_start,
    "w:commentRangeEnd": Inline._comment_end,
    "mc:AlternateContent": Inline._alternatives,
    "w:txbxContent": Inline._box,
    "textpath": Inline._watermark,
    "w:ruby": Inline._ruby,
    "m:f": Inline._fraction,
    "m:sup": Inline._superscript,
    "m:sub": Inline._subscript,
    "m:rad": Inline._root,
    "m:nary": Inline._operator,
    "m:d": Inline._delimiters,
    "w:pPr": Inline._passed_over,
    "w:p": Inline._passed_over,
    "w:tbl": Inline._passed_over,
}
