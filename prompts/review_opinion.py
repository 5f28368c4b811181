"""What the model holds for a defect: each stretch is asked, each claim proved by its line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from longctx.ingest.document import Document, Span
from longctx.ingest.suspicion_rules import CATEGORIES, SEVERITIES
from longctx.prompts.chance import chance_of_yes
from longctx.prompts.citation import locate
from longctx.prompts.defect import Defect, defects
from longctx.prompts.diff import ChangedFile, changed_files, place_in_new_file
from longctx.prompts.finding import Finding, code_lines
from longctx.prompts.grouping import grouped, shown_segments
from longctx.prompts.pack import Pack, Part
from longctx.prompts.question import Citation, Question, Task
from longctx.prompts.template import fill

# About 250 lines: more than that, and a small model lists only what it saw first.
UNIT_CHARACTERS = 10_000
MAX_DEFECTS = 3
LIST_TOKENS = 320
# Below this chance of "Yes" a unit is not asked for its defects.
GATE = 0.1
# Below this chance of "Yes" to its own line a finding is held back.
CONFIRM = 0.5
_HOLDS = (
    "Read the code around that line. Is the claim true, and is it a real defect? Answer Yes or No."
)


@dataclass(frozen=True, slots=True)
class Unit:
    """What one question is about: a file, a stretch of a file, or a file of a diff."""

    document: Document
    start: int
    end: int
    changed: ChangedFile | None = None

    @property
    def subject(self) -> str:
        """The words that point the model at it."""
        if self.changed is not None:
            return f"the change to {self.changed.name} (added lines begin with +)"
        span = self.document.span(self.start, self.end)
        if self.start == 0 and self.end >= len(self.document.text):
            return f"the file {span.name}"
        lines = f"lines {span.first_line} to {span.last_line}"
        return f"{lines} of the file {span.name}, from `{self.opening}` on"

    @property
    def label(self) -> str:
        """What a user reads while it is asked."""
        return f"reviewing {self.changed.name if self.changed else self.document.name}"

    @property
    def opening(self) -> str:
        """Its first line that says something."""
        lines = self.document.text[self.start : self.end].splitlines()
        return next((line.strip() for line in lines if line.strip()), "")[:120]


@dataclass(frozen=True, slots=True)
class Claim:
    """A Defect whose line stands in its Unit, and the chance of "Yes" when asked again with it."""

    defect: Defect
    citation: Citation
    chance: float


def opinions(pack: Pack, unit: Unit, max_tokens: int, counts: Counter[str]) -> Task[list[Finding]]:
    """The Findings of the model in one Unit that it stands by when asked again, worst first."""
    if (yield from chance_of_defects(pack, unit)) < GATE:
        counts["passed_as_clean"] += 1
        return []
    found: list[tuple[float, Finding]] = []
    for claim in (yield from claims(pack, unit, max_tokens, counts)):
        if claim.chance < CONFIRM:
            counts["held_back_as_unsure"] += 1
            continue
        defect = claim.defect
        severity = defect.severity or (
            yield from _kind(pack, unit, defect, "How bad is that?", SEVERITIES)
        )
        category = defect.category or (
            yield from _kind(pack, unit, defect, "What kind of defect is it?", CATEGORIES)
        )
        defect = replace(defect, severity=severity, category=category)
        found.append((claim.chance, _finding(unit, defect, claim.citation)))
    found.sort(key=lambda pair: (SEVERITIES.index(pair[1].label), -pair[0]))
    return [finding for _, finding in found]


def chance_of_defects(pack: Pack, unit: Unit) -> Task[float]:
    """The chance of "Yes" to the question whether the Unit holds a defect at all."""
    return chance_of_yes(pack, fill("review_gate", subject=unit.subject), unit.label)


def claims(pack: Pack, unit: Unit, max_tokens: int, counts: Counter[str]) -> Task[list[Claim]]:
    """What the model lists of a Unit, each line but once and where it stands there."""
    asked = fill("review_list", subject=unit.subject, limit=str(MAX_DEFECTS))
    said = yield Question(pack, asked, min(max_tokens, LIST_TOKENS), label=unit.label)
    assert said is not None
    found: list[Claim] = []
    places: set[int] = set()
    for defect in defects(said.text)[:MAX_DEFECTS]:
        citation = _place(pack, unit, defect)
        if citation.span is None:
            counts["dropped_quote_not_found"] += 1
            continue
        place = citation.span.start
        if place in places:
            counts["dropped_as_repeated"] += 1
            continue
        places.add(place)
        defect = replace(defect, quote=citation.quote)
        chance = yield from chance_of_yes(pack, _claim(unit, defect, _HOLDS), unit.label)
        found.append(Claim(defect, citation, chance))
    return found


def units(part: Part) -> list[Unit]:
    """The stretches of a Document that are asked one by one."""
    document = part.document
    if changed := changed_files(document):
        return [
            Unit(document, item.start, item.end, item)
            for item in changed
            if any(start < item.end and item.start < end for start, end in part.ranges)
        ]
    if part.whole and len(document.text) <= UNIT_CHARACTERS:
        return [Unit(document, 0, len(document.text))]
    groups = grouped(shown_segments(part), UNIT_CHARACTERS)
    return [Unit(document, group.start, group.end) for group in groups if group.text.strip()]


def _place(pack: Pack, unit: Unit, defect: Defect) -> Citation:
    """Where the quoted line stands in the Unit; without a Span if it does not."""
    span = _whole_line(unit, defect.quote)
    citation = Citation(defect.quote, "verified", span)
    if span is None:
        citation = locate(defect.quote, pack, prefer=unit.document.name)
        span = citation.span
    if span is None or span.name != unit.document.name or not unit.start <= span.start < unit.end:
        return Citation(defect.quote, "unverified")
    if unit.changed is not None:
        span = place_in_new_file(unit.document, unit.changed, span)
    return Citation(citation.quote, citation.state, span)


def _whole_line(unit: Unit, quote: str) -> Span | None:
    """The first line of the Unit that is the quote, white space and a diff's sign aside."""
    wanted, start = quote.split(), unit.start
    for line in unit.document.text[unit.start : unit.end].splitlines(keepends=True):
        body = line[1:] if unit.changed is not None and line[0] in "+- " else line
        if body.split() == wanted:
            indent = line.index(body) + len(body) - len(body.lstrip())
            return unit.document.span(start + indent, start + len(line.rstrip()))
        start += len(line)
    return None


