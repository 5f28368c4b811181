"""Shows the place of a Citation: in the user's editor, or with the lines around it."""

from __future__ import annotations

import shlex
import subprocess
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longctx.ingest.document import Document, Span

_NEIGHBOURS = 3


def passage(document: Document, span: Span) -> str:
    """The lines of the Span, marked, between a few of their neighbours."""
    starts = document.line_starts
    first = bisect_right(starts, span.start) - 1
    last = bisect_right(starts, max(span.start, span.end - 1)) - 1
    ends = [*(start - 1 for start in starts[1:]), len(document.text)]
    shown = []
    for at in range(max(0, first - _NEIGHBOURS), min(len(starts), last + 1 + _NEIGHBOURS)):
        text = document.text[starts[at] : ends[at]]
        if at == len(starts) - 1 and not text:
            continue
        mark = ">" if first <= at <= last else " "
        place = "" if document.pages else f"{document.line_at(starts[at]):>6}  "
        shown.append(f"{mark} {place}{text}".rstrip())
    return "\n".join([str(span), *shown]) + "\n"


def editor_command(
    editor: str, file: Path | None, document: Document, span: Span
) -> list[str] | None:
    """The words that open the file at the Span; None without an editor.

    None too where the text does not stand on that line of the file: in a PDF, in an archive.
    """
    if not editor or file is None or document.pages:
        return None
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return None
    start = document.text.rfind("\n", 0, span.start) + 1
    wanted = document.text[start:].partition("\n")[0].strip()
    if span.first_line > len(lines) or wanted not in lines[span.first_line - 1]:
        return None
    return [*shlex.split(editor), f"+{span.first_line}", str(file)]


def edit(command: list[str]) -> str:
    """What went wrong with the editor, "" if nothing did."""
    try:
        code = subprocess.call(command)
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    return f"{command[0]} ended with {code}" if code else ""
