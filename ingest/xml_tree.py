"""XML as a tree with short names (`w:p`), DTDs and entities refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn
from xml.etree.ElementTree import Element, ParseError, fromstring
from xml.parsers import expat

# A tree takes about 120 bytes a tag; a thousand printed pages have a tenth of this.
MAX_TAGS = 4_000_000
_PREFIXES = {
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main": "w",
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main": "s",
    "http://schemas.openxmlformats.org/presentationml/2006/main": "p",
    "http://schemas.openxmlformats.org/drawingml/2006/main": "a",
    "http://schemas.openxmlformats.org/drawingml/2006/diagram": "dgm",
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships": "r",
    "http://schemas.openxmlformats.org/officeDocument/2006/math": "m",
    "http://purl.oclc.org/ooxml/wordprocessingml/main": "w",
    "http://purl.oclc.org/ooxml/spreadsheetml/main": "s",
    "http://purl.oclc.org/ooxml/presentationml/main": "p",
    "http://purl.oclc.org/ooxml/drawingml/main": "a",
    "http://purl.oclc.org/ooxml/drawingml/diagram": "dgm",
    "http://purl.oclc.org/ooxml/officeDocument/relationships": "r",
    "http://purl.oclc.org/ooxml/officeDocument/math": "m",
    "http://schemas.openxmlformats.org/markup-compatibility/2006": "mc",
    "http://schemas.openxmlformats.org/package/2006/relationships": "rel",
    "http://www.w3.org/XML/1998/namespace": "xml",
    "urn:oasis:names:tc:opendocument:xmlns:office:1.0": "office",
    "urn:oasis:names:tc:opendocument:xmlns:text:1.0": "text",
    "urn:oasis:names:tc:opendocument:xmlns:table:1.0": "table",
    "urn:oasis:names:tc:opendocument:xmlns:style:1.0": "style",
    "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0": "draw",
    "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0": "manifest",
    "http://purl.org/dc/elements/1.1/": "dc",
}


class XmlRefused(Exception):
    """XML that is not well formed or declares a document type; the reason is for the user."""


class _RootReached(Exception):
    """The first element begins: no document type can come any more."""


class _ShortNames(dict[str, str]):
    """`{namespace}name` to `prefix:name`; names of other namespaces go by themselves."""

    def __missing__(self, name: str) -> str:
        namespace, _, local = name.removeprefix("{").rpartition("}")
        prefix = _PREFIXES.get(namespace, "")
        short = self[name] = f"{prefix}:{local}" if prefix else local
        return short


def parse_xml(data: bytes) -> Element:
    """The root of the tree; every name in it is `prefix:name`, or bare in other namespaces.

    Raises:
        XmlRefused: the data is not well formed, is too much, or has a DTD, as no document needs.
    """
    if data.count(b"<") > MAX_TAGS:
        raise XmlRefused(f"more than the {MAX_TAGS:,} tags of XML that are read")
    _refuse_document_type(data)
    try:
        root = fromstring(data)
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        raise XmlRefused(f"damaged: XML that is not well formed ({error})") from error
    names = _ShortNames()
    for element in root.iter():
        element.tag = names[element.tag]
        if element.attrib:
            element.attrib = {names[key]: value for key, value in element.attrib.items()}
    return root


def inside(element: Element | None, *names: str) -> Element | None:
    """The first child of the first name, its first child of the second, and so on, or None."""
    for name in names:
        element = None if element is None else element.find(name)
    return element


def _refuse_document_type(data: bytes) -> None:
    """Reads as far as the root: only before it can a DTD stand, and only in one an entity."""
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _raiser(
        XmlRefused("refused: XML that declares a document type, as only attacks do")
    )
    parser.StartElementHandler = _raiser(_RootReached())
    try:
        parser.Parse(data, True)
    except _RootReached:
        return
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise XmlRefused(f"damaged: XML that is not well formed ({error})") from error


def _raiser(error: Exception) -> Callable[..., None]:
    def raise_it(*_: object) -> NoReturn:
        raise error

    return raise_it
