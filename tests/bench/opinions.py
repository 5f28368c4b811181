"""How many planted bugs a model finds by itself, file by file, and how often it cries wolf.

Run: python -P tests/bench/opinions.py CORPORA OUT.jsonl --model NAME [--packages NAMES]

What `longctx review --deep` asks is asked of each file that gets a bug of bench/planted_bugs.py, by
itself: of the clean twin stretch by stretch, of the file with its bugs the stretches that hold one.
Whatever the model lists is kept with its chance when asked again, also what `review` would hold
back for it. A bug counts as found by a claim within ten lines of it, whatever that says; every
claim in a clean twin counts as false, the true ones too. Every stretch is a line of OUT.jsonl as
soon as it is asked, and is not asked again; at the end the scores of all lines are printed.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).parent))
from arguments import parser_of  # noqa: E402
from planted import WITHIN, fetch, planted  # noqa: E402
from planted_bugs import BUGS, PACKAGES, Bug, Package  # noqa: E402
from questions import area, real, rows  # noqa: E402

from longctx.ingest.document import Document  # noqa: E402
from longctx.prompts.pack import Pack  # noqa: E402
from longctx.prompts.question import Answer, Question, Task  # noqa: E402
from longctx.prompts.review_opinion import (  # noqa: E402
    CONFIRM,
    GATE,
    LIST_TOKENS,
    Claim,
    Unit,
    chance_of_defects,
    claims,
    units,
)

T = TypeVar("T")
Row = dict[str, Any]
Say = Callable[[Question], Answer]


def heard(task: Task[T], say: Say) -> T:
    """What a task makes of the answers to its Questions."""
    answer = None
    while True:
        try:
            question = task.send(answer)
        except StopIteration as stop:
            made: T = stop.value
            return made
        assert isinstance(question, Question)
        answer = say(question)


def copies(cache: Path, package: Package) -> Iterator[tuple[str, Document, list[tuple[Bug, int]]]]:
    """The files of a package that get bugs: each clean, and with its bugs and their lines."""
    clean = fetch(cache, package)
    bugs = [bug for bug in BUGS if bug.package == package.name]
    changed, places = planted(clean, bugs)
    held: dict[str, list[tuple[Bug, int]]] = {}
    for bug, (path, line) in zip(bugs, places, strict=True):
        held.setdefault(path, []).append((bug, line))
    for path, inside in held.items():
        yield "clean", Document(path, clean[path], "code", f"{path} clean"), []
        yield "planted", Document(path, changed[path], "code", f"{path} planted"), inside


def asked(prompt: Pack, unit: Unit, bugs: Sequence[tuple[Bug, int]], say: Say) -> Row:
    """The row of one stretch: the chance that it holds a defect, and what is listed of it."""
    gate = heard(chance_of_defects(prompt, unit), say)
    told: list[Claim] = []
    if gate >= GATE:
        told = heard(claims(prompt, unit, LIST_TOKENS, Counter()), say)
    return {"gate": gate, "claims": [_claim(one, bugs) for one in told]}


def _claim(claim: Claim, bugs: Sequence[tuple[Bug, int]]) -> Row:
    assert claim.citation.span is not None
    line = claim.citation.span.first_line
    near = [f"{at} {bug.kind}" for bug, at in bugs if abs(at - line) <= WITHIN]
    why = f"{claim.defect.title}. {claim.defect.why}"
    said = {"line": line, "quote": claim.defect.quote, "why": why, "chance": claim.chance}
    return {**said, "near": near}


def run(cache: Path, out: Path, model: str, packages: Sequence[Package]) -> None:
    """Ask what OUT does not hold yet; a row is written when it is known."""
    done = {(row["model"], row["copy"], row["path"], row["from"]) for row in rows(out)}
    for package in packages:
        for copy, document, bugs in copies(cache, package):
            with real(model, [document]) as (prompt, say), out.open("a", encoding="utf-8") as lines:
                (part,) = prompt.parts
                for unit in units(part):
                    span = document.span(unit.start, unit.end)
                    first, last = span.first_line, span.last_line
                    inside = [(bug, line) for bug, line in bugs if first <= line <= last]
                    if (model, copy, document.name, first) in done or (bugs and not inside):
                        continue
                    row = {
                        "model": model,
                        "half": package.half,
                        "copy": copy,
                        "path": document.name,
                        "from": first,
                        "lines": last - first + 1,
                        "bugs": [f"{line} {bug.kind}" for bug, line in inside],
                        **asked(prompt, unit, bugs, say),
                    }
                    lines.write(json.dumps(row, ensure_ascii=False) + "\n")
                    lines.flush()


def score(found: Sequence[Row]) -> Row:
    """What is found and cried wolf at, all that is listed and that which `review` shows.

    The areas are those under the ROC, 0.5 for chance: of the chance of a stretch with a bug against
    clean ones, and of a claim's chance near a bug against those in clean twins.
    """
    with_bugs = [row for row in found if row["copy"] == "planted"]
    clean = [row for row in found if row["copy"] == "clean"]
    near = [one for row in with_bugs for one in row["claims"] if one["near"]]
    false = [one for row in clean for one in row["claims"]]
    num_lines = sum(row["lines"] for row in clean)
    hits, alarms = _chances(near), _chances(false)
    scores: Row = {
        "bugs": sum(len(row["bugs"]) for row in with_bugs),
        "lines": num_lines,
        "stretches_past_the_gate": {
            "planted": f"{sum(row['gate'] >= GATE for row in with_bugs)} of {len(with_bugs)}",
            "clean": f"{sum(row['gate'] >= GATE for row in clean)} of {len(clean)}",
        },
        "area_of_the_gate": area([r["gate"] for r in with_bugs], [r["gate"] for r in clean]),
        "area_of_confidence": area(hits, alarms),
        "near_a_bug_by_chance": [
            {
                "from": least / 5,
                "near": sum(int(5 * min(one, 0.999)) == least for one in hits),
                "false": sum(int(5 * min(one, 0.999)) == least for one in alarms),
            }
            for least in range(5)
        ],
    }
    for name, least in (("listed", 0.0), ("shown", CONFIRM)):
        hit = {
            (row["path"], bug)
            for row in with_bugs
            for one in row["claims"]
            if one["chance"] >= least
            for bug in one["near"]
        }
        num_false = sum(one >= least for one in alarms)
        scores[name] = {
            "found": len(hit),
            "false_alarms": num_false,
            "false_alarms_per_1000_lines": round(1000 * num_false / num_lines, 2),
        }
    return scores


def _chances(told: Sequence[Row]) -> list[float]:
    return [one["chance"] for one in told]


def main() -> None:
    """Ask, and print the scores."""
    parser = parser_of(__doc__)
    parser.add_argument("--packages", help="names with commas between; those held out if not given")
    options = parser.parse_args()
    names = (options.packages or "").split(",")
    wanted = [one for one in PACKAGES if one.name in names]
    if not options.packages:
        wanted = [one for one in PACKAGES if one.half == "held out"]
    run(options.corpora / "wheels", options.out, options.model, wanted)
    folders = {one.folder for one in wanted}
    found = [row for row in rows(options.out) if row["model"] == options.model]
    found = [row for row in found if row["path"].split("/")[0] in folders]
    print(json.dumps(score(found), indent=1))


if __name__ == "__main__":
    main()
