"""Kills `longctx ask` at random instants while a real model reads, and asks again.

After each kill another process answers the same question on a copy of what was left: its answer
must be that of a run without a store, it must read nothing that was stored, and every stored byte
must stand its checksum. Two of three runs go on with what was left, if that is not everything.

Run: python -P tests/bench/kills.py MODEL TEXT OUT.json [KILLS]
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from longctx.runtime.bench import machine
from longctx.runtime.prefix_store import PrefixStore

QUESTION = "Who is the first person that this text names?"


def started(home: Path, text: Path, model: str, *options: str) -> subprocess.Popen[str]:
    """Returns a run of `longctx ask` that has begun."""
    asked = ["longctx", "ask", str(text), "-q", QUESTION, "--model", model, "--max-tokens", "24"]
    return subprocess.Popen(
        [*asked, "--format", "json", "--quiet", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        env=os.environ | {"LONGCTX_HOME": str(home)},
    )


def whole(home: Path, text: Path, model: str, *options: str) -> dict[str, Any]:
    """Returns the report of a run that ends by itself."""
    found, _ = started(home, text, model, *options).communicate()
    report: dict[str, Any] = json.loads(found)
    return report


def main(model: str, text: str, out: str, kills: str = "20") -> int:
    """Runs everything; 1 if any answer was wrong, any byte damaged or any stored token read."""
    source, chance, instants = Path(text), random.Random(3), list[dict[str, float]]()
    facts = {"killed": 0, "wrong_answers": 0, "damaged": 0, "read_again": 0}
    with tempfile.TemporaryDirectory(prefix="longctx-kills-") as name:
        home, other = Path(name) / "home", Path(name) / "other"
        home.mkdir()
        (home / "models").symlink_to(Path(os.environ["LONGCTX_HOME"]) / "models")
        began = time.perf_counter()
        expected = whole(home, source, model, "--no-cache")
        seconds = time.perf_counter() - began
        struck = False
        while facts["killed"] < int(kills):
            if facts["killed"] % 3 == 0 or not struck:
                shutil.rmtree(home / "prefixes", ignore_errors=True)
            running = started(home, source, model)
            after = chance.uniform(0.1, 0.9) * seconds
            time.sleep(after)
            if struck := running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
                facts["killed"] += 1
            running.communicate()
            # with the key of the marks between documents, without which the prompt is another one
            shutil.rmtree(other, ignore_errors=True)
            shutil.copytree(home, other, symlinks=True)
            store = PrefixStore(other / "prefixes", None)
            num_stored = max((one.facts.end for one in store.prefixes()), default=0)
            again = whole(other, source, model)
            facts["wrong_answers"] += again["text"] != expected["text"]
            most = expected["usage"]["tokens_read"] - num_stored
            facts["read_again"] += again["usage"]["tokens_read"] > most
            facts["damaged"] += len(store.verify())
            instants.append(
                {
                    "after_seconds": round(after, 2),
                    "tokens_stored": num_stored,
                    "tokens_read": again["usage"]["tokens_read"],
                }
            )
            print(json.dumps(instants[-1] | facts), flush=True)
    report = {
        "model": model,
        "text": source.name,
        "num_tokens": expected["usage"]["tokens_read"],
        "machine": machine(),
        "date": date.today().isoformat(),
        **facts,
        "answer": expected["text"],
        "kills": instants,
    }
    Path(out).write_text(json.dumps(report, indent=1) + "\n")
    return int(any(facts[name] for name in ("wrong_answers", "damaged", "read_again")))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
