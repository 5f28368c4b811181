"""How often a form is filled in rightly, and left open where the text has nothing.

Run: python -P tests/bench/forms.py CORPORA OUT.json --model NAME

The heads of 33 papers (their first 1,500 characters, bench/forms_asked.py) are asked for the same
six fields by one `longctx ask FOLDER --each --fields ...`. A value is right where it holds what it
must; where the head has none only an open field is. A wrong value is warned of where a word of it
is not in the text; and a right one is cited where a quote stands beside it.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from arguments import parser_of  # noqa: E402
from corpora import fetch  # noqa: E402
from forms_asked import FIELDS, PAPERS  # noqa: E402

from longctx.ingest.document import Document, Source  # noqa: E402
from longctx.ingest.read import read  # noqa: E402
from longctx.runtime.bench import machine  # noqa: E402

HEAD = 1_500


def heads(cache: Path, folder: Path) -> None:
    """Write the heads as files of the folder."""
    root = fetch(cache, "papers")
    for name in PAPERS:
        found = read(Source(name, path=root / f"{name}.pdf"))
        assert isinstance(found, Document), found
        (folder / f"{name}.txt").write_text(found.text[:HEAD], "utf-8")


def verdict(said: str | None, wanted: str) -> str:
    """What became of a field: right, wrong, left open, rightly open or made up."""
    if not wanted:
        return "made up" if said else "rightly open"
    if not said:
        return "left open"
    told = " ".join(said.casefold().split())
    holds = all(
        any(way.casefold() in told for way in part.split("|")) for part in wanted.split("&")
    )
    return "right" if holds else "wrong"


def score(payload: dict) -> dict:
    """The verdicts by field and in all, and how many of each have a warning or a quote."""
    missing = set(payload["missing"])
    quoted = {piece["heading"] for piece in payload["pieces"] if piece["citations"]}
    fields = {field: Counter[str]() for field in FIELDS}
    warned, cited, rows = Counter[str](), Counter[str](), []
    for name, wanted in PAPERS.items():
        form = payload["data"][f"{name}.txt"] or {}
        for field, truth in zip(FIELDS, wanted, strict=True):
            if truth == "?":
                continue
            said = form.get(field)
            found = verdict(said, truth)
            fields[field][found] += 1
            warned[found] += said in missing
            cited[found] += f"{name}.txt: {field}" in quoted
            rows.append({"paper": name, "field": field, "verdict": found, "said": said})
    in_all = sum(fields.values(), Counter[str]())
    good = in_all["right"] + in_all["rightly open"]
    return {
        "fields_scored": in_all.total(),
        "accuracy": round(good / in_all.total(), 3),
        "in_all": dict(in_all),
        "warned": dict(+warned),
        "cited": dict(+cited),
        "by_field": {field: dict(found) for field, found in fields.items()},
        "rows": rows,
    }


def main() -> None:
    options = parser_of(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        heads(options.corpora, Path(folder))
        began = time.monotonic()
        done = subprocess.run(
            ["longctx", "ask", ".", "--each", "--fields", ", ".join(FIELDS), "--format", "json",
             "--model", options.model, "--no-cache"],
            cwd=folder, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        seconds = time.monotonic() - began
    report = json.loads(options.out.read_text()) if options.out.is_file() else {}
    report[options.model] = {
        "date": date.today().isoformat(),
        "processor": machine()["processor"],
        "seconds": round(seconds, 1),
        **score(json.loads(done.stdout)),
    }
    options.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    shown = {name: value for name, value in report[options.model].items() if name != "rows"}
    print(json.dumps(shown, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
