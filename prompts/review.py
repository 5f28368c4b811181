"""The job of review: facts by code first, then what the model has to say, if it is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from longctx.ingest.code_structure import definitions
from longctx.ingest.document import Document
from longctx.ingest.suspicion import suspicions
from longctx.ingest.suspicion_rules import SEVERITIES
from longctx.prompts.diff import changed_files
from longctx.prompts.finding import (
    FOCUS,
    Finding,
    Remark,
    computed_finding,
    is_listed,
    is_silenced,
    with_fingerprints,
)
from longctx.prompts.join import NO_DOCUMENTS
from longctx.prompts.pack import Pack
from longctx.prompts.proofread import proofreading, unlikely_findings
from longctx.prompts.question import Correction, Job, Piece, Question, Result, Task
from longctx.prompts.reply import unmarked
from longctx.prompts.review_change import Change, touching
from longctx.prompts.review_opinion import opinions, units
from longctx.prompts.template import fill
from longctx.prompts.together import together

REMARK_TOKENS = 60
# More of a function than this is not put to the model with a finding.
AROUND_CHARACTERS = 3_000
_NO_WORDS = frozenset[str]()
_ALL_LINES = range(1, 1 << 40)


def review(
    packs: Sequence[Pack],
    *,
    changes: Collection[Change] = (),
    opinion: bool = False,
    proofread: bool = False,
    explain: bool = False,
    focus: Collection[str] = _NO_WORDS,
    known: Collection[str] = _NO_WORDS,
    ignored: Collection[str] = _NO_WORDS,
    max_tokens: int = 512,
) -> Job:
    """The Findings of all Documents, worst first, those of code before those of the model.

    Code computes what it can of all Documents at once, and all of that is shown before the model is
    asked anything. With `explain` the model then says in a sentence what each means, with
    `proofread` it reads every function for what it would have written otherwise, with `opinion` it
    is asked for defects of its own, stretch by stretch. Of a diff what is computed comes from its
    `changes`. `focus` takes words of FOCUS, `known` the fingerprints of what is not shown again,
    `ignored` the lines of an ignore file.
    """
    packed = list({one.name: one for pack in packs for one in pack.documents}.values())
    files = [one for one in packed if not changed_files(one)]
    documents = {one.name: one for one in [*files, *(one.file for one in changes)]}
    sifter = _Sifter(focus, known, ignored, documents)
    computed = suspicions(documents.values())
    lines: dict[str, Collection[int]] = {one.name: _ALL_LINES for one in files}
    for change in changes:
        lines[change.file.name] = change.added
    found = [
        computed_finding(documents[one.span.name], one) for one in touching(computed.found, lines)
    ]
    pieces: list[Piece] = []
    for finding in sifter.sifted(found):
        pieces.append(finding)
        yield finding
    counts = sifter.counts
    counts["computed_findings"] = _num_shown(pieces)
    if explain:
        shown = [one for one in pieces if isinstance(one, Finding) and not one.suppressed]
        remarks = [[_remark(documents[one.span.name], one, max_tokens)] for one in shown]

        def remarked(_: int, told: list[Remark]) -> list[Remark]:
            worded = [one for one in told if one.body]
            pieces.extend(worded)
            return worded

        yield from together(remarks, remarked)
    if proofread:
        counts["files_proofread"] = counts["unlikely_findings"] = 0
        for number, document in enumerate(documents.values(), 1):
            count = f" ({number} of {len(documents)})" if len(documents) > 1 else ""
            asked_of = proofreading(document, lines[document.name], count)
            if asked_of is None:
                continue
            told = yield asked_of
            assert isinstance(told, Sequence)
            corrections = [one for one in told if isinstance(one, Correction)]
            kept = sifter.sifted(unlikely_findings(document, corrections))
            counts["files_proofread"] += 1
            counts["unlikely_findings"] += _num_shown(kept)
            pieces.extend(kept)
            yield from kept
    if opinion:
        counts["stretches_asked"] = 0
        said: list[Finding] = []

        def sifted(_: int, told: list[list[Finding]]) -> list[Finding]:
            kept = sifter.sifted([finding for one in told for finding in one])
            said.extend(kept)
            return kept

        for pack in packs:
            stretches = [unit for part in pack.parts for unit in units(part)]
            counts["stretches_asked"] += len(stretches)
            asked = [[opinions(pack, unit, max_tokens, counts)] for unit in stretches]
            yield from together(asked, sifted)
        counts["model_findings"] = _num_shown(said)
        pieces += sorted(said, key=lambda one: SEVERITIES.index(one.label))
    totals = {"files": len(packed), "files_computed": len(computed.looked_at), **counts}
    return Result("review", pieces=tuple(pieces), counts=totals)


def _num_shown(pieces: Sequence[Piece]) -> int:
    return sum(isinstance(one, Finding) and not one.suppressed for one in pieces)


class _Sifter:
    """Keeps what is asked for and not known, and marks what is suppressed; counts the rest."""

    def __init__(
        self,
        focus: Collection[str],
        known: Collection[str],
        ignored: Collection[str],
        documents: dict[str, Document],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._categories = frozenset[str]().union(*(FOCUS[word] for word in focus))
        self._known = known
        self._ignored = ignored
        self._documents = documents

    def sifted(self, findings: Sequence[Finding]) -> list[Finding]:
        """The Findings that are shown, with their fingerprints."""
        kept = []
        for one in with_fingerprints(findings):
            if self._categories and one.category not in self._categories:
                self.counts["out_of_focus"] += 1
            elif one.fingerprint in self._known:
                self.counts["known_before"] += 1
            elif is_silenced(one, self._documents.get(one.span.name)):
                self.counts["suppressed"] += 1
                kept.append(replace(one, suppressed="comment"))
            elif is_listed(one, self._ignored):
                self.counts["suppressed"] += 1
                kept.append(replace(one, suppressed="file"))
            else:
                kept.append(one)
        return kept


def _remark(document: Document, finding: Finding, max_tokens: int) -> Task[Remark]:
    """What the model says of the Finding in one sentence, with the function around it in sight."""
    asked = fill(
        "review_explain",
        place=str(finding.span),
        code=_around(document, finding),
        quote=" ".join(finding.quote.split()),
        fact=finding.body,
    )
    label = f"explaining {finding.span}"
    said = yield Question(NO_DOCUMENTS, asked, min(max_tokens, REMARK_TOKENS), label=label)
    assert said is not None
    told = " ".join(unmarked(said.text).split()) if said.finished else ""
    return Remark(
        f"The model on {finding.span} ({finding.kind})", told, fingerprint=finding.fingerprint
    )


def _around(document: Document, finding: Finding) -> str:
    """The innermost definition around the place, or the lines near it where that is too long."""
    start, end = finding.span.start, finding.span.end
    around = [one for one in definitions(document) if one.start <= start and end <= one.end]
    if around and around[-1].end - around[-1].start <= AROUND_CHARACTERS:
        return document.text[around[-1].start : around[-1].end].strip("\n")
    middle, half = (start + end) // 2, AROUND_CHARACTERS // 2
    first = document.text.rfind("\n", 0, max(0, middle - half)) + 1
    last = document.text.find("\n", min(len(document.text), middle + half))
    return document.text[first : last if last >= 0 else None].strip("\n")
