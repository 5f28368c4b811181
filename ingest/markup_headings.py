"""Headings stated by reStructuredText, AsciiDoc and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import PurePath

from longctx.ingest.document import Heading
from longctx.ingest.headings import MAX_TITLE

_RST_LINE = re.compile(r"([!-/:-@\[-`{-~])\1*")
_ADOC_TITLE = re.compile(r"(={1,6}|#{1,6})[ \t]+(\S.*)")
_ADOC_FENCE = re.compile(r"([-.=*_+/])\1{3,}|--|```+.*|[|,:!]===")
_ADOC_LEVELS = {"=": 1, "-": 2, "~": 3, "^": 4, "+": 5}
_TEX_LEVELS = {
    "part": 1,
    "chapter": 2,
    "section": 3,
    "subsection": 4,
    "subsubsection": 5,
    "paragraph": 6,
    "subparagraph": 7,
}
_TEX = re.compile(
    r"(?<!\\)(?:\\\\)*%.*"
    r"|\\begin\{(?P<raw>verbatim\*?|lstlisting|minted|comment|Verbatim)\}"
    r"(?s:.*?)(?:\\end\{(?P=raw)\}|\Z)"
    rf"|\\(?P<level>{'|'.join(_TEX_LEVELS)})\*?[ \t]*(?:\[[^\]\n]*\][ \t]*)?\{{"
    r"|\\begin\{(?P<named>abstract|thebibliography)\}"
    r"|\\(?P<list>bibliography|printbibliography)\b"
)
_TEX_NAMES = {
    "abstract": "Abstract",
    "thebibliography": "References",
    "bibliography": "References",
    "printbibliography": "References",
}
_TEX_COMMAND = re.compile(
    r"\\(?:label|index|footnote)\{[^{}]*\}|\\[a-zA-Z]+\*?[ \t]*|\\(?=[^a-zA-Z])"
)


def rst_headings(text: str) -> list[Heading]:
    """The titles of reStructuredText, their levels in the order their adornments first appear."""
    headings: list[Heading] = []
    levels: dict[tuple[str, bool], int] = {}
    lines = list(_lines(text))
    index = 1
    while index < len(lines):
        start, line = lines[index - 1]
        adornment = lines[index][1].rstrip()
        above = lines[index - 2][1].rstrip() if index > 1 else ""
        title = line.strip()
        over = above == adornment and bool(above)
        if (
            _RST_LINE.fullmatch(adornment)
            and len(adornment) >= min(len(title), 4)
            and any(map(str.isalnum, title))
            and (over or not above and not line[:1].isspace())
        ):
            level = levels.setdefault((adornment[0], over), len(levels) + 1)
            headings.append(Heading(start, title[:MAX_TITLE], level))
            index += 1
        index += 1
    return headings


def adoc_headings(text: str) -> list[Heading]:
    """The titles of AsciiDoc in one line or underlined, outside of delimited blocks."""
    headings: list[Heading] = []
    block = ""
    before, previous, previous_start = "", "", 0
    for start, line in _lines(text):
        bare = line.rstrip()
        title = _ADOC_TITLE.fullmatch(bare)
        if block:
            block = "" if bare == block else block
        elif _underlines(previous, bare, before):
            headings.append(Heading(previous_start, previous, _ADOC_LEVELS[bare[0]]))
        elif _ADOC_FENCE.fullmatch(bare):
            block = "```" if bare.startswith("```") else bare
        elif title:
            headings.append(Heading(start, title[2][:MAX_TITLE], len(title[1])))
        before, previous, previous_start = previous, bare, start
    return headings


def tex_headings(text: str) -> list[Heading]:
    """The sections of LaTeX, its abstract and its references; levels counted from 1."""
    found: list[Heading] = []
    for match in _TEX.finditer(text):
        if match["level"]:
            title = _tex_title(text, match.end())
            if title:
                found.append(Heading(match.start(), title, _TEX_LEVELS[match["level"]]))
        elif match["named"] or match["list"]:
            name = _TEX_NAMES[match["named"] or match["list"]]
            found.append(Heading(match.start(), name, _TEX_LEVELS["section"]))
    highest = min((heading.level for heading in found), default=1)
    return [Heading(item.start, item.title, item.level - highest + 1) for item in found]


MARKUPS: dict[str, Callable[[str], list[Heading]]] = {
    ".adoc": adoc_headings,
    ".asciidoc": adoc_headings,
    ".ltx": tex_headings,
    ".rst": rst_headings,
    ".tex": tex_headings,
}


def markup_of(name: str) -> Callable[[str], list[Heading]] | None:
    """What finds the headings in a file of this name, where its markup is known here."""
    return MARKUPS.get(PurePath(name).suffix.lower())


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1


def _underlines(title: str, line: str, before: str) -> bool:
    """Whether the line is under a title, and as long as it, and not the edge of a block."""
    return (
        len(line) >= 3
        and line[0] in _ADOC_LEVELS
        and not line.strip(line[0])
        and any(map(str.isalnum, title))
        and title[0] not in ".[|"
        and abs(len(line) - len(title)) <= 1
        and (not before or before.startswith("["))
    )


def _tex_title(text: str, start: int) -> str:
    """What stands up to the closing brace, without commands."""
    depth, end = 1, start
    while end < len(text) and depth and end - start < 500:
        if text[end] == "\\":
            end += 1
        elif text[end] in "{}":
            depth += 1 if text[end] == "{" else -1
        end += 1
    bare = _TEX_COMMAND.sub("", text[start : end - 1]) if depth == 0 else ""
    return " ".join(re.sub(r"[{}]", "", bare).replace("~", " ").split())[:MAX_TITLE]
