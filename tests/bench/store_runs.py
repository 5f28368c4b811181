"""Processes that answer from a store of prefixes, and what is wrong with what they leave."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tiny_model import DOCUMENT, prompt, tiny_model

from longctx.runtime.loading import load_engine
from longctx.runtime.prefix_chain import Link
from longctx.runtime.prefix_store import PrefixStore

STEP = 1_024
WRITTEN = 6


@dataclass
class Tally:
    """What came of one kind of fault."""

    runs: int = 0
    killed: int = 0
    wrong_answers: int = 0
    unreadable_stores: int = 0
    nodes_lost: int = 0
    most_tokens_read_again: int = 0
    notices: Counter[str] = field(default_factory=Counter)


def answer(
    model: Path, store: PrefixStore | None, seed: int, tell: Callable[[int], None] = lambda at: None
) -> dict[str, Any]:
    """Returns the greedy answer to a prompt, the tokens that were not read, and the notices."""
    notices: list[str] = []
    kept: list[int] = []

    def on_progress(done: int, total: int) -> None:
        kept.append(done)
        tell(done - done % STEP)

    engine = load_engine(model, numerics="float32", prefixes=store, on_notice=notices.append)
    engine.step_size = STEP
    with engine:
        ids = list(
            engine.generate(
                prompt(seed), max_tokens=WRITTEN, question_start=DOCUMENT, on_progress=on_progress
            )
        )
    return {"ids": ids, "kept": kept[0], "notices": notices}


Fault = Callable[[str, Callable[[], Any], Any], Any]
"""Gets the name of a system call, the call itself and its arguments; gives what comes of it."""


@contextmanager
def faulty(calls: tuple[str, ...], fault: Fault) -> Iterator[None]:
    """Has `fault` stand between the store and the system."""
    real = {name: getattr(os, name) for name in calls}
    for name, function in real.items():

        def between(*args: Any, _name: str = name, _real: Any = function, **values: Any) -> Any:
            return fault(_name, lambda: _real(*args, **values), args)

        setattr(os, name, between)
    try:
        yield
    finally:
        for name, function in real.items():
            setattr(os, name, function)


class Runs:
    """A model, its answers without a store, and a place for stores."""

    def __init__(self, root: Path) -> None:
        """Write the model and have it answer."""
        self.root = root
        self.model = tiny_model(root / "model")
        self.expected = {seed: self.apart(None, seed)[0] for seed in range(4)}
        self.tallies: dict[str, Tally] = {}

    def store(self, limit: int | None = 10**9) -> PrefixStore:
        """Returns an empty store."""
        directory = self.root / "prefixes"
        shutil.rmtree(directory, ignore_errors=True)
        return PrefixStore(directory, limit)

    def start(
        self, store: PrefixStore | None, seed: int, setup: Callable[[], Any] | None = None
    ) -> tuple[int, int]:
        """Returns the id of a new process that answers, and where its result comes out."""
        read_end, write_end = os.pipe()
        child = os.fork()
        if child:
            os.close(write_end)
            return child, read_end
        os.close(read_end)
        status = 1
        try:
            real_write = os.write
            context = setup() if setup else None
            if context:
                context.__enter__()
            found = answer(
                self.model, store, seed, lambda at: real_write(write_end, b"%d\n" % at) and None
            )
            real_write(write_end, json.dumps(found).encode() + b"\n")
            status = 0
        finally:
            os._exit(status)

    def finish(self, child: int, read_end: int) -> tuple[dict[str, Any] | None, int]:
        """Returns the result, None where the process was killed, and the last Step it told."""
        with os.fdopen(read_end, "rb") as pipe:
            lines = pipe.read().splitlines()
        _, status = os.waitpid(child, 0)
        told = [int(line) for line in lines if line.isdigit()]
        done = max(told, default=0)
        if os.WIFSIGNALED(status):
            return None, done
        assert os.WEXITSTATUS(status) == 0, "the run itself failed"
        return json.loads(lines[-1]), done

    def apart(
        self, store: PrefixStore | None, seed: int, setup: Callable[[], Any] | None = None
    ) -> tuple[dict[str, Any] | None, int]:
        """Returns what `finish` does for a process of its own."""
        return self.finish(*self.start(store, seed, setup))

    def judge(self, tally: Tally, found: dict[str, Any] | None, seed: int) -> None:
        """Counts one run."""
        tally.runs += 1
        if found is None:
            tally.killed += 1
            return
        expected = self.expected[seed]
        assert expected is not None
        tally.wrong_answers += found["ids"] != expected["ids"]
        tally.notices.update(found["notices"])

    def recover(self, tally: Tally, store: PrefixStore, seed: int, done: int | None = None) -> None:
        """Answers again after a fault: all that was in place must be found, and be right."""
        names = {path.stem for path in store.directory.glob("*.kv")}
        found, _ = self.apart(store, seed)
        self.judge(tally, found, seed)
        assert found is not None
        chain = self.chain(store, seed)
        there = 0
        for link in chain:
            if link.name not in names:
                break
            there = link.end
        tally.nodes_lost += found["kept"] < there
        if done is not None:
            again = max(0, done - found["kept"])
            tally.most_tokens_read_again = max(tally.most_tokens_read_again, again)
        tally.unreadable_stores += bool(store.verify())
        store.sweep()
        tally.unreadable_stores += bool(list(store.directory.glob(".draft-*")))

    def chain(self, store: PrefixStore, seed: int) -> list[Link]:
        """Returns the Links of a prompt."""
        engine = load_engine(self.model, numerics="float32", prefixes=store)
        assert engine.keeper is not None
        return engine.keeper.links(np.array(prompt(seed)), DOCUMENT)
