"""The files of a unified diff and where its lines stand in the new files."""

from __future__ import annotations

import re
from dataclasses import dataclass

from longctx.ingest.document import Document, Span, printable

_FILE = re.compile(
    r"^(?:diff --git .*\n(?:(?!--- |diff --git ).*\n)*)?--- .*\n\+\+\+ (.*)(?=\n@@ )", re.M
)
_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@", re.M)

_NEW = re.compile(r"^--- /dev/null$", re.M)
_ESCAPE = re.compile(r"\\([0-7]{3}|.)")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """The stretch of a diff that changes one file."""

    name: str
    start: int
    end: int
    is_new: bool = False

    @property
    def is_removed(self) -> bool:
        """Whether there is no new file."""
        return self.name == "/dev/null"


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line of a new file that a diff shows, and whether the diff adds it."""

    text: str
    added: bool


def changed_files(document: Document) -> tuple[ChangedFile, ...]:
    """The files that the Document changes, in order; none if it is no unified diff."""
    heads = list(_FILE.finditer(document.text))
    ends = [*(match.start() for match in heads), len(document.text)][1:]
    return tuple(
        ChangedFile(_new_name(match[1]), match.start(), end, _NEW.search(match[0]) is not None)
        for match, end in zip(heads, ends, strict=False)
    )


def new_lines(document: Document, changed: ChangedFile) -> dict[int, NewLine]:
    """The lines of the new file that the diff shows, by their numbers counted from 1."""
    found: dict[int, NewLine] = {}
    hunks = list(_HUNK.finditer(document.text, changed.start, changed.end))
    ends = [*(hunk.start() for hunk in hunks), changed.end][1:]
    for hunk, end in zip(hunks, ends, strict=True):
        line, left = int(hunk[1]), int(hunk[2] or 1)
        for row in document.text[hunk.end() : end].split("\n")[1:]:
            if left == 0:
                break
            if row.startswith(("-", "\\")):
                continue
            found[line] = NewLine(row[1:], row.startswith("+"))
            line, left = line + 1, left - 1
    return found


def place_in_new_file(document: Document, changed: ChangedFile, span: Span) -> Span:
    """The Span with the name and the lines of the new file; `start` and `end` stay the diff's."""
    first = _new_line(document.text, changed, span.start)
    last = _new_line(document.text, changed, max(span.start, span.end - 1))
    return Span(changed.name, span.start, span.end, first, max(first, last))


def _new_line(text: str, changed: ChangedFile, offset: int) -> int:
    """The line of the new file at an offset in the diff; a removed line is where it stood."""
    line, position = 1, changed.start
    for hunk in _HUNK.finditer(text, changed.start, changed.end):
        if hunk.start() > offset:
            break
        line, position = int(hunk[1]), text.find("\n", hunk.end()) + 1
    lines = text[position : max(position, offset)].split("\n")[:-1]
    return line + sum(not row.startswith(("-", "\\")) for row in lines)


def _new_name(field: str) -> str:
    """The file name in a `+++` line, without git's `b/`, its quoting and a time stamp."""
    name = field.split("\t")[0].strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        raw = _ESCAPE.sub(_unescaped, name[1:-1]).encode("latin-1", "replace")
        name = printable(raw.decode("utf-8", "surrogateescape"))
    return name.removeprefix("b/")


def _unescaped(match: re.Match[str]) -> str:
    """The character, a byte if it is no ASCII, that git wrote as an escape."""
    code = match[1]
    return chr(int(code, 8)) if code.isdigit() else _ESCAPES.get(code, code)
