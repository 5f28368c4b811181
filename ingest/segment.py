"""From a Document to Segments along its own structure: sections, clauses, definitions, hunks."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from longctx.ingest.document import Document, Heading, Segment
from longctx.ingest.headings import markdown_headings, prose_headings, section_headings
from longctx.ingest.markup_headings import markup_of

# Code in other languages than Python is cut where a blank line comes after this many characters.
BLOCK_CHARACTERS = 3000
# A class longer than this is cut at its methods.
LONG_CLASS_LINES = 120

_DIFF_FILE = re.compile(r"^(?:diff --git .+|Index: .+|--- [^\n]+(?=\n\+\+\+ [^\n]+\n@@))$", re.M)
_DIFF_PATH = re.compile(r"^(?:\+\+\+ (?:b/)?|Index: )([^\t\n]+)", re.M)
_DIFF_HUNK = re.compile(r"^@@ .+", re.M)


def segments(document: Document) -> tuple[Segment, ...]:
    """The Document's Segments: in order, without gaps, from its first character to its last.

    Text before the first heading is a Segment of level 0 without a heading.
    """
    headings = list(document.headings) or list(_STRUCTURES[document.kind](document))
    if not headings and document.pages:
        headings = [
            Heading(page.start, f"{page.unit} {page.number}", 1)
            for page in document.pages
            if page.start < page.end
        ]
    if not headings or headings[0].start > 0:
        headings.insert(0, Heading(0, "", 0))
    ends = [*(heading.start for heading in headings[1:]), len(document.text)]
    return tuple(
        Segment(document, heading.start, end, heading.title, heading.level)
        for heading, end in zip(headings, ends, strict=True)
        if heading.start < end
    )


def _code(document: Document) -> Iterable[Heading]:
    if document.name.endswith((".py", ".pyi", ".pyw")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = ast.parse(document.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return _blocks(document)
        return _definitions(document, module)
    return _blocks(document)


def _definitions(document: Document, module: ast.Module) -> Iterator[Heading]:
    """The functions and classes of a Python module, and the statements between them."""
    between = True
    for statement in module.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield _definition(document, statement, "", 1)
            if isinstance(statement, ast.ClassDef):
                yield from _methods(document, statement)
            between = False
        elif not between:
            yield Heading(_first_character(document, statement), "", 1)
            between = True


def _methods(document: Document, owner: ast.ClassDef) -> Iterator[Heading]:
    if (owner.end_lineno or 0) - owner.lineno > LONG_CLASS_LINES:
        for member in owner.body:
            if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield _definition(document, member, f"{owner.name}.", 2)


def _definition(
    document: Document,
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef,
    prefix: str,
    level: int,
) -> Heading:
    keyword = "class" if isinstance(node, ast.ClassDef) else "def"
    return Heading(_first_character(document, node), f"{keyword} {prefix}{node.name}", level)


def _first_character(document: Document, node: ast.stmt) -> int:
    """Where a statement begins, with its decorators and the comment lines right above it."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    line = min([node.lineno, *(item.lineno for item in decorators)])
    starts = document.line_starts
    while line > 1 and document.text[starts[line - 2] : starts[line - 1]].lstrip().startswith("#"):
        line -= 1
    return starts[line - 1]


def _blocks(document: Document) -> Iterator[Heading]:
    """Stretches of at least `BLOCK_CHARACTERS`, cut before an unindented line after a blank one."""
    start, blank = 0, False
    # Text without blank lines, a minified page or a table, is cut at any line in the end.
    for line_start, line_end in pairwise([*document.line_starts, len(document.text)]):
        line = document.text[line_start:line_end]
        length = line_start - start
        apart = blank and not line[:1].isspace()
        if length >= (BLOCK_CHARACTERS if apart else 4 * BLOCK_CHARACTERS):
            if start == 0:
                yield Heading(0, _first_line(document.text[:line_start]), 1)
            start = line_start
            yield Heading(start, _first_line(document.text[start:line_end]), 1)
        blank = not line.strip()


def _first_line(text: str) -> str:
    """The first line with letters in it, cut to the length of a heading."""
    lines = (line.strip() for line in text.split("\n"))
    return next((line for line in lines if any(map(str.isalnum, line))), "")[:80]


def _diff(document: Document) -> Iterator[Heading]:
    """The files of a unified diff, and the further hunks of each."""
    files = list(_file_starts(document.text))
    for start, end in pairwise([*files, len(document.text)]):
        path = _DIFF_PATH.search(document.text, start, end)
        title = path[1] if path else _first_line(document.text[start:end])
        if title == "/dev/null":
            title = f"{_first_line(document.text[start:end])} (deleted)"
        yield Heading(start, title, 1)
        for index, hunk in enumerate(_DIFF_HUNK.finditer(document.text, start, end)):
            if index:
                yield Heading(hunk.start(), f"{title} {hunk[0]}"[:120], 2)


def _file_starts(text: str) -> Iterator[int]:
    """Where each file of the diff begins; `---` after `diff --git` or `Index:` begins none."""
    inside = False
    for match in _DIFF_FILE.finditer(text):
        if not match[0].startswith("---"):
            inside = True
            yield match.start()
        elif not inside or "\n@@" in text[text.rfind("\ndiff ", 0, match.start()) : match.start()]:
            yield match.start()


def _markdown(document: Document) -> Iterable[Heading]:
    return (markup_of(document.name) or markdown_headings)(document.text)


def _prose(document: Document) -> Iterable[Heading]:
    return (markup_of(document.name) or prose_headings)(document.text)


def _paper(document: Document) -> Iterable[Heading]:
    return section_headings(document.text) or prose_headings(document.text)


_STRUCTURES: dict[str, Callable[[Document], Iterable[Heading]]] = {
    "code": _code,
    "data": _blocks,
    "diff": _diff,
    "markdown": _markdown,
    "pdf": _paper,
    "prose": _prose,
}
