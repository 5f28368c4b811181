"""What a question on a repository costs once it was read, and after an edit near its end.

The repository is copied, and each line is a run of `longctx ask` in a process of its own: reading
it whole, another question, a question after a line was put into the first file of its last tenth,
and the same without a store, whose answer must be the same.

Run: python -P tests/bench/edited.py MODEL OUT.json REPOSITORY [PATH ...] [-- OPTION ...]
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from longctx.runtime.bench import machine

QUESTIONS = (
    "Which function starts the development server?",
    "Where are signed cookies read?",
    "Which class holds the configuration?",
)


def asked(paths: list[str], root: Path, options: list[str], question: str) -> dict[str, Any]:
    """Returns what `longctx ask` reports, with the seconds of the whole process."""
    began = time.perf_counter()
    command = ["longctx", "ask", *paths, "-q", question, "--format", "json", "--quiet", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{command} failed: {done.stderr[-2000:]}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report | {"seconds": time.perf_counter() - began}


def near_the_end(documents: list[dict[str, Any]]) -> str:
    """Returns the first of the documents that begins in the last tenth of all tokens."""
    total, start = sum(one["num_tokens"] for one in documents), 0
    for one in documents:
        if start >= 0.9 * total:
            return str(one["name"])
        start += one["num_tokens"]
    raise RuntimeError("no document begins in the last tenth")


def main(model: str, out: str, repository: str, *rest: str) -> None:
    paths, _, options = " ".join(rest).partition("--")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="longctx-edited-") as folder:
        root, home = Path(folder) / "repository", Path(folder) / "home"
        shutil.copytree(repository, root)
        home.mkdir()
        (home / "models").symlink_to(Path(os.environ["LONGCTX_HOME"]) / "models")
        os.environ["LONGCTX_HOME"] = str(home)
        chosen = ["--model", model, "--max-tokens", "24", *options.split()]

        def run(what: str, question: str, *more: str) -> dict[str, Any]:
            report = asked(paths.split() or ["."], root, [*chosen, *more], question)
            row = {
                "what": what,
                "tokens_of_documents": sum(one["num_tokens"] for one in report["documents"]),
                "tokens_read": report["usage"]["tokens_read"],
                **report["timing"],
                "process_seconds": round(report["seconds"], 2),
                "answer": report["text"],
            }
            rows.append(row)
            print(json.dumps(row), flush=True)
            return report

        first = run("read whole", QUESTIONS[0])
        run("another question", QUESTIONS[1])
        name = near_the_end(first["documents"])
        file = next(path for path in root.rglob("*") if str(path).endswith(name))
        file.write_text("# changed\n" + file.read_text("utf-8"), "utf-8")
        kept = run(f"after an edit of {name}", QUESTIONS[2])
        unkept = run("the same without a store", QUESTIONS[2], "--no-cache")
        report = {
            "model": model,
            "repository": Path(repository).name,
            "paths": paths.split(),
            "options": options.split(),
            "machine": machine(),
            "date": date.today().isoformat(),
            "same_answer": kept["text"] == unkept["text"],
            "rows": rows,
        }
        Path(out).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
