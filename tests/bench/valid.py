"""How many documents of review are valid, whatever the model says: random seeds and temperatures.

Run: python -P tests/bench/valid.py CORPORA OUT.json --model NAME [--runs 200] [--seed 0]

Each run reviews a file to which two defects were added, with the model's explanations and what it
finds unlikely (`--deep`; of a large model its own opinion too), at a temperature up to 2, where a
small model writes nonsense, and writes JSON, SARIF and Markdown at once. JSON and SARIF are held
against their schemas, every quote against the file, and the exit code against what it means.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))
from corpora import fetch  # noqa: E402

# Files of requests 2.31.0, one a run, and what is added to them.
FILES = ("hooks.py", "structures.py", "status_codes.py", "packages.py", "certs.py")
DEFECTS = "\n\ndef load(text, seen=[]):\n    seen.append(text)\n    return eval(text)\n"


def problems(folder: Path, name: str, code: int, schema: Path) -> list[str]:
    """What is wrong with the documents of one run."""
    found = []
    if code not in (0, 1):
        found.append(f"exit code {code}")
    ours = json.loads((ROOT / "cli" / "review.schema.json").read_text())
    sarif = json.loads(schema.read_text())
    for path, form in (("a.json", ours), ("a.sarif", sarif)):
        try:
            document = json.loads((folder / path).read_text())
        except (OSError, ValueError) as error:
            found.append(f"{path}: {error}")
            continue
        validator = validator_for(form, Draft202012Validator)(form)
        found += [f"{path}: {error.message[:200]}" for error in validator.iter_errors(document)]
    if found:
        return found
    document = json.loads((folder / "a.json").read_text())
    text = " ".join((folder / "code" / name).read_text().split())
    found += ["the run is not complete"] if not document["complete"] else []
    for one in document["findings"]:
        quote = " ".join(one["quote"].split())
        if one["quote_state"] == "verified" and quote not in text:
            found.append(f"a quote that is not there is called verified: {quote[:80]}")
    if (folder / "a.md").read_text().count("\x1b"):
        found.append("a.md: an escape sequence")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    root = next(fetch(options.corpora, "requests-2.31.0").rglob("requests/hooks.py")).parent
    schema = fetch(options.corpora, "sarif-schema") / "sarif-2.1.0.json"
    bad, findings, took = [], 0, []
    for number in range(options.runs):
        name, seed, temperature = draw.choice(FILES), draw.randrange(2**31), draw.uniform(0, 2)
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            (folder / "code").mkdir()
            (folder / "code" / name).write_text((root / name).read_text() + DEFECTS)
            began = time.monotonic()
            done = subprocess.run(
                ["longctx", "review", "code", "--deep", "--model", options.model, "--quiet",
                 "--seed", str(seed), "--temperature", f"{temperature:.3f}", "--max-tokens", "96",
                 "--json-output", "a.json", "--sarif-output", "a.sarif", "--format", "md",
                 "-o", "a.md"],
                cwd=folder, capture_output=True, text=True, check=False,
            )  # fmt: skip
            took.append(time.monotonic() - began)
            wrong = problems(folder, name, done.returncode, schema)
            if not wrong:
                findings += len(json.loads((folder / "a.json").read_text())["findings"])
        if wrong:
            bad.append({"run": number, "file": name, "seed": seed, "temperature": temperature,
                        "wrong": wrong, "said": done.stderr[-500:]})  # fmt: skip
        report = {
            "model": options.model,
            "runs": number + 1,
            "invalid": len(bad),
            "findings": findings,
            "median_seconds": round(statistics.median(took), 2),
            "bad": bad,
        }
        options.out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps({name: value for name, value in report.items() if name != "bad"}))


if __name__ == "__main__":
    main()
