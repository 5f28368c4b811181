"""The numbers that a word processor prints before the paragraphs of a DOCX."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from longctx.ingest.docx_styles import Styles, number_in, switched_on
from longctx.ingest.number_formats import numeral
from longctx.ingest.symbol_fonts import readable

NUM_LEVELS = 9
# What "legal" numbering leaves as it is.
_ARABIC = frozenset({"decimal", "decimalZero", "none"})
# In the font that Word takes for it, this letter is a ring.
_BULLETS = {"o": "◦"}
_PLACE = re.compile(r"%([1-9])")


@dataclass(frozen=True, slots=True)
class Label:
    """What is printed before a paragraph, and the list and level that it comes from.

    `composite` says that the levels of the list are numbered through, as in 1.2.3.
    """

    text: str
    list_id: str
    level: int
    bullet: bool
    composite: bool


@dataclass(frozen=True, slots=True)
class _Level:
    start: int
    style: str
    text: str
    restart: int | None
    legal: bool
    linked_style: str


@dataclass(frozen=True, slots=True)
class _List:
    """A list as paragraphs name it: whose counters it shares, its levels, where it starts anew."""

    counters_id: str
    levels: dict[int, _Level]
    starts: dict[int, int]


class Numbering:
    """Counts the paragraphs of every list, in the order in which they are asked for."""

    def __init__(self, root: Element | None, styles: Styles) -> None:
        """Take the lists from `numbering.xml`."""
        self._abstract: dict[str, Element] = {}
        self._nums: dict[str, Element] = {}
        for item in () if root is None else root:
            if item.tag == "w:abstractNum":
                self._abstract[item.get("w:abstractNumId", "")] = item
            elif item.tag == "w:num":
                self._nums[item.get("w:numId", "")] = item
        self._styles = styles
        self._lists: dict[str, _List | None] = {}
        self._counters: dict[str, dict[int, int]] = {}
        self._restarted: set[tuple[str, int]] = set()

    def level_of_style(self, num_id: str, style_id: str) -> int | None:
        """The level of the list that is linked to a paragraph style."""
        found = self._list(num_id)
        levels = found.levels if found else {}
        return next((n for n, level in levels.items() if level.linked_style == style_id), None)

    def label(self, num_id: str, level: int) -> Label | None:
        """Count one paragraph and return its label; None where the list or its level is none."""
        found = self._list(num_id)
        if found is None or level not in found.levels:
            return None
        counters = self._count(num_id, found, level)
        current = found.levels[level]

        def number(match: re.Match[str]) -> str:
            place = int(match[1]) - 1
            own = found.levels.get(place)
            if own is None or place > level:
                return ""
            arabic = current.legal and own.style not in _ARABIC
            return numeral(counters[place], "decimal" if arabic else own.style)

        bullet = current.style == "bullet"
        return Label(
            _BULLETS.get(current.text) or readable(current.text)
            if bullet
            else _PLACE.sub(number, current.text),
            found.counters_id,
            level,
            bullet,
            any(len(_PLACE.findall(each.text)) > 1 for each in found.levels.values()),
        )

    def _count(self, num_id: str, found: _List, level: int) -> dict[int, int]:
        counters = self._counters.setdefault(found.counters_id, {})
        # A level that was passed over counts as begun.
        for place in [place for place in found.levels if place < level]:
            counters.setdefault(place, found.levels[place].start)
        if level in found.starts and (num_id, level) not in self._restarted:
            self._restarted.add((num_id, level))
            counters[level] = found.starts[level]
        else:
            start = found.levels[level].start
            counters[level] = counters[level] + 1 if level in counters else start
        for place in [place for place in counters if place > level]:
            restart = found.levels[place].restart if place in found.levels else None
            if restart is None or 0 < restart and level < restart:
                del counters[place]
        return counters

    def _list(self, num_id: str) -> _List | None:
        if num_id not in self._lists:
            self._lists[num_id] = self._made(num_id, NUM_LEVELS)
        return self._lists[num_id]

    def _made(self, num_id: str, num_links: int) -> _List | None:
        num = self._nums.get(num_id)
        own_id = None if num is None else num.find("w:abstractNumId")
        if num is None or own_id is None:
            return None
        counters_id = own_id.get("w:val", "")
        abstract = self._abstract.get(counters_id)
        if abstract is None:
            return None
        # A list that only names a numbering style has its levels where that style has them.
        link = abstract.find("w:numStyleLink")
        style_num = self._styles.numbering_of(link.get("w:val", "")) if link is not None else None
        linked = self._made(style_num, num_links - 1) if style_num and num_links else None
        if linked is not None:
            counters_id, levels = linked.counters_id, dict(linked.levels)
        else:
            levels = dict(map(_level, abstract.findall("w:lvl")))
        starts = {}
        for override in num.findall("w:lvlOverride"):
            place = _place(override)
            own = override.find("w:lvl")
            if own is not None:
                levels[place] = _level(own)[1]
            start = number_in(override, "w:startOverride")
            if start is not None:
                starts[place] = start
        return _List(counters_id, levels, starts)


def _place(element: Element) -> int:
    value = element.get("w:ilvl", "0")
    return int(value) if value.isascii() and value.isdigit() else 0


def _level(element: Element) -> tuple[int, _Level]:
    text = element.find("w:lvlText")
    # Where newer formats come with a substitute, the substitute is last.
    styles = [item.get("w:val", "decimal") for item in element.iter("w:numFmt")]
    linked = element.find("w:pStyle")
    return _place(element), _Level(
        start=number_in(element, "w:start") or 0,
        style=styles[-1] if styles else "decimal",
        text="" if text is None else text.get("w:val", ""),
        restart=number_in(element, "w:lvlRestart"),
        legal=bool(switched_on(element, "w:isLgl")),
        linked_style="" if linked is None else linked.get("w:val", ""),
    )
