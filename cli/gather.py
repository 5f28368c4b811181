"""From the paths on the command line to Documents."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from longctx.cli.failure import UsageFault
from longctx.cli.options import SourceOptions

if TYPE_CHECKING:
    from longctx.ingest.document import Document, Skipped


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was read, what was not and why, and the files on the disk by the names they go by."""

    documents: tuple[Document, ...]
    skipped: tuple[Skipped, ...]
    files: Mapping[str, Path] = field(default_factory=dict)


def gather(command: str, paths: Sequence[str] | None, options: SourceOptions) -> Gathered:
    """The Documents at the paths; `-`, or no path and a pipe, is stdin.

    Where a revision is asked for, no path means the directory at hand.

    Raises:
        UsageFault: no path, and stdin is a terminal.
        InputError: a path that does not exist, or nothing to read in any.
    """
    from longctx.ingest.change_order import by_last_change
    from longctx.ingest.name_filter import NameFilter
    from longctx.ingest.read import read_all
    from longctx.ingest.read_settings import ReadSettings
    from longctx.ingest.walk import walk

    if options.rev or options.diff:
        paths = paths or ["."]
    names, data = with_stdin(command, paths)
    include, exclude = tuple(options.include or ()), tuple(options.exclude or ())
    walked = walk(
        names,
        stdin=data,
        include=include,
        exclude=exclude,
        revision=options.rev,
        base=options.diff,
    )
    settings = ReadSettings(password=options.password, changes=options.changes)
    sources = by_last_change(walked.sources) if options.stable else walked.sources
    documents, unread = read_all(sources, settings, NameFilter(include, exclude))
    files = {source.name: source.path for source in walked.sources if source.path}
    return Gathered(tuple(documents), (*walked.skipped, *unread), files)


def with_stdin(command: str, paths: Sequence[str] | None) -> tuple[list[str], bytes | None]:
    """The paths, with `-` where none is given and stdin is a pipe, and what stdin holds.

    Raises:
        UsageFault: stdin is wanted and is a terminal.
    """
    names = list(paths or ["-"])
    if "-" not in names:
        return names, None
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageFault(
            f"longctx {command} needs something to read: paths, or - with a pipe",
            f"longctx {command} --help shows examples",
        )
    return names, sys.stdin.buffer.read()
