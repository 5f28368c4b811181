"""Proofread: what a model would have written otherwise in the bodies of functions, as Findings.

Nothing is asked and nothing is told: how likely each token is decides. A correction is shown if
what follows is likelier with it, and if all its words are words of the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterable

from longctx.ingest.code_bodies import body_code
from longctx.ingest.code_languages import language_of
from longctx.ingest.document import Document
from longctx.prompts.finding import Finding, code_lines
from longctx.prompts.question import Citation, Correction, Proofreading

# A correction is looked for where the model finds something else so much likelier, in nats, and at
# what decides a condition even where it is nearly as likely.
SURPRISE = 4.0
IN_CONDITION = 1.0
# What follows must be this much likelier, in nats, for a correction to be shown.
AFTER = 3.0
# What would stand there must be so much likelier itself, unless all that it does is to decide a
# condition or to keep a result, or what follows is surely likelier.
LIKELIER = 3.0
SURELY = 6.0
# From here on its severity is medium.
CLEARLY = 4.0
# More than this many times as likely is not told apart.
MANY = 1_000_000
_WORD = re.compile(r"\w+")
_ASSIGNMENT = re.compile(r"\s*[\w.]+ :?=")
_LOGIC = frozenset("if elif while not is in and or ! == != < > <= >= && || === !== unless".split())
_DECIDING = _LOGIC | {"True", "False", "true", "false", "None"}


def proofreading(document: Document, lines: Container[int], count: str = "") -> Proofreading | None:
    """What is asked of the lines of a Document; None where no function of its own has one."""
    places: list[tuple[int, int, float]] = []
    line, at, last = 1, 0, ""
    for start, end in () if document.is_copied_in else body_code(document):
        line += document.text.count("\n", at, start)
        at, said = start, document.text[start:end]
        if line in lines:
            decides = said in _LOGIC or last in _LOGIC
            places.append((start, end, IN_CONDITION if decides else SURPRISE))
        last = said
    label = f"proofreading {document.name}{count}"
    return Proofreading(document.text, tuple(places), label) if places else None


def unlikely_findings(
    document: Document, corrections: Iterable[Correction], *, least: float = AFTER
) -> list[Finding]:
    """The Findings of Corrections with which what follows is likelier, surest first, one a line."""
    words = frozenset(_WORD.findall(document.text))
    language = language_of(document.name)
    comment = "#" if language is not None and language.name == "python" else "//|/[*]"
    found: dict[int, tuple[float, Finding]] = {}
    for one in corrections:
        start, end, old, new = _whole_words(document.text, one)
        if one.after < least or old == new or re.search(f"\n|{comment}", f"{old} {new}"):
            continue
        # a name that the file does not have is the model's invention
        if not _is_wanted(one, old, new) or not words.issuperset(_WORD.findall(new)):
            continue
        finding = _finding(document, start, end, new, one.after)
        line = finding.span.first_line
        if line not in found or found[line][0] < one.after:
            found[line] = one.after, finding
    return [finding for _, finding in sorted(found.values(), key=lambda pair: -pair[0])]


def _is_wanted(one: Correction, old: str, new: str) -> bool:
    """Whether what stands there is unlikely itself, or need not be."""
    decides = _DECIDING.issuperset(f"{old} {new}".split())
    keeps_result = not old and _ASSIGNMENT.fullmatch(new) is not None
    return one.here >= LIKELIER or decides or keeps_result or one.after >= SURELY


def _whole_words(text: str, one: Correction) -> tuple[int, int, str, str]:
    """The place and both wordings, grown until neither begins or ends within a word."""
    start, end, new = one.start, one.end, one.text
    sides = text[start:end], new
    while start > 0 and _is_word(text[start - 1]) and any(_is_word(side[:1]) for side in sides):
        start -= 1
        new = text[start] + new
        sides = text[start:end], new
    while end < len(text) and _is_word(text[end]) and any(_is_word(side[-1:]) for side in sides):
        new += text[end]
        end += 1
        sides = text[start:end], new
    return start, end, text[start:end], new


def _is_word(character: str) -> bool:
    return _WORD.fullmatch(character) is not None


def _finding(document: Document, start: int, end: int, new: str, after: float) -> Finding:
    first = document.text.rfind("\n", 0, start) + 1
    last = document.text.find("\n", end)
    last = len(document.text) if last < 0 else last
    line = f"{document.text[first:start]}{new}{document.text[end:last]}".strip()
    old, written = _without_shared_signs(document.text[start:end].strip(), new.strip())
    if not old:
        heading = f"`{written}` seems to be missing"
    elif not written:
        heading = f"`{old}` seems to be too much"
    else:
        heading = f"`{old}` where `{written}` is expected"
    first += len(document.text[first:last]) - len(document.text[first:last].lstrip())
    span = document.span(first, last)
    return Finding(
        heading=heading,
        body=f"To the model what follows is {_times(after)} times as likely with that.",
        label="medium" if after >= CLEARLY else "low",
        citations=(Citation(document.text[first:last], "verified", span),),
        kind="unlikely",
        category="bug",
        suggestion=f"`{line}`, if that is meant.",
        source="model",
        code=code_lines(document, span),
    )


def _times(after: float) -> str:
    return f"{math.exp(after):,.0f}" if after < math.log(MANY) else f"more than {MANY:,}"


def _without_shared_signs(old: str, new: str) -> tuple[str, str]:
    """Both without the brackets and the like that both begin or end with."""
    while old and new and old[0] == new[0] and not _is_word(old[0]):
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1] and not _is_word(old[-1]):
        old, new = old[:-1], new[:-1]
    return old.strip(), new.strip()
