"""Numbers, dates and amounts that stand in one of two texts only: computed, not asked."""

from __future__ import annotations

import re
from collections import Counter

_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
)
_FACT = re.compile(
    rf"\b\d{{1,2}}\s+{_MONTH}\s+\d{{4}}\b"
    rf"|\b{_MONTH}\s+\d{{1,2}},?\s+\d{{4}}\b"
    r"|\b\d{4}-\d{2}-\d{2}\b"
    r"|(?:[$€£¥]|\b(?:USD|EUR|GBP|CHF)\s)?(?<![\w.])\d+(?:[.,]\d+)*"
    r"(?:\s?(?:%|percent\b|(?:calendar\s+|business\s+)?(?:days?|weeks?|months?|years?|hours?)\b))?"
)
# A clause's own number and a reference to another clause change with every insertion.
_CLAUSE = re.compile(
    r"^\s*(?:\(?\d{1,3}(?:\.\d+)*[.)]|§+\s*\d+)\s"
    r"|(?:\b(?:sections?|clauses?|articles?|paragraphs?|subsections?)|§+)\s*"
    r"\d+(?:\.\d+)*(?:\s*(?:,|and|or|through|to|-|–)\s*\d+(?:\.\d+)*)*",
    re.IGNORECASE | re.MULTILINE,
)


def facts(text: str) -> Counter[str]:
    """The numbers, dates, durations and amounts in a text, white space made even.

    The numbers of clauses are not among them.
    """
    found = _FACT.finditer(_CLAUSE.sub(" ", text))
    return Counter(" ".join(match[0].split()) for match in found)


def changed_facts(left: str, right: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The facts that stand in the left text only, and those that stand in the right one only."""
    in_left, in_right = facts(left), facts(right)
    return tuple((in_left - in_right).keys()), tuple((in_right - in_left).keys())
