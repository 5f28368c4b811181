"""How many wrong edits of one line `review --deep` finds by what is unlikely, and false alarms.

Run: python -P tests/bench/proofread.py CORPORA OUT.jsonl --model NAME [--half HALF] [--set SET]

Two sets of files are proofread: those that get a bug of bench/planted_bugs.py, from packages that a
model may have seen in its training, and files of releases of 2026, which it cannot have seen, with
the Mutants of bench/mutants.py. A bug counts as found by a finding on its line (a planted one near
it, three lines off at most); every other finding counts as a false alarm, the true ones too. All
Corrections are kept, also those that `review` does not show. Every file is a line of OUT.jsonl, and
is read once.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
from arguments import parser_of  # noqa: E402
from mutants import changed, mutants  # noqa: E402
from planted import by_code, fetch, planted  # noqa: E402
from planted_bugs import BUGS, PACKAGES, Package  # noqa: E402
from questions import area, rows  # noqa: E402
from sessions import opened  # noqa: E402

from longctx.ingest.document import Document  # noqa: E402
from longctx.prompts.proofread import proofreading, unlikely_findings  # noqa: E402
from longctx.prompts.question import Correction  # noqa: E402
from longctx.runtime.proofreading import MOST_READ, SLACK  # noqa: E402

Row = dict[str, Any]
SETS = ("planted", "unseen")
ALL_LINES = range(1, 1 << 40)
UNSEEN = {
    Package("openai_agents", "0.24.0", "agents", "tuned on"): (
        "agent_tool_state.py",
        "apply_diff.py",
        "sandbox/session/dependencies.py",
        "sandbox/session/sinks.py",
        "sandbox/session/snapshot_lifecycle.py",
    ),
    Package("a2a_sdk", "1.3.0", "a2a", "held out"): (
        "client/transports/jsonrpc.py",
        "client/transports/tenant_decorator.py",
        "compat/v0_3/grpc_handler.py",
        "compat/v0_3/grpc_transport.py",
        "server/routes/rest_dispatcher.py",
        "utils/proto_utils.py",
    ),
    Package("smolagents", "1.26.0", "smolagents", "held out"): (
        "agent_types.py",
        "tool_validation.py",
    ),
    Package("pydantic_ai_slim", "2.68.0", "pydantic_ai", "held out"): (
        "_cancel.py",
        "_fallback.py",
        "_model_errors.py",
        "capabilities/file_understanding.py",
    ),
}


class Planted(NamedTuple):
    """A file with bugs; each is its line, its kind and how far from it a finding may be."""

    set_name: str
    half: str
    path: str
    text: str
    bugs: list[tuple[int, str, int]]


def files(cache: Path, half: str, sets: Sequence[str] = SETS) -> Iterator[Planted]:
    """The files of one half of the sets."""
    for package in PACKAGES:
        if package.half == half and "planted" in sets:
            bugs = [bug for bug in BUGS if bug.package == package.name]
            texts, places = planted(fetch(cache, package), bugs)
            for path in sorted({bug.path for bug in bugs}):
                inside = [
                    (line, bug.kind, 3)
                    for bug, (where, line) in zip(bugs, places, strict=True)
                    if where == path
                ]
                yield Planted("planted", half, path, texts[path], inside)
    for package, names in UNSEEN.items():
        if package.half == half and "unseen" in sets:
            sound = fetch(cache, package)
            for name in names:
                path = f"{package.folder}/{name}"
                made = mutants(sound[path], path)
                inside = [(one.line, one.kind, 0) for one in made]
                yield Planted("unseen", half, path, changed(sound[path], made), inside)


def run(
    cache: Path, out: Path, model: str, halves: Sequence[str], sets: Sequence[str] = SETS
) -> None:
    """Proofread what OUT does not hold yet; a row is written when it is known."""
    done = {(row["model"], row["path"]) for row in rows(out)}
    with opened(model, "proofreading") as session, out.open("a", encoding="utf-8") as lines:
        session.room = MOST_READ + SLACK
        for one in (file for half in halves for file in files(cache, half, sets)):
            if (model, one.path) in done:
                continue
            asked = proofreading(Document(one.path, one.text, "code", one.path), ALL_LINES)
            assert asked is not None
            began = time.monotonic()
            told = session.proofread(asked)
            row = {
                "model": model,
                "set": one.set_name,
                "half": one.half,
                "path": one.path,
                "lines": one.text.count("\n"),
                "seconds": round(time.monotonic() - began, 1),
                "bugs": one.bugs,
                "corrections": [
                    [each.start, each.end, each.text, round(each.here, 3), round(each.after, 3)]
                    for each in told
                ],
            }
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
            lines.flush()


def score(found: Sequence[Row], texts: dict[str, str]) -> Row:
    """What `review` shows of the rows, by kind, and the area under the ROC of `after`.

    That is how often what follows a bug gains more than what follows a false alarm, of all
    Corrections that make a finding at all. What code alone finds at the same places stands beside.
    """
    kinds: dict[str, list[int]] = {}
    num_by_code = num_by_either = 0
    num_false, hits, alarms = 0, list[float](), list[float]()
    for row in found:
        document = Document(row["path"], texts[row["path"]], "code", row["path"])
        told = [Correction(*one) for one in row["corrections"]]
        lines = {one.span.first_line for one in unlikely_findings(document, told)}
        computed = {line for _, line in by_code({document.name: document.text})}
        for line, kind, within in row["bugs"]:
            near = set(range(line - within, line + within + 1))
            tally = kinds.setdefault(kind, [0, 0])
            tally[0] += bool(near & lines)
            tally[1] += 1
            num_by_code += bool(near & computed)
            num_by_either += bool(near & (computed | lines))
        wrong = {
            at for line, _, within in row["bugs"] for at in range(line - within, line + within + 1)
        }
        num_false += len(lines - wrong)
        for one in told:
            if unlikely_findings(document, [one], least=-1e9):
                place = document.span(one.start, max(one.end, one.start + 1)).first_line
                (hits if place in wrong else alarms).append(one.after)
    num_lines = sum(row["lines"] for row in found)
    return {
        "bugs": sum(total for _, total in kinds.values()),
        "found": sum(hit for hit, _ in kinds.values()),
        "found_by_code": num_by_code,
        "found_by_either": num_by_either,
        "lines": num_lines,
        "false_alarms": num_false,
        "false_alarms_per_1000_lines": round(1000 * num_false / num_lines, 2),
        "area_of_what_follows": area(hits, alarms),
        "seconds_per_1000_lines": round(1000 * sum(row["seconds"] for row in found) / num_lines),
        "by_kind": {kind: f"{hit} of {total}" for kind, (hit, total) in sorted(kinds.items())},
    }


def main() -> None:
    """Proofread, and print the scores of each half of each set."""
    parser = parser_of(__doc__)
    parser.add_argument("--half", choices=("tuned on", "held out"))
    parser.add_argument("--set", choices=SETS)
    options = parser.parse_args()
    cache = options.corpora / "wheels"
    halves = [options.half] if options.half else ["tuned on", "held out"]
    sets = [options.set] if options.set else SETS
    run(cache, options.out, options.model, halves, sets)
    for half in halves:
        for name in sets:
            texts = {one.path: one.text for one in files(cache, half, [name])}
            kept = [
                row
                for row in rows(options.out)
                if (row["model"], row["half"], row["set"]) == (options.model, half, name)
            ]
            print(f"{name}, {half}: {json.dumps(score(kept, texts), indent=1)}")


if __name__ == "__main__":
    main()
