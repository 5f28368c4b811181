"""Breaks the store of prefixes in every way we know, and counts wrong answers and lost nodes.

    python -P tests/bench/faults.py OUT.json [--quick] [--real MODEL TEXT]

A tiny random model reads a prompt in a process that is killed before or after each system call of
the store, at random instants, or whose disk fails; then another process answers the same prompt.
Its answer must be that of a process without a store, and it must find every node that was in place.
Kills while a prefix is brought to 8 bits and while a model is pulled are those of the tests, which
run here too; with --real a model that is installed is killed 20 times while it reads a text.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

# a process that forks must have no threads of its own at work
os.environ["OMP_NUM_THREADS"] = "1"

import torch  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from store_runs import STEP, Runs, Tally, faulty  # noqa: E402

from longctx.runtime.prefix_store import PrefixStore  # noqa: E402

TESTS = {
    "brought_to_8_bits": ["tests/runtime/test_shrink_faults.py"],
    "pulled": ["tests/runtime/test_pull.py", "-k", "killed"],
}
CALLS = ("open", "write", "utime", "fsync", "rename", "unlink", "readv")


class Faults(Runs):
    """Every kind of fault, each with its Tally."""

    def killed_at_calls(self, *, evicting: bool, writes: int, others: int) -> None:
        """Kills before and after each call that the store makes of the system."""
        kind = "killed_evicting" if evicting else "killed_at_calls"
        tally = self.tallies.setdefault(kind, Tally())

        def fresh() -> PrefixStore:
            store = self.store()
            if not evicting:
                return store
            self.apart(store, 1)
            return PrefixStore(store.directory, int(store.num_bytes() * 1.3))

        counts_file = self.root / "counts"

        def count() -> Any:
            seen: Counter[str] = Counter()

            def note(name: str, call: Callable[[], Any], args: Any) -> Any:
                seen[name] += 1
                counts_file.write_text(json.dumps(seen))
                return call()

            # the file is written by Path, which opens it otherwise
            return faulty(CALLS, note)

        self.apart(fresh(), 2, count)
        counts: dict[str, int] = json.loads(counts_file.read_text())
        for name, number in counts.items():
            every = writes if name in ("write", "readv") else others
            for at in range(0, number, every):
                for before in (True, False):

                    def kill(name: str = name, at: int = at, before: bool = before) -> Any:
                        left = [at]

                        def strike(_: str, call: Callable[[], Any], args: Any) -> Any:
                            left[0] -= 1
                            if left[0] != -1:
                                return call()
                            if not before:
                                call()
                            os.kill(os.getpid(), signal.SIGKILL)

                        return faulty((name,), strike)

                    store = fresh()
                    found, done = self.apart(store, 2, kill)
                    self.judge(tally, found, 2)
                    self.recover(tally, store, 2, done)

    def killed_at_random(self, number: int) -> None:
        """Kills at instants spread over a run, again and again on the same store."""
        tally = self.tallies.setdefault("killed_at_random", Tally())
        chance = random.Random(7)
        began = time.monotonic()
        self.apart(self.store(), 3)
        whole = time.monotonic() - began
        store = self.store()
        index = 0
        while tally.killed < number:
            index += 1
            if index % 3 == 0:
                store = self.store()
            child, pipe = self.start(store, index % 4)
            time.sleep(chance.uniform(0, 0.7 * whole))
            os.kill(child, signal.SIGKILL)
            found, done = self.finish(child, pipe)
            self.judge(tally, found, index % 4)
            self.recover(tally, store, index % 4, done if found is None else None)

    def failing_disk(self, every: int) -> None:
        """Lets each call fail as on a full or a broken disk, once or from there on."""
        for name in ("ENOSPC", "EIO"):
            tally = self.tallies.setdefault(name, Tally())
            for call_name in CALLS[:5]:
                for at in range(0, 12, every):
                    for forever in (False, True):

                        def fail(
                            name: str = name,
                            call_name: str = call_name,
                            at: int = at,
                            forever: bool = forever,
                        ) -> Any:
                            left = [at]

                            def strike(_: str, call: Callable[[], Any], args: Any) -> Any:
                                left[0] -= 1
                                if left[0] == -1 or forever and left[0] < 0:
                                    number = getattr(errno, name)
                                    raise OSError(number, os.strerror(number))
                                return call()

                            return faulty((call_name,), strike)

                        store = self.store()
                        found, _ = self.apart(store, 2, fail)
                        assert found is not None and len(found["notices"]) <= 1
                        self.judge(tally, found, 2)
                        self.recover(tally, store, 2)
        tally = self.tallies.setdefault("EIO_on_reading", Tally())
        for at in range(0, 40, 4 * every):

            def unreadable(at: int = at) -> Any:
                left = [at]

                def strike(_: str, call: Callable[[], Any], args: Any) -> Any:
                    left[0] -= 1
                    if left[0] == -1:
                        raise OSError(errno.EIO, "Input/output error")
                    return call()

                return faulty(("readv",), strike)

            store = self.store()
            self.apart(store, 2)
            found, _ = self.apart(store, 2, unreadable)
            self.judge(tally, found, 2)
            self.recover(tally, store, 2)

    def short_writes(self) -> None:
        """Writes and reads a few bytes at a time."""
        tally = self.tallies.setdefault("short_writes_and_reads", Tally())
        for most in (17, 1_000):

            def short(most: int = most) -> Any:
                real_write, real_readv = os.write, os.readv

                def few(name: str, call: Callable[[], Any], args: Any) -> Any:
                    if name == "write":
                        return real_write(args[0], args[1][:most])
                    return real_readv(args[0], [args[1][0][:most]])

                return faulty(("write", "readv"), few)

            store = self.store()
            for _ in range(2):
                found, _ = self.apart(store, 2, short)
                self.judge(tally, found, 2)
            self.recover(tally, store, 2)

    def damaged_files(self, number: int) -> None:
        """Flips a bit, or cuts a file short, between two runs."""
        tally = self.tallies.setdefault("flipped_bits_and_cuts", Tally())
        chance = random.Random(11)
        store = self.store()
        self.apart(store, 2)
        for index in range(number):
            path = chance.choice(sorted(store.directory.glob("*.kv")))
            content = bytearray(path.read_bytes())
            at = chance.randrange(len(content) if index % 2 else 600)
            if index % 4 == 3:
                del content[at:]
            else:
                content[at] ^= 1 << chance.randrange(8)
            path.write_bytes(content)
            found, _ = self.apart(store, 2)
            self.judge(tally, found, 2)
            assert found is not None
            tally.unreadable_stores += bool(store.verify())

    def clock_jumps(self) -> None:
        """Sets the clock ten years on and back while prompts evict one another."""
        tally = self.tallies.setdefault("clock_jumps", Tally())
        store = self.store()
        self.apart(store, 0)
        store = PrefixStore(store.directory, int(store.num_bytes() * 2.2))
        for index, years in enumerate((0, 10, -10, 0, -30, 10, 0)):

            def jump(years: int = years) -> Any:
                real = time.time_ns
                time.time_ns = lambda: real() + years * 31_536_000 * 10**9  # type: ignore[assignment]

            found, _ = self.apart(store, index % 4, jump)
            self.judge(tally, found, index % 4)
            # what was used last is there still, whatever the clock says
            self.recover(tally, store, index % 4)

    def races(self, rounds: int) -> None:
        """Runs several processes at once on one small store, one of them sweeping it."""
        tally = self.tallies.setdefault("races", Tally())
        for index in range(rounds):
            store = self.store()
            if index % 2:
                self.apart(store, 0)
                store = PrefixStore(store.directory, int(store.num_bytes() * 1.5))
            seeds = [1, 1, 2] if index % 3 else [1, 2, 3]
            running = [(seed, self.start(store, seed)) for seed in seeds]
            for _ in range(20):
                store.sweep()
                store.prefixes()
            for seed, started in running:
                found, _ = self.finish(*started)
                self.judge(tally, found, seed)
            tally.unreadable_stores += bool(store.verify())
            self.judge(tally, self.apart(store, 1)[0], 1)


def main() -> int:
    """Runs everything; 1 if any answer was wrong, any store unreadable or any node lost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--real", nargs=2, metavar=("MODEL", "TEXT"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="longctx-faults-") as folder:
        bench = Faults(Path(folder))
        for strike in plan(bench, quick=options.quick):
            strike()
            facts = report(bench, options.quick, time.monotonic() - began)
            options.out.write_text(json.dumps(facts, indent=1) + "\n")
    facts["tests"] = {name: passes(*chosen) for name, chosen in TESTS.items()}
    facts["bad"] += sum(not passed for passed in facts["tests"].values())
    if options.real:
        out = options.out.with_suffix(".real.json")
        kills = [sys.executable, "-P", str(Path(__file__).with_name("kills.py"))]
        facts["bad"] += subprocess.run([*kills, *options.real, str(out)]).returncode
        facts["real"] = json.loads(out.read_text())
    options.out.write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps({name: facts[name] for name in ("runs", "bad", "seconds")}))
    return int(facts["bad"] > 0)