def _claim(unit: Unit, defect: Defect, question: str) -> str:
    """A question about a claim: all questions about it begin alike and are read but once."""
    # told in prose, the title is but the beginning of the explanation
    told = defect.why.startswith(defect.title.removesuffix(" ..."))
    why = defect.why if told else f"{defect.title}. {defect.why}".strip()
    return fill(
        "review_claim", subject=unit.subject, quote=defect.quote, why=why, question=question
    )


def _kind(
    pack: Pack, unit: Unit, defect: Defect, question: str, words: tuple[str, ...]
) -> Task[str]:
    """The likeliest of the words."""
    asked = _claim(unit, defect, f"{question} Answer with one word: {', '.join(words)}.")
    said = yield Question(pack, asked, choices=words, label=unit.label)
    assert said is not None
    return max(words, key=lambda word: said.probabilities[word])


def _finding(unit: Unit, defect: Defect, citation: Citation) -> Finding:
    """The Finding as it is shown; the chance of "Yes" says nothing yet, so it shows none."""
    span, in_file = citation.span, unit.changed is None
    return Finding(
        heading=defect.title,
        body="" if defect.why.rstrip(".") == defect.title else defect.why,
        label=defect.severity,
        citations=(citation,),
        kind="opinion",
        category=defect.category,
        suggestion=defect.fix,
        source="model",
        code=code_lines(unit.document, span) if in_file and span is not None else "",
    )
