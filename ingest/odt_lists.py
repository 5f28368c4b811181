"""The numbers that a word processor prints before the paragraphs of an ODT."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from longctx.ingest.number_formats import numeral
from longctx.ingest.symbol_fonts import readable

_PLACE = re.compile(r"%(\d{1,2})%")
_FORMATS = {
    "1": "decimal",
    "01": "decimalZero",
    "i": "lowerRoman",
    "I": "upperRoman",
    "a": "lowerLetter",
    "A": "upperLetter",
    "一, 二, 三, ...": "chineseCounting",
}
_LEVELS = frozenset(
    ("text:list-level-style-number", "text:list-level-style-bullet", "text:outline-level-style")
)


@dataclass(frozen=True, slots=True)
class Level:
    """How one level of a list is numbered; `form` holds `%1%.%2%` for the numbers."""

    bullet: bool
    form: str
    style: str
    start: int


class ListStyles:
    """The list styles of a text by name; the name of the numbering of headings is ""."""

    def __init__(self, *roots: Element | None) -> None:
        """Take the styles from `styles.xml` and `content.xml`."""
        self._levels: dict[str, dict[int, Level]] = {}
        for root in roots:
            for tag in ("text:list-style", "text:outline-style"):
                for style in () if root is None else root.iter(tag):
                    name = style.get("style:name", "") if tag == "text:list-style" else ""
                    self._levels[name] = {
                        _number(item, "text:level", 1): _level(item)
                        for item in style
                        if item.tag in _LEVELS
                    }

    def label(self, name: str, level: int, counters: dict[int, int]) -> str:
        """What is printed before an item whose numbers, and those above it, are `counters`."""
        levels = self._levels.get(name, {})
        own = levels.get(level)
        if own is None or own.bullet:
            return own.form if own else ""

        def number(match: re.Match[str]) -> str:
            place = int(match[1])
            above = levels.get(place)
            if above is None or not above.style:
                return ""
            return numeral(counters.get(place, above.start), above.style)

        return _PLACE.sub(number, own.form) if own.style else ""

    def start(self, name: str, level: int) -> int:
        """The number of the first item."""
        own = self._levels.get(name, {}).get(level)
        return own.start if own else 1

    def is_bullet(self, name: str, level: int) -> bool:
        """Whether a level has signs for numbers."""
        own = self._levels.get(name, {}).get(level)
        return own is not None and own.bullet


def _level(item: Element) -> Level:
    number = _number(item, "text:level", 1)
    bullet = item.tag == "text:list-level-style-bullet"
    if bullet:
        sign = item.get("text:bullet-char", "•")
        return Level(True, "◦" if sign == "o" else readable(sign), "", 1)
    # Newer files have the whole form, under a name of LibreOffice's own at first.
    form = item.get("style:num-list-format") or item.get("num-list-format") or ""
    if not form:
        first = max(1, number - _number(item, "text:display-levels", 1) + 1)
        inner = ".".join(f"%{place}%" for place in range(first, number + 1))
        form = f"{item.get('style:num-prefix', '')}{inner}{item.get('style:num-suffix', '')}"
    style = _FORMATS.get(item.get("style:num-format", ""), "")
    return Level(False, form, style, _number(item, "text:start-value", 1))


def _number(item: Element, name: str, usual: int) -> int:
    value = item.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 6 else usual
