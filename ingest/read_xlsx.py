"""XLSX files (ISO 29500 SpreadsheetML): every sheet row by row, with the addresses of its cells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from longctx.ingest.cell_formats import CellFormats
from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.draft import Block, Draft
from longctx.ingest.ooxml_package import Package
from longctx.ingest.xml_tree import XmlRefused
from longctx.ingest.zipped import ZipRefused

_ADDRESS = re.compile(r"([A-Z]{1,3})([1-9]\d{0,6})")


def read_xlsx(source: Source, data: bytes) -> Document | Skipped:
    """The Document in a workbook: a Page for each sheet; hidden ones are read and said to be so."""
    draft, notes = Draft(), list[str]()
    try:
        _read(Package(data), draft, notes)
    except (ZipRefused, XmlRefused) as trouble:
        return Skipped(source.name, str(trouble))
    if not draft.pages:
        return Skipped(source.name, "damaged: no sheets in it")
    return draft.document(source, data, notes, kind="data")


def _read(package: Package, draft: Draft, notes: list[str]) -> None:
    main = package.main
    workbook = package.tree(main)
    if workbook is None:
        return
    relations = package.relations(main)
    parts = {relation.kind: relation.target for relation in relations.values()}
    formats = CellFormats(workbook, package.tree(parts.get("styles", "")))
    strings = _strings(package.tree(parts.get("sharedStrings", "")))
    for item in workbook.iter("s:sheet"):
        name, hidden = item.get("name", ""), item.get("state", "visible") != "visible"
        draft.write(Block(f'Sheet "{name}"{" (hidden)" if hidden else ""}', "", name, 1))
        if hidden:
            notes.append(f"hidden sheet: {name}")
        relation = relations.get(item.get("r:id", ""))
        sheet = None if relation is None else package.tree(relation.target)
        if relation is not None and sheet is not None:
            for row in _rows(sheet, strings, formats):
                draft.write(Block(row, "row"))
            for comment in _comments(package, relation.target):
                draft.write(Block(comment, "comment"))
            # A column is hidden by its width group, a row by itself.
            for kind, tag in (("rows", "s:row"), ("columns", "s:col")):
                if any(each.get("hidden") in ("1", "true") for each in sheet.iter(tag)):
                    notes.append(f"sheet {name} has hidden {kind}, which are read")
        draft.end_page("sheet")


def _strings(root: Element | None) -> list[str]:
    return [] if root is None else [_text(item) for item in root.findall("s:si")]


def _text(item: Element) -> str:
    """Plain or in runs; how Japanese is pronounced is no part of it."""
    pieces = [child for child in item if child.tag in ("s:t", "s:r")]
    return "".join(t.text or "" for piece in pieces for t in piece.iter("s:t"))


def _rows(sheet: Element, strings: list[str], formats: CellFormats) -> Iterator[str]:
    """`A2: Widget | 12 | E2: total`: an address where cells begin, or go on after a gap."""
    merged = {
        first: item.get("ref", "")
        for item in sheet.iter("s:mergeCell")
        if (first := item.get("ref", "").partition(":")[0])
    }
    number = 0
    for row in sheet.iter("s:row"):
        number = int(row.get("r", "")) if row.get("r", "").isdigit() else number + 1
        pieces, column, last = [], 0, -1
        for cell in row.iter("s:c"):
            address = _ADDRESS.fullmatch(cell.get("r", ""))
            column = _column_number(address[1]) if address else column + 1
            value = " ".join(_value(cell, strings, formats).split())
            if not value:
                continue
            name = f"{_column_name(column)}{number}"
            if name in merged:
                pieces.append(f"{merged[name]}: {value}")
            else:
                pieces.append(value if column == last + 1 else f"{name}: {value}")
            last = column
        if pieces:
            yield " | ".join(pieces)


def _value(cell: Element, strings: list[str], formats: CellFormats) -> str:
    """What a cell shows; the formula itself where its last computed value is not kept."""
    kind, value, formula = cell.get("t", "n"), cell.find("s:v"), cell.find("s:f")
    text = "" if value is None else value.text or ""
    if kind == "inlineStr":
        inline = cell.find("s:is")
        return "" if inline is None else _text(inline)
    if not text and formula is not None and formula.text:
        return f"={formula.text}"
    if kind == "s":
        return strings[int(text)] if text.isdigit() and int(text) < len(strings) else ""
    if kind == "b":
        return "FALSE" if text == "0" else "TRUE"
    return formats.shown(text, cell.get("s", "0")) if kind == "n" else text


def _comments(package: Package, sheet: str) -> Iterator[str]:
    for name in package.related(sheet, "comments"):
        root = package.tree(name)
        if root is None:
            continue
        authors = [author.text or "" for author in root.iter("s:author")]
        for comment in root.iter("s:comment"):
            place, text = comment.get("authorId", ""), comment.find("s:text")
            by = authors[int(place)] if place.isdigit() and int(place) < len(authors) else ""
            said = "" if text is None else " ".join(_text(text).split())
            if said:
                yield f"[Comment on {comment.get('ref', '')}{f' by {by}' if by else ''}: {said}]"


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def _column_name(number: int) -> str:
    name = ""
    while number:
        number, place = divmod(number - 1, 26)
        name = chr(65 + place) + name
    return name
