"""The styles of a DOCX as far as they bear on its text: numbering, outline level, hidden text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from longctx.ingest.xml_tree import inside

_HEADING = re.compile(r"heading ([1-9])")
# The level that says "no heading" (ISO 29500-1 17.3.1.20).
BODY_LEVEL = 9


@dataclass(frozen=True, slots=True)
class ParagraphStyle:
    """What a paragraph has from its style; None where the style says nothing."""

    num_id: str | None = None
    num_level: int | None = None
    outline: int | None = None
    hidden: bool = False


def switched_on(properties: Element | None, name: str) -> bool | None:
    """Whether an on-off property is set; None where it is not mentioned."""
    found = None if properties is None else properties.find(name)
    if found is None:
        return None
    return found.get("w:val", "true") not in ("0", "false", "off")


def number_in(properties: Element | None, *names: str) -> int | None:
    """The value of a property that is a number; None without one."""
    found = inside(properties, *names)
    value = "" if found is None else found.get("w:val", "")
    return int(value) if re.fullmatch(r"-?\d{1,9}", value) else None


class Styles:
    """The styles by their ids, each with what it inherits."""

    def __init__(self, root: Element | None) -> None:
        """Take the styles from `styles.xml`."""
        found = [] if root is None else list(root.iter("w:style"))
        self._styles = {style.get("w:styleId", ""): style for style in found}
        self._default = next(
            (
                style.get("w:styleId", "")
                for style in found
                if style.get("w:type") == "paragraph" and style.get("w:default") in ("1", "true")
            ),
            "",
        )
        self._known: dict[str, ParagraphStyle] = {}

    def paragraph(self, style_id: str | None) -> ParagraphStyle:
        """The style of this id, or the default one; an empty style where there is none."""
        style_id = style_id if style_id in self._styles else self._default
        if style_id not in self._known:
            self._known[style_id] = self._resolved(style_id)
        return self._known[style_id]

    def is_hidden(self, style_id: str) -> bool:
        """Whether a character style hides its text."""
        return self.paragraph(style_id).hidden if style_id in self._styles else False

    def numbering_of(self, style_id: str) -> str | None:
        """The id of the list that a numbering style stands for."""
        return self.paragraph(style_id).num_id if style_id in self._styles else None

    def _resolved(self, style_id: str) -> ParagraphStyle:
        num_id: str | None = None
        num_level: int | None = None
        outline: int | None = None
        hidden: bool | None = None
        for style in self._line(style_id):
            properties = style.find("w:pPr")
            own_num_id = inside(properties, "w:numPr", "w:numId")
            if num_id is None and own_num_id is not None:
                num_id = own_num_id.get("w:val")
            if num_level is None:
                num_level = number_in(properties, "w:numPr", "w:ilvl")
            if outline is None:
                outline = number_in(properties, "w:outlineLvl")
            if outline is None and (name := style.find("w:name")) is not None:
                named = _HEADING.fullmatch(name.get("w:val", "").lower())
                outline = int(named[1]) - 1 if named else None
            if hidden is None:
                hidden = switched_on(style.find("w:rPr"), "w:vanish")
        return ParagraphStyle(num_id, num_level, outline, bool(hidden))

    def _line(self, style_id: str) -> Iterator[Element]:
        """The style, then what it is based on, and so on."""
        seen: set[str] = set()
        while style_id in self._styles and style_id not in seen:
            seen.add(style_id)
            style = self._styles[style_id]
            yield style
            based = style.find("w:basedOn")
            style_id = "" if based is None else based.get("w:val", "")
