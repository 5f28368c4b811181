"""Reads what small models write: bullets, stray quotation marks and near misses included."""

from __future__ import annotations

import re

_BULLET = re.compile(r"^\s*(?:[-*•]\s+|\(?\d{1,3}[.)]\s+|>\s*)*")
_MARKS = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "«": "»", "„": "“"}
_ABSENT = re.compile(
    r"\bnot (?:(?:found|mentioned|stated|given|specified|provided) )?in the "
    r"(?:given |provided )?(?:text|documents?)\b"
    r"|\b(?:they|the (?:given |provided )?(?:text|documents?)) (?:do|does) not "
    r"(?:say|state|mention|answer|specify|provide|give|contain)\b",
    re.IGNORECASE,
)
_ANNOUNCED = re.compile(
    r"^(?:this|the) (?:passage|section|clause|text|document)(?: of [^.:;]{1,60}?)?"
    r" (?:states|says|means|explains|describes)(?: that|:)? ",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(r"[.;:,](?=\s)|[。；：，]")
_QUOTE_LINE = re.compile(r"^\W*quote\W*:\W*?(?=[\"'“‘`«]|\w)(.*)$", re.IGNORECASE | re.MULTILINE)


def unmarked(line: str) -> str:
    """The line without its bullet, its number and the quotation marks around it."""
    line = _BULLET.sub("", line, count=1).strip()
    while len(line) >= 2 and _MARKS.get(line[0]) == line[-1]:
        line = line[1:-1].strip()
    return line


def is_absent(text: str) -> bool:
    """Whether an answer says that the documents do not hold it, and little else."""
    return not text.strip() or (len(text) < 160 and _ABSENT.search(text) is not None)


def unannounced(text: str) -> str:
    """The text without "This passage of X states that" before it."""
    told = _ANNOUNCED.sub("", text.strip(), count=1)
    return told[:1].upper() + told[1:]


def whole_clauses(text: str) -> str:
    """The text of an answer that was stopped, to the end of its last whole clause."""
    ends = [match.start() for match in _CLAUSE_END.finditer(text)]
    return f"{text[: ends[-1]] if ends else text} ...".strip()


def quotes(text: str, *, limit: int) -> list[str]:
    """At most `limit` quotes, one per line of the text, without repeats."""
    found = (unmarked(line) for line in text.splitlines())
    return list(dict.fromkeys(quote for quote in found if len(quote) > 2))[:limit]


def split_quote(text: str) -> tuple[str, str]:
    """The text around a line `QUOTE: "…"`, mostly before it, and the quote ("" without one)."""
    match = _QUOTE_LINE.search(text)
    if match is None:
        return text.strip(), ""
    return text[: match.start()].strip() or text[match.end() :].strip(), unmarked(match[1])
