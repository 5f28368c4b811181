"""What an EPUB says of itself: its chapters in reading order, its contents, its locks."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from longctx.ingest.markup import attributes, tokens

# Media types of chapters; anything else in the reading order is a picture or the like.
_TEXTUAL = re.compile(r"html|dtbook|^text/|^$")
_PAGE_NAME = re.compile(r"\.(?:xhtml|html|htm)$", re.I)
# Fonts are scrambled with these; they lock no text.
_FONT_SCRAMBLING = re.compile(r"idpf\.org/2008/embedding|ns\.adobe\.com/pdf/enc#RC", re.I)
_LOCKS = (
    ("META-INF/license.lcpl", "Readium LCP"),
    ("META-INF/sinf.xml", "Apple FairPlay"),
    ("META-INF/rights.xml", "Adobe ADEPT"),
)

Load = Callable[[str], str | None]
"""The text of a file in the book by its name; None without it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the table of contents: its title and depth, and the file and place it leads to."""

    title: str
    level: int
    file: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Package:
    """The files with the chapters in reading order, and the table of contents."""

    chapters: tuple[str, ...]
    contents: tuple[Entry, ...]
    notes: tuple[str, ...] = ()


def read_package(names: list[str], load: Load) -> Package:
    """The Package of a book whose files have these names.

    What is malformed is tolerated: fragments in the manifest, undeclared prefixes, a spine with
    names for ids; where there is no package file the pages come in the order of the archive.
    """
    path = _package_path(names, load)
    markup = load(path) if path else None
    if path is None or markup is None:
        pages = tuple(name for name in names if _PAGE_NAME.search(name))
        return Package(pages, (), ("no package file: chapters in the order of the archive",))
    items: dict[str, dict[str, str]] = {}
    order: list[str] = []
    spine: dict[str, str] = {}
    for _, tag, rest in tokens(markup):
        if tag == "item":
            told = attributes(rest)
            items.setdefault(told.get("id", ""), told)
        elif tag == "itemref":
            order.append(attributes(rest).get("idref", ""))
        elif tag == "spine":
            spine = attributes(rest)
    known = {name.lower(): name for name in reversed(names)}

    def resolve(reference: str, base: str = path) -> tuple[str, str]:
        file, _, anchor = reference.partition("#")
        joined = posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(file)))
        file = joined if file else base
        return known.get(file.lower(), file), unquote(anchor)

    chapters = dict.fromkeys(
        resolve(items[item]["href"] if item in items else item)[0]
        for item in order
        if item not in items
        or "href" in items[item]
        and _TEXTUAL.search(items[item].get("media-type", ""))
    )
    contents: tuple[Entry, ...] = ()
    guides = [item for item in items.values() if "nav" in item.get("properties", "").split()]
    guides += [items[spine["toc"]]] if spine.get("toc") in items else []
    guides += [item for item in items.values() if "dtbncx" in item.get("media-type", "")]
    for item in guides:
        guide, _ = resolve(item.get("href", ""))
        markup = load(guide)
        if markup and not contents:
            found = _nav(markup) if "html" in item.get("media-type", "") else _ncx(markup)
            contents = tuple(
                Entry(title, level, *resolve(reference, guide)) for title, level, reference in found
            )
    return Package(tuple(chapters), contents)


def lock(names: list[str], load: Load, chapters: tuple[str, ...]) -> str | None:
    """The name of the system that locks the chapters of the book; None where they are free."""
    markup = load("META-INF/encryption.xml")
    if not markup:
        return None
    scrambles, locked = False, False
    for _, tag, rest in tokens(markup):
        if tag == "encryptionmethod":
            scrambles = bool(_FONT_SCRAMBLING.search(rest))
        elif tag == "cipherreference" and not scrambles:
            locked = locked or unquote(attributes(rest).get("uri", "")) in chapters
    if not locked:
        return None
    return next((system for name, system in _LOCKS if name in names), "an unknown system")


def _package_path(names: list[str], load: Load) -> str | None:
    container = load("META-INF/container.xml") or ""
    declared = [
        unquote(attributes(rest).get("full-path", ""))
        for _, tag, rest in tokens(container)
        if tag == "rootfile"
    ]
    found = [name for name in names if name.lower().endswith(".opf")]
    return next((path for path in declared if path in names), found[0] if found else None)


def _ncx(markup: str) -> list[tuple[str, int, str]]:
    """Title, depth and reference of every entry of an EPUB 2 table of contents."""
    found: list[tuple[str, int, str]] = []
    depth, inside, title = 0, False, ""
    for _, tag, rest in tokens(markup):
        if tag == "navpoint":
            depth, title = depth + 1, ""
        elif tag == "/navpoint":
            depth = max(0, depth - 1)
        elif tag in ("text", "/text"):
            inside = tag == "text"
        elif not tag and inside and depth:
            title += rest
        elif tag == "content" and depth:
            found.append((" ".join(title.split()), depth, attributes(rest).get("src", "")))
    return [entry for entry in found if entry[0]]


def _nav(markup: str) -> list[tuple[str, int, str]]:
    """Title, depth and reference of every entry of an EPUB 3 table of contents."""
    found: list[tuple[str, int, str]] = []
    inside, depth, title, reference = False, 0, "", None
    for _, tag, rest in tokens(markup):
        if tag == "nav":
            kind = attributes(rest).get("epub:type", "toc")
            inside, depth = "toc" in kind.split(), 0
        elif tag == "/nav":
            inside = False
        elif not inside:
            continue
        elif tag == "ol":
            depth += 1
        elif tag == "/ol":
            depth = max(0, depth - 1)
        elif tag == "a":
            title, reference = "", attributes(rest).get("href")
        elif tag == "/a" and reference is not None:
            found.append((" ".join(title.split()), max(1, depth), reference))
            reference = None
        elif not tag:
            title += rest
    return [entry for entry in found if entry[0]]
