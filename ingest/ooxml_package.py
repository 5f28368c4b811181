"""An Office Open XML package: its parts as trees, and how they refer to each other."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from longctx.ingest.xml_tree import parse_xml
from longctx.ingest.zipped import ZipParts, ZipRefused

_MAIN_PARTS = {
    "word/document.xml": ".docx",
    "ppt/presentation.xml": ".pptx",
    "xl/workbook.xml": ".xlsx",
}


def office_suffix(data: bytes) -> str:
    """How the name of an office file with these bytes usually ends; "" for other files."""
    if data.startswith(b"{\\rtf"):
        return ".rtf"
    if not data.startswith(b"PK\x03\x04"):
        return ""
    try:
        parts = ZipParts(data)
        if "mimetype" in parts and b"opendocument.text" in parts.read("mimetype", 200):
            return ".odt"
    except ZipRefused:
        return ""
    return next((suffix for name, suffix in _MAIN_PARTS.items() if name in parts), "")


@dataclass(frozen=True, slots=True)
class Relation:
    """From one part to another: the last word of its type (`footnotes`), and the part's name."""

    kind: str
    target: str


class Package:
    """The parts of a .docx, .pptx or .xlsx."""

    def __init__(self, data: bytes) -> None:
        """Open the zip file.

        Raises:
            ZipRefused: it is none, or not one that may be read.
        """
        self.parts = ZipParts(data)

    @property
    def main(self) -> str:
        """The name of the part that everything hangs on; "" where there is none."""
        found = self.related("", "officeDocument")
        return next((name for name in (*found, *_MAIN_PARTS) if name in self.parts), "")

    def tree(self, name: str) -> Element | None:
        """The root of a part; None where it is not there.

        Raises:
            ZipRefused: the part cannot be unpacked.
            XmlRefused: it is no XML, or unsafe.
        """
        return parse_xml(self.parts.read(name)) if name and name in self.parts else None

    def relations(self, name: str) -> dict[str, Relation]:
        """What a part refers to inside the package, by the ids it uses."""
        folder, file = posixpath.split(name)
        root = self.tree(posixpath.join(folder, "_rels", f"{file}.rels"))
        if root is None:
            return {}
        return {
            item.get("Id", ""): Relation(
                item.get("Type", "").rpartition("/")[2],
                _full_name(folder, item.get("Target", "")),
            )
            for item in root.iter("rel:Relationship")
            if item.get("TargetMode") != "External"
        }

    def related(self, name: str, kind: str) -> list[str]:
        """The names of the parts of one kind that a part refers to."""
        return [
            relation.target for relation in self.relations(name).values() if relation.kind == kind
        ]


def _full_name(folder: str, target: str) -> str:
    """A part's name from how another one names it; no `..` leads out of the package."""
    return posixpath.normpath(posixpath.join("/", folder, unquote(target))).lstrip("/")
