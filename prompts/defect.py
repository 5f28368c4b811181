"""One line of a review, `severity | category | title | code | why | fix`, read with tolerance."""

from __future__ import annotations

import re
from dataclasses import dataclass

from longctx.prompts.reply import unmarked

SEVERITIES = ("high", "medium", "low")
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
_CATEGORIES = ("bug", "security", "resource", "concurrency", "error-handling")
_NUMBERED = re.compile(r"^\d{1,7}\s*[|:]\s?")


@dataclass(frozen=True, slots=True)
class Defect:
    """What the model claims of one line of code."""

    severity: str
    category: str
    title: str
    quote: str
    why: str = ""
    fix: str = ""


def defects(text: str) -> list[Defect]:
    """The Defects in the model's lines; lines of any other form are left out."""
    found = (_defect(line) for line in text.splitlines())
    return list(dict.fromkeys(defect for defect in found if defect is not None))


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
        category=category if category in _CATEGORIES else "bug",
        title=unmarked(fields[2]).rstrip("."),
        quote=quote,
        why=why,
        fix=fix,
    )


def _code(text: str) -> str:
    """The quoted code without backticks and without the line number the Pack shows."""
    return _NUMBERED.sub("", text.strip().strip("`").strip()).strip()
