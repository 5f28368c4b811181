"""PPTX files (ISO 29500 PresentationML): the slides in order, with their notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.draft import Block, Draft
from longctx.ingest.number_formats import numeral
from longctx.ingest.ooxml_package import Package
from longctx.ingest.symbol_fonts import readable
from longctx.ingest.xml_tree import XmlRefused, inside
from longctx.ingest.zipped import ZipRefused

_TITLES = frozenset({"title", "ctrTitle"})
# What is printed at the edge of every slide alike.
_EDGES = frozenset({"sldNum", "dt", "ftr", "hdr", "sldImg"})
_NUMBERS = {
    "alphaLc": "lowerLetter",
    "alphaUc": "upperLetter",
    "romanLc": "lowerRoman",
    "romanUc": "upperRoman",
}


def read_pptx(source: Source, data: bytes) -> Document | Skipped:
    """The Document in a presentation: a Page for each slide, its title a heading."""
    draft, notes = Draft(), list[str]()
    try:
        _read(Package(data), draft, notes)
    except (ZipRefused, XmlRefused) as trouble:
        return Skipped(source.name, str(trouble))
    except RecursionError:
        return Skipped(source.name, "refused: groups nested without end")
    if not draft.text:
        return Skipped(source.name, "; ".join(("no text in it", *notes)))
    return draft.document(source, data, notes)


def _read(package: Package, draft: Draft, notes: list[str]) -> None:
    main = package.main
    presentation = package.tree(main)
    if presentation is None:
        raise ZipRefused("damaged: no slides in it")
    relations = package.relations(main)
    empty = 0
    for number, item in enumerate(presentation.iter("p:sldId"), 1):
        relation = relations.get(item.get("r:id", ""))
        slide = None if relation is None else package.tree(relation.target)
        blocks: list[Block] = []
        if relation is not None and slide is not None:
            blocks += _slide(slide)
            blocks += _diagrams(package, relation.target, slide)
            for name in package.related(relation.target, "notesSlide"):
                blocks += _speaker_notes(package.tree(name))
            if slide.get("show") in ("0", "false"):
                notes.append(f"slide {number} is hidden")
        empty += not blocks
        for block in blocks:
            draft.write(block)
        draft.end_page("slide")
    if empty:
        notes.append(f"slides without text: {empty:,}")


def _slide(slide: Element) -> list[Block]:
    """The blocks of a slide, the title first, the rest in the order of the file."""
    titles: list[Block] = []
    others: list[Block] = []
    tree = inside(slide, "p:cSld", "p:spTree")
    for shape in () if tree is None else _shapes(tree):
        if shape.tag == "a:tbl":
            others += _table(shape)
            continue
        placeholder = inside(shape, "p:nvSpPr", "p:nvPr", "p:ph")
        kind = "" if placeholder is None else placeholder.get("type", "")
        body = shape.find("p:txBody")
        lines = [] if kind in _EDGES or body is None else _paragraphs(body)
        if kind in _TITLES and lines and not titles:
            title = " ".join(" ".join(lines).split())
            titles.append(Block(title, "", title, 1))
        elif lines:
            others.append(Block("\n".join(lines)))
    return titles + others


def _shapes(tree: Element) -> Iterator[Element]:
    """The shapes and tables in it, those in groups too, each alternative once."""
    for child in tree:
        if child.tag == "p:sp" or child.tag == "a:tbl":
            yield child
        elif child.tag == "mc:AlternateContent":
            found = [list(_shapes(form)) for form in child]
            yield from next(filter(None, found), [])
        elif len(child):
            yield from _shapes(child)


def _paragraphs(body: Element) -> list[str]:
    """The lines of a text body; numbered ones with their numbers, deeper ones further in."""
    lines: list[str] = []
    counters: Counter[int] = Counter()
    for paragraph in body.findall("a:p"):
        text = _text(paragraph).strip()
        properties = paragraph.find("a:pPr")
        place = "0" if properties is None else properties.get("lvl", "0")
        level = int(place) if place in set("012345678") else 0
        numbered = None if properties is None else properties.find("a:buAutoNum")
        for deeper in [
            each for each in counters if each > level or (each == level and numbered is None)
        ]:
            del counters[deeper]
        if not text:
            continue
        label = ""
        if numbered is not None:
            start = numbered.get("startAt", "1")
            counters[level] += 1
            first = int(start) if start.isdigit() else 1
            label = _label(first + counters[level] - 1, numbered.get("type", "arabicPeriod"))
        lines += [f"{'  ' * level}{label}{line}" for line in text.split("\n")]
    return lines


def _label(number: int, kind: str) -> str:
    """`1. `, `(a) `, `IV) `: the sort of number, then what stands around it."""
    sort = next((name for name in _NUMBERS if kind.startswith(name)), "")
    digits = numeral(number, _NUMBERS.get(sort, "decimal"))
    if kind.endswith("ParenBoth"):
        return f"({digits}) "
    return f"{digits}) " if kind.endswith("ParenR") else f"{digits}. "


def _text(paragraph: Element) -> str:
    pieces = []
    for child in paragraph:
        if child.tag == "a:br":
            pieces.append("\n")
        elif child.tag in ("a:r", "a:fld"):
            pieces += [item.text or "" for item in child.findall("a:t")]
        elif child.tag in ("mc:AlternateContent", "m:oMath", "m:oMathPara", "m"):
            pieces += [item.text or "" for item in child.iter("m:t")]
    return readable("".join(pieces))


def _table(table: Element) -> Iterator[Block]:
    for row in table.findall("a:tr"):
        cells = []
        for cell in row.findall("a:tc"):
            body = cell.find("a:txBody")
            lines = [] if body is None else _paragraphs(body)
            cells.append(" ".join(" ".join(lines).split()))
        if any(cells):
            yield Block(f"| {' | '.join(cells)} |", "row")


def _diagrams(package: Package, name: str, slide: Element) -> Iterator[Block]:
    """The texts of SmartArt, which stand in a part of their own."""
    relations = package.relations(name)
    for reference in slide.iter("dgm:relIds"):
        relation = relations.get(reference.get("r:dm", ""))
        root = None if relation is None else package.tree(relation.target)
        points = () if root is None else root.iter("dgm:t")
        lines = [line for point in points for line in _paragraphs(point)]
        if lines:
            yield Block("\n".join(lines))


def _speaker_notes(root: Element | None) -> Iterator[Block]:
    blocks = [] if root is None else _slide(root)
    if blocks:
        yield Block("[Notes: " + "\n".join(block.text for block in blocks) + "]")
