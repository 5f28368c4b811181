"""What another program on the same cores costs, by how long idle threads wait before they sleep.

Run: python -P tests/bench/busy.py MODEL_DIRECTORY TEXT OUT.json
"""

import json
import os
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

TOKENS, WRITTEN = 2_000, 12
# None is what OpenMP does by itself, 2,000 what the command line sets
TURNS = (None, "2000")


def one(model: str, text: str) -> None:
    """Print how fast a prompt is read and an answer written, in tokens per second."""
    from longctx.runtime.loading import load_engine
    from longctx.runtime.tokenizer import Tokenizer

    ids = Tokenizer.load(Path(model)).encode(Path(text).read_text("utf-8")[: 6 * TOKENS])[:TOKENS]
    engine = load_engine(Path(model), window=TOKENS + WRITTEN)
    engine.guesses = False
    times = [time.perf_counter()]
    for _ in engine.generate(ids, max_tokens=WRITTEN):
        times.append(time.perf_counter())
    steps = [after - before for before, after in zip(times[1:], times[2:], strict=False)]
    print(json.dumps([TOKENS / (times[1] - times[0]), 1 / statistics.median(steps)]))


def main(model: str, text: str, out: str) -> None:
    from longctx.runtime.bench import machine

    rows = []
    for busy in (False, True):
        for turns in TURNS:
            environ = {name: was for name, was in os.environ.items() if name != "GOMP_SPINCOUNT"}
            environ |= {"GOMP_SPINCOUNT": turns} if turns else {}
            # in a session of its own, as what a user has open besides: those share cores evenly
            wait = [sys.executable, "-c", "while True: pass"]
            other = subprocess.Popen(wait, start_new_session=True) if busy else None
            command = [sys.executable, "-P", __file__, "--one", model, text]
            try:
                found = subprocess.run(command, env=environ, capture_output=True, check=True).stdout
            finally:
                if other:
                    other.kill()
            read, written = json.loads(found.splitlines()[-1])
            rows.append({"other_program": busy, "turns": turns, "read": read, "written": written})
            print(json.dumps(rows[-1]), flush=True)
    report = {"model": Path(model).name, "date": date.today().isoformat(), "machine": machine()}
    Path(out).write_text(json.dumps(report | {"tokens_per_second": rows}, indent=1) + "\n")


if __name__ == "__main__":
    one(*sys.argv[2:]) if sys.argv[1] == "--one" else main(*sys.argv[1:])
