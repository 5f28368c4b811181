"""Waits until what the paths hold is other than it was."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from longctx.cli.options import SourceOptions
from longctx.ingest.errors import InputError

# Looking takes at most a twentieth of the time.
_SECONDS = 1.0
_IDLE = 19

Seen = frozenset[tuple[str, int, int]]


def look(paths: Sequence[str], options: SourceOptions, written: Path | None = None) -> Seen:
    """The name, the size and the time of change of every file but the one that is `written`.

    Nothing while a path is gone.
    """
    from longctx.ingest.walk import walk

    include, exclude = tuple(options.include or ()), tuple(options.exclude or ())
    try:
        sources = walk(paths, include=include, exclude=exclude).sources
    except InputError:
        return frozenset()
    seen = set()
    for source in sources:
        if source.path is None or (written and source.path == written.resolve()):
            continue
        try:
            facts = source.path.stat()
        except FileNotFoundError:
            continue
        seen.add((source.name, facts.st_size, facts.st_mtime_ns))
    return frozenset(seen)


def wait_for_change(
    paths: Sequence[str], options: SourceOptions, seen: Seen, written: Path | None = None
) -> Seen:
    """What there is once it is other than `seen` and has been the same for two looks."""
    before = seen
    while True:
        began = time.monotonic()
        now = look(paths, options, written)
        if now == before and now != seen:
            return now
        before = now
        time.sleep(max(_SECONDS, _IDLE * (time.monotonic() - began)))
