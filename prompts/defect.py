"""What a model writes of defects, read with tolerance.

Small models explain a defect well in prose with the code between backticks, and badly in a form;
larger ones keep the form `severity | category | title | code | why | fix`. Both are read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from longctx.ingest.suspicion_rules import CATEGORIES
from longctx.prompts.reply import unmarked

_SEVERITY = {
    "critical": "high",
    "severe": "high",
    "high": "high",
    "major": "high",
    "medium": "medium",
    "moderate": "medium",
    "low": "low",
    "minor": "low",
    "info": "low",
}
_NUMBERED = re.compile(r"^\d{1,7}\s*[|:]\s?")


_CODE = re.compile(r"```[\w+-]*\n(?P<block>.*?)```|`(?P<span>[^`\n]+)`", re.DOTALL)
_ITEM = re.compile(r"\n\s*\n(?!\s*```)|\n(?=\s*(?:[-*•]|\(?\d{1,3}[.)])\s)")
# Words that only announce the code: "The faulty line of code is `…`."
_ANNOUNCED = re.compile(
    r"[^.!?\n]*\b(?:line|code)\b[^.!?\n`]*(?:(?:\bis|:)\s*`[^`\n]+`[^.!?\n]{0,3}[.:]?|:\s*$)",
    re.IGNORECASE,
)
# Words that only announce a defect: "The file `a.py` contains a bug in the class `B`."
_OPENING = re.compile(
    r"(?:The|This)\b.{0,60}\b(?:contains|has) an?\b.{0,30}"
    r"\b(?:bug|defect|error|flaw|issue|problem|vulnerability|security hole)\b.*",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")
_TITLE_CHARACTERS = 90
# Words before a list: "The bugs in this file are as follows:"
_PREAMBLE = re.compile(r"\b(?:as follows|the following)\b[^.!?]{0,40}:?$|:$", re.IGNORECASE)
# Shorter code is a name, not a line.
_MIN_CODE = 6


@dataclass(frozen=True, slots=True)
class Defect:
    """What the model claims of one line of code; "" stands for what it did not say."""

    severity: str
    category: str
    title: str
    quote: str
    why: str = ""
    fix: str = ""


def defects(text: str) -> list[Defect]:
    """The Defects in the model's lines or, where none has the form, in its prose."""
    found = [_defect(line) for line in text.splitlines()] if "|" in text else []
    if not any(found):
        found = [_told(item) for item in _ITEM.split(text)]
    return list(dict.fromkeys(defect for defect in found if defect is not None))


def _told(item: str) -> Defect | None:
    """The Defect in one paragraph or list item: its longest piece of code, and what is said."""
    quoted = [match["block"] or match["span"] for match in _CODE.finditer(item)]
    lines = [_code(line) for code in quoted for line in code.splitlines()]
    quote = max(lines, key=len, default="")
    if len(quote) < _MIN_CODE:
        return None
    told = _CODE.sub(lambda match: "" if match["block"] else match[0], item)
    why = " ".join(unmarked(_ANNOUNCED.sub("", told)).split())
    first, *rest = _SENTENCE_END.split(why, maxsplit=1)
    if rest and _OPENING.fullmatch(first):
        why, first = rest[0], _SENTENCE_END.split(rest[0], maxsplit=1)[0]
    title = first.rstrip(".:")
    if not title or (not rest and _PREAMBLE.search(first)):
        return None
    if len(title) > _TITLE_CHARACTERS:
        title = f"{title[:_TITLE_CHARACTERS].rsplit(' ', 1)[0]} ..."
    return Defect("", "", title, quote, why)


def _defect(line: str) -> Defect | None:
    """The Defect in one line; code that holds `|` itself takes the fields in the middle."""
    fields = [field.strip() for field in unmarked(line).strip("|").split("|")]
    if len(fields) < 4:
        return None
    severity = _SEVERITY.get(fields[0].strip("*`[] ").lower())
    if severity is None:
        return None
    category = fields[1].strip("*`[] ").lower()
    quote = _code("|".join(fields[3:-2]) if len(fields) > 6 else fields[3])
    why, fix = (fields[-2], fields[-1]) if len(fields) > 5 else ("|".join(fields[4:]), "")
    if not quote or not fields[2]:
        return None
    return Defect(
        severity=severity,
        category=category if category in CATEGORIES else "bug",
        title=unmarked(fields[2]).rstrip("."),
        quote=quote,
        why=why,
        fix=fix,
    )


def _code(text: str) -> str:
    """The quoted code without backticks and without the line number the Pack shows."""
    return _NUMBERED.sub("", text.strip().strip("`").strip()).strip()
