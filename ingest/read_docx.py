"""DOCX files (ISO 29500 WordprocessingML): the text as a word processor prints it."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.docx_blocks import Blocks
from longctx.ingest.docx_numbering import Numbering
from longctx.ingest.docx_story import Footing, Story
from longctx.ingest.docx_styles import Styles, number_in, switched_on
from longctx.ingest.draft import Block, Draft
from longctx.ingest.ooxml_package import Package
from longctx.ingest.read_settings import Changes, ReadSettings
from longctx.ingest.xml_tree import XmlRefused
from longctx.ingest.zipped import ZipRefused

_DONE = {
    Changes.accept: "accepted",
    Changes.reject: "rejected",
    Changes.show: "shown as {+ +} [- -]",
}
MAX_AUTHORS = 5


def read_docx(source: Source, data: bytes, settings: ReadSettings) -> Document | Skipped:
    """The Document in a DOCX: numbers, notes and tables in the text, headings and clauses known."""
    try:
        draft, notes = _read(data, settings.changes)
    except (ZipRefused, XmlRefused) as trouble:
        return Skipped(source.name, str(trouble))
    except RecursionError:
        return Skipped(source.name, "refused: tables or controls nested without end")
    if not draft.text:
        return Skipped(source.name, "; ".join(("no text in it", *notes)))
    return draft.document(source, data, notes)


def _read(data: bytes, changes: Changes) -> tuple[Draft, tuple[str, ...]]:
    package = Package(data)
    main = package.main
    root = package.tree(main)
    body = None if root is None else root.find("w:body")
    if root is None or body is None:
        raise ZipRefused("damaged: no text part in it")
    parts = {
        relation.kind: package.tree(relation.target)
        for relation in package.relations(main).values()
        if relation.kind in ("styles", "numbering", "settings", "footnotes", "endnotes", "comments")
    }
    styles, setup = Styles(parts.get("styles")), parts.get("settings")
    footings = {"footnote": _footing(setup, "footnote"), "endnote": _footing(setup, "endnote")}
    story = Story(styles, changes, footings)
    notes = {kind: _by_id(parts.get(f"{kind}s"), kind) for kind in (*footings, "comment")}
    blocks = Blocks(story, Numbering(parts.get("numbering"), styles), notes)
    draft = Draft()
    headers = _margins(package, main, body, setup, "header")
    for text in dict.fromkeys(filter(None, map(blocks.plain, headers))):
        draft.write(Block(f"[Header: {text}]"))
    for block in blocks.body(body):
        draft.write(block)
    for block in blocks.endnotes:
        draft.write(block)
    footers = _margins(package, main, body, setup, "footer")
    for text in dict.fromkeys(filter(None, map(blocks.plain, footers))):
        draft.write(Block(f"[Footer: {text}]"))
    return draft, tuple(_notes(root, story, blocks))


def _footing(setup: Element | None, kind: str) -> Footing:
    """How footnotes or endnotes are numbered: 1, 2, 3 and i, ii, iii if nothing is said."""
    own = None if setup is None else setup.find(f"w:{kind}Pr")
    style = None if own is None else own.find("w:numFmt")
    restart = None if own is None else own.find("w:numRestart")
    usual = "lowerRoman" if kind == "endnote" else "decimal"
    start = number_in(own, "w:numStart")
    return Footing(
        usual if style is None else style.get("w:val", usual),
        1 if start is None else start,
        restart is not None and restart.get("w:val") == "eachSect",
    )


def _by_id(root: Element | None, kind: str) -> dict[str, Element]:
    found = () if root is None else root.findall(f"w:{kind}")
    return {item.get("w:id", ""): item for item in found}


def _margins(
    package: Package, main: str, body: Element, setup: Element | None, kind: str
) -> Iterator[Element]:
    """The headers or footers that are printed somewhere, in order."""
    relations = package.relations(main)
    both_sides = switched_on(setup, "w:evenAndOddHeaders")
    for section in body.iter("w:sectPr"):
        shown = {"default": True, "first": switched_on(section, "w:titlePg"), "even": both_sides}
        for reference in section.findall(f"w:{kind}Reference"):
            relation = relations.get(reference.get("r:id", ""))
            if relation is not None and shown.get(reference.get("w:type", "default")):
                root = package.tree(relation.target)
                if root is not None:
                    yield root


def _notes(root: Element, story: Story, blocks: Blocks) -> Iterator[str]:
    """What is to be said about the text: changes, and what is not in it."""
    if story.num_added or story.num_removed:
        authors = [author for author, _ in story.authors.most_common(MAX_AUTHORS)]
        by = f", by {', '.join(authors)}" if authors else ""
        yield (
            f"tracked changes {_DONE[story.changes]}: {story.num_added:,} added,"
            f" {story.num_removed:,} removed{by}"
        )
    if story.num_hidden:
        yield f"hidden text left out: {story.num_hidden:,} characters"
    if blocks.num_embedded:
        yield f"embedded documents left out: {blocks.num_embedded:,}"
    if num_pictures := sum(1 for _ in root.iter("a:blip")):
        yield f"pictures left out: {num_pictures:,}"
