"""The text of a web page or of a chapter: blocks as lines, lists and tables kept readable."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from longctx.ingest.document import Heading
from longctx.ingest.flow import Flow, Mark
from longctx.ingest.markup import VOID, attributes, tokens
from longctx.ingest.numerals import numeral

MAX_TITLE = 300
# A row longer than this is none of data: the table only lays out the page.
LONG_ROW = 2000

# How far elements stand apart from what is around them: 1 begins a line, 2 leaves a blank one.
_GAPS = dict.fromkeys(
    "address body caption center dd details div dt fieldset figcaption footer form header html"
    " legend li main option summary tbody tfoot thead title".split(),
    1,
) | dict.fromkeys(
    "article aside blockquote dl figure h1 h2 h3 h4 h5 h6 hr nav ol p pre section table ul".split(),
    2,
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CONTROLS = frozenset(("button", "nav", "select", "textarea"))
_INDENTED = frozenset(("ul", "ol", "dd", "blockquote"))
# Only tags with one of these words need a closer look at their attributes.
_TELLING = re.compile(r"\b(?:id|name|hidden|role|type|class|style|start|value|alt)\b")
_UNSEEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_FIRST = re.compile(r"\s{0,500}")


@dataclass(frozen=True, slots=True)
class PageText:
    """A page as text, with the places in it.

    `anchors` leads from the id of an element to its first character; `lines` holds (offset, line)
    pairs: from that offset on the characters stand on that line of the markup. `left_out` counts
    the words of navigation and of hidden elements, which are not in the text.
    """

    text: str
    title: str
    title_line: int
    headings: tuple[Heading, ...]
    anchors: dict[str, int]
    lines: tuple[tuple[int, int], ...]
    left_out: int


def page_text(markup: str, *, lines: bool = False) -> PageText:
    """The text of HTML or XHTML; from which lines of it the text comes only if asked for."""
    markup = markup.replace("\r\n", "\n").replace("\r", "\n")
    builder = _Builder(Flow(markup if lines else ""))
    for offset, tag, rest in tokens(markup):
        if not tag:
            builder.text(rest, offset)
        elif tag[0] == "/":
            builder.end(tag[1:])
        else:
            builder.start(tag, rest, offset)
    return builder.result()


@dataclass(slots=True)
class _Open:
    """An element that is open, and what is to be done at its end."""

    tag: str
    mark: Mark
    close: Callable[[_Open], None] | None = None
    # Of a list: the number of its next item, and the style of its numbers.
    number: int = 1
    style: str = ""


@dataclass(slots=True)
class _Builder:
    """What the tags do to the text. An element that leaves cuts it back to where it began."""

    flow: Flow
    open: list[_Open] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    headings: list[Heading] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)
    mains: list[tuple[int, int]] = field(default_factory=list)
    lists: list[_Open] = field(default_factory=list)
    formulas: list[Mark] = field(default_factory=list)
    is_layout: list[bool] = field(default_factory=list)
    pre: bool = False
    linked: int = -1
    title: str = ""
    title_place: int = 0
    left_out: int = 0

    def text(self, data: str, offset: int) -> None:
        if not self.pre:
            self.flow.words(data, offset)
            return
        mark = self.open[-1].mark
        if self.open[-1].tag == "pre" and mark.length == self.flow.length and data[0] == "\n":
            data, offset = data[1:], offset + 1
        if data:
            self.flow.lines(data, offset)

    def start(self, tag: str, rest: str, offset: int) -> None:
        flow = self.flow
        element = _Open(tag, flow.mark())
        self._apart(tag)
        told = attributes(rest) if _TELLING.search(rest) else {}
        name = told.get("id") or told.get("name" if tag == "a" else "id")
        if name:
            self.anchors.setdefault(name, flow.length)
        if tag == "br" and self.pre:
            flow.add("\n")
        elif tag == "br":
            flow.apart(min(flow.gap + 1, 2))
        elif tag == "img":
            flow.words(told.get("alt", ""), offset)
        if tag not in VOID:
            element.close = self._begin(element, told)
            self.open.append(element)
            self.counts[tag] += 1

    def end(self, tag: str) -> None:
        if not self.counts[tag]:
            return
        element = self.open.pop()
        while element.tag != tag:
            self._close(element, cut_short=True)
            element = self.open.pop()
        self._close(element, cut_short=False)

    def _close(self, element: _Open, *, cut_short: bool) -> None:
        self.counts[element.tag] -= 1
        # What was to be left out and never ends may hold anything: it stays.
        if element.close is not None and not (cut_short and element.close == self._leave_out):
            element.close(element)
        self._apart(element.tag)

    def _apart(self, tag: str) -> None:
        gap = _GAPS.get(tag)
        if gap:
            self.flow.apart(1 if self.counts["li"] else gap)

    def _begin(self, element: _Open, told: dict[str, str]) -> Callable[[_Open], None] | None:
        """What is to be done at the end of an element that begins here."""
        tag, flow = element.tag, self.flow
        if tag in _CONTROLS or told and _is_unseen(tag, told):
            return self._leave_out
        if tag in _HEADINGS or tag in ("table", "pre"):
            # What cannot stand in a line shows that the table around it is none of data.
            self._lay_out()
            if tag == "pre":
                self.pre = True
                return self._end_pre
            if tag == "table":
                self.is_layout.append(False)
                return self._end_table
            return self._end_heading
        if tag in ("td", "th"):
            self._begin_cell()
        elif tag == "tr":
            flow.apart(1)
            if self.is_layout and not self.is_layout[-1]:
                flow.begin_row()
                return self._end_row
        elif tag == "li":
            flow.prefix = self._bullet(told)
        elif tag in _INDENTED:
            element.style = told.get("type", "1") if tag == "ol" else ""
            element.number = _number(told.get("start", ""), 1)
            flow.indent += 1
            self.lists.append(element)
            return self._end_indented
        elif tag == "sup" or "noteref" in told.get("epub:type", "") + told.get("role", ""):
            return self._end_raised
        elif tag == "a":
            return self._end_link
        elif tag == "title" and not self.counts["body"]:
            return self._end_title
        elif tag == "main" or told.get("role") == "main":
            return self._end_main
        elif tag == "math":
            self.formulas.append(element.mark)
            return self._end_formula
        elif tag == "annotation" and self.formulas:
            return self._end_annotation
        return None

    def _leave_out(self, element: _Open) -> None:
        self.left_out += len(self._cut(element.mark).split())

    def _cut(self, mark: Mark) -> str:
        while self.headings and self.headings[-1].start >= mark.length:
            self.headings.pop()
        return self.flow.cut(mark)

    def _end_title(self, element: _Open) -> None:
        self.title_place = self.flow.origins[-1][1] if self.flow.origins else 0
        self.title = " ".join(self._cut(element.mark).split())

    def _end_formula(self, element: _Open) -> None:
        self.formulas.pop()

    def _end_annotation(self, element: _Open) -> None:
        """The source of a formula stands for its glyphs."""
        if self.formulas:
            tex = self._cut(element.mark)
            self._cut(self.formulas[-1])
            self.flow.words(f" {tex} ", 0)

    def _end_main(self, element: _Open) -> None:
        self.mains.append((element.mark.length, self.flow.length))

    def _end_heading(self, element: _Open) -> None:
        if self.flow.length - element.mark.length > 2 * MAX_TITLE:
            return
        title = " ".join(self.flow.since(element.mark).split())
        if title:
            self.headings.append(Heading(element.mark.length, title, _HEADINGS[element.tag]))

    def _end_link(self, element: _Open) -> None:
        self.linked = self.flow.length

    def _end_raised(self, element: _Open) -> None:
        """A note's number in brackets, and an exponent after a caret, as plain text has them."""
        flow, mark = self.flow, element.mark
        raised = flow.since(mark) if flow.length - mark.length < 20 else ""
        bare = raised.strip()
        if not bare.isdigit():
            return
        place = raised.index(bare)
        if element.tag != "sup" or self.counts["a"] or self.linked > mark.length:
            bare = f"[{bare}]"
        elif place == 0 and mark.piece and flow.pieces[mark.piece - 1][-1:].isalnum():
            bare = f"^{bare}"
        del flow.pieces[mark.piece :]
        flow.length = mark.length
        flow.add(raised[:place] + bare)

    def _end_pre(self, element: _Open) -> None:
        flow = self.flow
        self.pre = False
        while len(flow.pieces) > element.mark.piece and not flow.pieces[-1].strip("\n"):
            flow.length -= len(flow.pieces.pop())

    def _end_indented(self, element: _Open) -> None:
        self.flow.indent -= 1
        self.lists.pop()

    def _bullet(self, told: dict[str, str]) -> str:
        parent = self.lists[-1] if self.lists else None
        if parent is None or parent.tag != "ol":
            return "- "
        number = _number(told.get("value", ""), parent.number)
        parent.number = number + 1
        return f"{numeral(number, parent.style)}. "

    def _lay_out(self) -> None:
        if self.is_layout and not self.is_layout[-1]:
            self.is_layout[-1] = True
            self.flow.leave_row()

    def _begin_cell(self) -> None:
        row = self.flow.row
        if row is not None and self.flow.length - row.length > LONG_ROW:
            self._lay_out()
        if self.flow.row is None:
            self.flow.apart(2)
        else:
            self.flow.begin_cell()

    def _end_row(self, element: _Open) -> None:
        self.flow.end_row()

    def _end_table(self, element: _Open) -> None:
        self.is_layout.pop()
        self.flow.row = None

    def result(self) -> PageText:
        """The page, its places counted from the first character that is shown."""
        while self.open:
            self._close(self.open.pop(), cut_short=True)
        whole = "".join(self.flow.pieces)
        left_out, start, end = self.left_out, 0, len(whole)
        if len(self.mains) == 1:
            start, end = self.mains[0]
            left_out += len(whole[:start].split()) + len(whole[end:].split())
        start = _first(whole, start, end)
        text = whole[start:end].rstrip()

        def place(offset: int) -> int:
            return min(max(0, _first(whole, offset, end) - start), len(text))

        return PageText(
            text=text + "\n" if text else "",
            title=self.title,
            title_line=1 + self.flow.source.count("\n", 0, self.title_place),
            headings=tuple(
                Heading(place(heading.start), heading.title, heading.level)
                for heading in self.headings
                if start <= _first(whole, heading.start, end) < start + len(text)
            ),
            anchors={name: place(offset) for name, offset in self.anchors.items()},
            lines=self.flow.places(start, start + len(text)),
            left_out=left_out,
        )


def _first(text: str, start: int, end: int) -> int:
    """The first character from `start` on that is no white space."""
    match = _FIRST.match(text, min(start, end), end)
    assert match is not None
    return match.end()


def _is_unseen(tag: str, told: dict[str, str]) -> bool:
    """Whether nobody sees the element, or it only leads around."""
    if tag in ("body", "html", "main"):
        return False
    return (
        told.get("hidden", "until-found") != "until-found"
        or told.get("aria-hidden", "").lower() == "true"
        or told.get("role") in ("navigation", "search")
        or "headerlink" in told.get("class", "").split()
        or _UNSEEN.search(told.get("style", "")) is not None
    )


def _number(text: str, otherwise: int) -> int:
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else otherwise
