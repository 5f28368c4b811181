"""Numbers in prose with their places: dates, amounts of money, durations, shares, plain numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
)
_UNIT = r"(?:(?:calendar|business|working)\s+)?(?:days?|weeks?|months?|years?|hours?)\b"
_FIGURE = re.compile(
    rf"(?P<date>\b\d{{1,2}}(?:st|nd|rd|th)?(?:\s+day)?(?:\s+of)?\s+{_MONTH},?\s+\d{{4}}\b"
    rf"|\b{_MONTH}\s+\d{{1,2}},?\s+\d{{4}}\b"
    r"|\b\d{4}-\d{2}-\d{2}\b)"
    r"|(?P<money>[$€£¥]|\b(?:USD|EUR|GBP|CHF)\s)?(?<![\w.])\d+(?:[.,]\d+)*"
    rf"(?:\s?(?:(?P<percent>%|percent\b)|(?P<duration>{_UNIT})))?"
)
# A clause's own number and a reference to another clause change with every insertion.
_CLAUSE = re.compile(
    r"^\s*(?:\(?\d{1,3}(?:\.\d+)*[.)]|§+\s*\d+|\d{1,3}(?:\.\d{1,2})+(?=\s+[\"“(]?(?-i:[A-Z])))\s"
    r"|(?:\b(?:sections?|clauses?|articles?|paragraphs?|subsections?)|§+)\s*"
    r"\d+(?:\.\d+)*(?:\s*(?:,|and|or|through|to|-|–)\s*\d+(?:\.\d+)*)*",
    re.IGNORECASE | re.MULTILINE,
)


class Figure(NamedTuple):
    """A number as it is written: a "date", "money", "percent", "duration" or "number"."""

    kind: str
    text: str
    start: int
    end: int


def figures(text: str) -> Iterator[Figure]:
    """The Figures of a text in order; the numbers of clauses are not among them."""
    # Blanks keep every place as it was.
    text = _CLAUSE.sub(lambda match: " " * len(match[0]), text)
    for match in _FIGURE.finditer(text):
        kind = next((name for name, found in match.groupdict().items() if found), "number")
        yield Figure(kind, match[0], match.start(), match.end())
