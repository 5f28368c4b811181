"""The definitions of a file of code, and the names it calls and imports, from its syntax tree."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import accumulate
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from longctx.ingest.code_languages import COMMENTS, WRAPPERS, Language, language_of
from longctx.ingest.document import Document

if TYPE_CHECKING:
    from tree_sitter import Language as Grammar
    from tree_sitter import Node, Query, QueryCursor, Tree

# More than this was made by a program, and its structure is of no use.
MAX_CHARACTERS = 4_000_000
# The parser reports every hundred steps. Real code that is broken takes a few dozen of them to get
# over its mistakes; what takes more is another language, and would take minutes.
MAX_BROKEN_STEPS = 500
# The time a query takes grows with the square of the depth: what is nested deeper is not looked at,
# and brackets nested deeper are no code.
MAX_DEPTH = 1_000
# A comment of more parts than this belongs to no definition: each step to the one above takes as
# long as there are parts.
MAX_COMMENTS = 300
MAX_NAME = 80

_WORD_BEYOND_ASCII = re.compile(r"(?![\x00-\x7f])\w")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_BRACKETS = re.compile(r"[(\[{}\])]")


class Definition(NamedTuple):
    """A function, a class or the like, from its decorators and the comments above it to its end.

    `word` is what announces it ("def", "class", "func"); `name` begins with the names of the
    definitions around it, and `depth` is how many those are.
    """

    word: str
    name: str
    own_name: str
    start: int
    end: int
    depth: int


class Use(NamedTuple):
    """A name that is called, on something else if `member`; or what an import says."""

    text: str
    start: int
    end: int
    member: bool = False


@dataclass(frozen=True)
class CodeFile:
    """A Document with what its syntax tree says, all in the order of the text."""

    document: Document
    language: str
    definitions: tuple[Definition, ...]
    calls: tuple[Use, ...]
    imports: tuple[Use, ...]


def definitions(document: Document) -> tuple[Definition, ...]:
    """The definitions of a file of code in order; none where its language is not parsed.

    Code with mistakes in it gives the definitions that can be told in spite of them.
    """
    language = language_of(document.name)
    tree = _tree(document.text, language)
    return () if language is None or tree is None else _definitions(document.text, language, tree)


def code_file(document: Document) -> CodeFile | None:
    """The Document with its definitions, calls and imports; None if its language is not parsed."""
    language = language_of(document.name)
    tree = _tree(document.text, language)
    if language is None or tree is None:
        return None
    found = _cursor(language, language.uses).captures(tree.root_node)
    by_place = attrgetter("start")
    names = [
        *_uses(document.text, found.get("call", ()), member=False),
        *_uses(document.text, found.get("member", ()), member=True),
    ]
    imports = _uses(document.text, found.get("import", ()), member=False)
    return CodeFile(
        document,
        language.name,
        _definitions(document.text, language, tree),
        tuple(sorted(names, key=by_place)),
        tuple(sorted(imports, key=by_place)),
    )


def syntax_tree(document: Document) -> Tree | None:
    """The syntax tree of a Document, its offsets those of the text; None if it is not parsed."""
    return _tree(document.text, language_of(document.name))


def _uses(text: str, nodes: Iterable[Node], *, member: bool) -> Iterator[Use]:
    for node in nodes:
        start, end = node.start_byte, node.end_byte
        yield Use(text[start:end], start, end, member)


def _tree(text: str, language: Language | None) -> Tree | None:
    """The syntax tree; None for text in no known language, or in another than its name says."""
    if language is None or len(text) > MAX_CHARACTERS:
        return None
    nesting = accumulate(1 if bracket in "([{" else -1 for bracket in _BRACKETS.findall(text))
    if max(nesting, default=0) > MAX_DEPTH:
        return None
    from tree_sitter import Parser

    if not text.isascii():
        # One byte for each character, so that the parser's offsets are those of the text.
        text = _BEYOND_ASCII.sub(" ", _WORD_BEYOND_ASCII.sub("x", text))
    data, num_broken = text.encode("ascii"), 0

    def gives_up(offset: int, is_broken: bool) -> bool:
        nonlocal num_broken
        num_broken += is_broken
        return num_broken > MAX_BROKEN_STEPS

    with suppress(ValueError):
        return Parser(_grammar(language.grammar)).parse(
            lambda offset, _: data[offset : offset + (1 << 16)], progress_callback=gives_up
        )
    return None


@cache
def _grammar(path: str) -> Grammar:
    from tree_sitter import Language as Grammar

    module, _, function = path.partition(".")
    return Grammar(getattr(import_module(module), function)())


@cache
def _query(grammar: str, text: str) -> Query:
    from tree_sitter import Query

    return Query(_grammar(grammar), text)


def _cursor(language: Language, query: str) -> QueryCursor:
    from tree_sitter import QueryCursor

    cursor = QueryCursor(_query(language.grammar, query))
    cursor.set_max_start_depth(MAX_DEPTH)
    return cursor


def _definitions(text: str, language: Language, tree: Tree) -> tuple[Definition, ...]:
    found: list[tuple[int, int, str, str]] = []
    for _, captures in _cursor(language, language.definitions).matches(tree.root_node):
        parts = {key: nodes[0] for key, nodes in captures.items()}
        name = _name(text, parts.pop("name"))
        if owner := parts.pop("owner", None):
            name = f"{_name(text, owner)}{language.joint}{name}"
        ((word, node),) = parts.items()
        found.append((_start(text, node), -node.end_byte, word, name))
    found.sort()
    return tuple(_nested(found, language.joint))


def _nested(found: Iterable[tuple[int, int, str, str]], joint: str) -> Iterator[Definition]:
    """The definitions with the names of those around them; what is found twice is given once."""
    around: list[Definition] = []
    for start, minus_end, word, name in found:
        while around and around[-1].end <= start:
            around.pop()
        outer = around[-1] if around else None
        if outer is not None:
            if outer.start == start or (outer.word, outer.own_name) == (word, name):
                continue
            full = f"{outer.name}{joint}{name}"
        else:
            full = name
        own = re.split(r"::|[.\\]", name)[-1]
        definition = Definition(word, full[-MAX_NAME:], own, start, -minus_end, len(around))
        around.append(definition)
        yield definition


def _name(text: str, node: Node) -> str:
    """The name as it is written, without type parameters and the star of a pointer."""
    written = text[node.start_byte : node.end_byte].lstrip("*& ")
    if not written.startswith("operator"):
        written = re.split(r"[<\[]", written, maxsplit=1)[0]
    return " ".join(written.split()).strip("\"'")[:MAX_NAME]


def _start(text: str, node: Node) -> int:
    """Where a definition begins with all that belongs to it, its indentation too."""
    while (parent := node.parent) is not None and parent.type in WRAPPERS:
        if parent.type.endswith("_declaration") and parent.named_child(0) != node:
            if parent.type != "template_declaration":
                break
        node = parent
    for _ in range(MAX_COMMENTS):
        above = node.prev_sibling
        if above is None or above.type not in COMMENTS:
            break
        blank = text[_line_start(text, above.start_byte) : above.start_byte].strip()
        if blank or above.end_point.row < node.start_point.row - 1:
            break
        node = above
    start = _line_start(text, node.start_byte)
    return start if not text[start : node.start_byte].strip() else node.start_byte


def _line_start(text: str, offset: int) -> int:
    return text.rfind("\n", 0, offset) + 1