def passes(*chosen: str) -> bool:
    """Returns whether tests of the repository pass."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", *chosen]
    root = Path(__file__).parents[2]
    return subprocess.run(command, cwd=root, stdout=sys.stderr).returncode == 0


def plan(bench: Faults, *, quick: bool) -> list[Callable[[], None]]:
    """Returns what is to be done, the whole of it or a small share."""
    if quick:
        return [
            lambda: bench.killed_at_random(4),
            lambda: bench.killed_at_calls(evicting=False, writes=50, others=4),
            lambda: bench.killed_at_calls(evicting=True, writes=90, others=9),
            lambda: bench.failing_disk(every=12),
            bench.short_writes,
            lambda: bench.damaged_files(4),
            lambda: bench.races(2),
        ]
    return [
        lambda: bench.killed_at_random(200),
        lambda: bench.killed_at_calls(evicting=False, writes=1, others=1),
        lambda: bench.killed_at_calls(evicting=True, writes=8, others=1),
        lambda: bench.failing_disk(every=3),
        bench.short_writes,
        lambda: bench.damaged_files(100),
        bench.clock_jumps,
        lambda: bench.races(20),
    ]


def report(bench: Faults, quick: bool, seconds: float) -> dict[str, Any]:
    """Returns the tallies so far."""
    tallies = bench.tallies
    return {
        "command": "python -P tests/bench/faults.py OUT.json" + " --quick" * quick,
        "step_tokens": STEP,
        "seconds": round(seconds),
        "runs": sum(tally.runs for tally in tallies.values()),
        "killed": sum(tally.killed for tally in tallies.values()),
        "bad": sum(
            tally.wrong_answers + tally.unreadable_stores + tally.nodes_lost
            for tally in tallies.values()
        ),
        "faults": {name: vars(tally) for name, tally in tallies.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
