"""Headings found in text that states none: Markdown, chapters, capitals, numbered clauses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from operator import eq

from longctx.ingest.document import Heading

MAX_TITLE = 80
# How many numbers of a sequence may be missing: set as a picture, or in a way not known here.
_MAX_SKIP = 3
# The level, for the time being, of a heading that only stands out from the text around it.
_LOOSE = 9

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r"^ {0,3}([=\-~^*#+\"'`])\1{2,}[ \t]*$")
_SETEXT_LEVELS = {"=": 1, "-": 2, "~": 3, "^": 4}
# Licences set some clauses in boxes of asterisks.
_BOXED = re.compile(r"^\*\s+(.*?)\s+\*$")

_ROMAN = r"[IVXLCDM]+"
_NUMBER_WORD = (
    r"(?:the )?(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|first|second|third"
    r"|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last)"
)
_NAMED = re.compile(
    r"^(?P<word>volume|book|part|act|chapter|article|canto|letter|stave|appendix|annex|schedule"
    r"|exhibit|scene|section|§)[ \t]*"
    rf"(?:\d+(?:\.\d+)*|(?-i:{_ROMAN})\b|{_NUMBER_WORD}\b|(?-i:[A-Z])\b)(?P<rest>.*)$",
    re.I,
)
_NAMED_LEVELS = {"volume": 1, "book": 1, "part": 1, "act": 1, "section": 3, "scene": 3, "§": 3}
_CHINESE = re.compile(
    r"^(?:第[零〇一二三四五六七八九十百千万两０-９0-9]{1,8}(?P<unit>[卷部篇编編集回章节節折幕条條])"
    r"|(?:序章?|楔子|引子|尾声|后记|後記)$)"
)
_CHINESE_LEVELS = dict.fromkeys("卷部篇编編集", 1) | dict.fromkeys("节節", 3)
# A clause goes on with its text, set off by a space: 第三条　甲方应当...
_CHINESE_CLAUSE = re.compile(r"^(第[^条條]+[条條](?:[ \u3000:：、]+|$)[^。；;\n]{0,40})")
_CHINESE_CLAUSE_LEVEL = 4
# A section title of a paper: a number, then words that begin with a capital, and no page number.
_SECTION = re.compile(
    r"^\d{1,2}(?:\.\d{1,2}){0,3}\.?\s+(?=.*[^\W\d_]{3})[^\W\d_a-z][^=|{}<>∈≤≥±]{2,70}(?<![\d.,;:])$"
)
_UNNUMBERED = re.compile(r"^(?:References|Bibliography|Acknowledge?ments?|Affiliation:|Appendix)$")
_NUMBERED = re.compile(r"^(?P<number>\d{1,3}(?:\.\d{1,3}){0,4})(?P<dot>[.)]?)\s+(?P<title>\S.*)$")
# Two characters before the stop, so that "U.S." ends no sentence.
_SENTENCE = re.compile(r"(?<=[\w)\"'][\w)\"'])[.:;](?=\s|$)")


@dataclass(frozen=True, slots=True)
class _Line:
    """A line, where it starts, and whether blank lines stand around it."""

    start: int
    text: str
    indent: int
    after_blank: bool
    before_blank: bool


def markdown_headings(text: str) -> list[Heading]:
    """The ATX and setext headings of Markdown (CommonMark 0.31, 4.2, 4.3), outside code fences."""
    headings: list[Heading] = []
    fence = ""
    previous: _Line | None = None
    for line in _lines(text):
        mark = _FENCE.match(line.text)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif not fence:
            atx, underline = _ATX.match(line.text), _UNDERLINE.match(line.text)
            if atx:
                headings.append(Heading(line.start, atx[2], len(atx[1])))
            elif underline and previous is not None and _underlined(previous, line):
                level = _SETEXT_LEVELS.get(underline[1], 3)
                headings.append(Heading(previous.start, previous.text.strip(), level))
        previous = line
    return headings


def prose_headings(text: str) -> list[Heading]:
    """The headings of a book, a contract or a licence in plain text, levels counted from 1."""
    found: list[Heading] = []
    numbers = _Numbering()
    underlines: dict[str, int] = {}
    previous: _Line | None = None
    for line in _lines(text):
        stripped = line.text.strip()
        boxed = _BOXED.match(stripped)
        stripped = boxed[1] if boxed else stripped
        underline = _UNDERLINE.match(line.text)
        if underline and previous is not None and _underlined(previous, line):
            if not found or found[-1].start != previous.start:
                # The first sort of line is under the titles of the highest level, and so on.
                level = underlines.setdefault(underline[1], len(underlines) + 1)
                title = previous.text.strip()
                found.append(Heading(previous.start, title, numbers.take(title) or level))
        elif stripped:
            heading = (
                _chinese(line, stripped)
                or _named(line, stripped)
                or numbers.heading(line, stripped)
                or _standing_out(line, stripped)
            )
            if heading is not None:
                found.append(heading)
        previous = line
    return _ranked(_placed(_without_listed(found, text)))


def section_headings(text: str) -> list[Heading]:
    """The numbered section titles of a paper, in text where no blank lines set headings apart.

    Fewer than three are taken for chance, and give none.
    """
    lines = list(_lines(text))
    repeated = Counter(_bare_title(line.text) for line in lines)
    numbers = _Numbering(restarts=False)
    found: list[Heading] = []
    for line in lines:
        stripped = line.text.strip()
        if _SECTION.match(stripped) and repeated[_bare_title(line.text)] < 3:
            apart = _Line(line.start, line.text, 0, after_blank=True, before_blank=True)
            heading = numbers.heading(apart, stripped)
            if heading is not None:
                found.append(Heading(line.start, stripped, heading.level))
        elif found and _UNNUMBERED.match(stripped):
            found.append(Heading(line.start, stripped, 2))
    return _ranked(found) if len(found) >= 3 else []


def _bare_title(line: str) -> str:
    """The line without the numbers at its ends, as a title running along the pages repeats it."""
    return line.strip(" \t.0123456789")


def _lines(text: str) -> Iterator[_Line]:
    start, after_blank = 0, True
    lines = text.split("\n")
    for index, line in enumerate(lines):
        before_blank = index + 1 >= len(lines) or _is_bare(lines[index + 1])
        yield _Line(start, line, len(line) - len(line.lstrip()), after_blank, before_blank)
        start += len(line) + 1
        after_blank = _is_bare(line)


def _is_bare(line: str) -> bool:
    """Whether the line is blank or only a rule, such as the edge of a box."""
    return not any(map(str.isalnum, line))


def _underlined(title: _Line, underline: _Line) -> bool:
    text = title.text.strip()
    long_enough = len(underline.text.strip()) >= min(len(text) - 2, 3)
    return bool(text) and title.after_blank and long_enough and any(map(str.isalnum, text))


def _chinese(line: _Line, stripped: str) -> Heading | None:
    match = _CHINESE.match(stripped)
    if match is not None and match["unit"] in ("条", "條"):
        clause = _CHINESE_CLAUSE.match(stripped)
        return Heading(line.start, clause[1], _CHINESE_CLAUSE_LEVEL) if clause else None
    if match is None or len(stripped) > 50 or stripped[-1] in "。，；,;":
        return None
    return Heading(line.start, stripped, _CHINESE_LEVELS.get(match["unit"] or "", 2))


def _named(line: _Line, stripped: str) -> Heading | None:
    """`Chapter IV`, `ARTICLE 2. Definitions`, `Part the First`."""
    match = _NAMED.match(stripped)
    if match is None or not line.after_blank or len(stripped) > MAX_TITLE:
        return None
    # "Section 8 of this Agreement shall" is a sentence; a heading goes on in capitals or ends.
    rest = match["rest"].lstrip(" .:—–-\t")
    if rest and not (rest[0].isupper() or rest[0] in "\"'([“‘_*"):
        return None
    if rest.endswith((",", ";")) or (rest and not line.before_blank and rest[-1] not in ".:"):
        if not rest.isupper():
            return None
    return Heading(line.start, stripped, _NAMED_LEVELS.get(match["word"].lower(), 2))


class _Numbering:
    """Numbered headings, told from other numbers by counting on from each other."""

    def __init__(self, *, restarts: bool = True) -> None:
        self._restarts = restarts
        self._last: tuple[int, ...] = ()
        self._indent = 0

    def take(self, title: str) -> int:
        """The level of a title that is known to be one, and its number as the last; 0 without."""
        match = _NUMBERED.match(title)
        if match is None:
            return 0
        self._last = tuple(map(int, match["number"].split(".")))
        return 1 + len(self._last)

    def heading(self, line: _Line, stripped: str) -> Heading | None:
        """`0. Definitions.`, `1.2 Grants`, or a clause whose text follows its number at once."""
        match = _NUMBERED.match(stripped)
        if match is None or not line.after_blank:
            return None
        number = tuple(map(int, match["number"].split(".")))
        # "12 apples" is no heading: a single number needs its dot, or capitals after it.
        if len(number) == 1 and not match["dot"] and not match["title"][0].isupper():
            return None
        if not self._follows(number, line.indent):
            return None
        if len(number) == 1:
            self._indent = line.indent
        self._last = number
        return Heading(line.start, _title(stripped), 1 + len(number))

    def _follows(self, number: tuple[int, ...], indent: int) -> bool:
        last = self._last
        if len(number) == 1:
            if number[0] in (0, 1) and (not last or self._restarts and indent <= self._indent):
                return True
            ahead = number[0] - last[0] if last else 0
            return 0 < ahead <= _MAX_SKIP and abs(indent - self._indent) <= 2
        if not last or number == last:
            return False
        shared = sum(1 for _ in takewhile(bool, map(eq, number, last)))
        if shared == len(number):
            return False
        # The first number that differs goes up a little, and what comes after it begins anew.
        ahead = number[shared] - (last[shared] if shared < len(last) else 0)
        return 0 < ahead <= _MAX_SKIP and all(part <= 1 for part in number[shared + 1 :])


def _title(text: str) -> str:
    """The first sentence of a clause, cut at a word to the length of a heading."""
    number, _, words = text.partition(" ")
    end = _SENTENCE.search(words)
    title = f"{number} {words[: end.end()].strip() if end else words.strip()}"
    if len(title) <= MAX_TITLE:
        return title
    return title[:MAX_TITLE].rsplit(" ", 1)[0]


def _standing_out(line: _Line, stripped: str) -> Heading | None:
    """A line in capitals, or a short title set far in, with blank lines around it."""
    if not (line.after_blank and line.before_blank) or not 3 < len(stripped) <= MAX_TITLE:
        return None
    letters = [character for character in stripped if character.isalpha()]
    if len(letters) < 4 or stripped[-1] in ",;" or len(letters) * 2 < len(stripped):
        return None
    if stripped.isupper() and stripped[0] not in '*|="“':
        return Heading(line.start, stripped, _LOOSE)
    centred = line.indent >= 10 and stripped[-1] not in ".!?,;:" and stripped[0].isupper()
    return Heading(line.start, stripped, _LOOSE) if centred and _is_title(stripped) else None


def _is_title(text: str) -> bool:
    """Whether every longer word is written with a capital."""
    words = re.findall(r"[^\W\d_]{4,}", text)
    return bool(words) and all(word[0].isupper() for word in words)


def _without_listed(headings: list[Heading], text: str) -> list[Heading]:
    """The headings without those of a table of contents, which come again with text below them."""
    last_place = {_key(heading.title): heading.start for heading in headings}
    kept = []
    starts = [*(heading.start for heading in headings), len(text)]
    for heading, end in zip(headings, starts[1:], strict=True):
        line_end = text.find("\n", heading.start, end)
        body = text[line_end:end].strip() if line_end >= 0 else ""
        if body or last_place[_key(heading.title)] == heading.start:
            kept.append(heading)
    return kept


def _key(title: str) -> str:
    return re.sub(r"[\W_]+", "", title).lower()


def _placed(headings: list[Heading]) -> list[Heading]:
    """The headings with a level for those that only stand out: inside chapters, below them."""
    chapters = [heading.start for heading in headings if _NAMED.match(heading.title)]
    first = chapters[0] if len(chapters) >= 3 else float("inf")
    return [
        Heading(h.start, h.title, 4 if h.start > first else 2) if h.level == _LOOSE else h
        for h in headings
    ]


def _ranked(headings: list[Heading]) -> list[Heading]:
    """The headings with their levels renumbered 1, 2, 3 in the order of their depth."""
    ranks = {level: rank for rank, level in enumerate(sorted({h.level for h in headings}), 1)}
    return [Heading(h.start, h.title, ranks[h.level]) for h in headings]
