"""`longctx chat`: many questions on the same documents, which are read once."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longctx.cli.failure import UsageFault, tell_failure
from longctx.cli.options import (
    Least,
    ModelOptions,
    OutputOptions,
    Paths,
    Quiet,
    SourceOptions,
)

if TYPE_CHECKING:
    from longctx.cli.chat_record import Record
    from longctx.cli.chat_talk import Talk


def chat(
    sources: SourceOptions,
    model: ModelOptions,
    session: Annotated[
        str, typer.Option(help="The conversation's name.", metavar="NAME", show_default=False)
    ] = "",
    resume: Annotated[
        bool, typer.Option("--continue", help="Go on with the last conversation, or with NAME.")
    ] = False,
    quiet: Quiet = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Timings, and the traceback of a fault.")
    ] = False,
    paths: Paths = None,
    least: Least = None,
) -> int:
    """Talk about documents that are read once.

    Everything at PATHS is one prompt, and a turn pays only for its own tokens. As with `ask`, the
    default model is first asked whether an answer is there, and last whether it is right by its
    proofs. /help lists what can be typed beside a question. Without a terminal each line of stdin
    is a question.

    Examples:
        longctx chat ./papers
        longctx chat contract.pdf --session lease
        longctx chat --continue --session lease
        longctx chat book.txt < questions.txt
    """
    from longctx.cli.chat_talk import Talk
    from longctx.cli.model import model_name
    from longctx.cli.run import Run
    from longctx.cli.settings import read_settings

    settings = read_settings()
    if resume:
        record = _continued(settings.root, paths, sources, session)
        model = replace(model, model=model.model or record.model)
        window = sources.window or record.sources.window
        sources = replace(record.sources, password=sources.password, window=window)
    else:
        record = _new(settings.root, paths, sources, session)
    record = replace(record, model=model_name(model, settings))
    run = Run("chat", sources, model, OutputOptions(quiet=quiet, verbose=verbose))
    with run:
        talk = Talk(run, record, model.max_tokens or 512, least)
        if said := len(record.exchanges):
            run.screen.note(f"{record.name}: {said} {'turn' if said == 1 else 'turns'} so far")
        try:
            code = _converse(talk, settings.root / "chats" / "history", verbose=verbose)
        finally:
            talk.close()
        if talk.record.exchanges:
            run.screen.note(f"longctx chat --continue --session {record.name} goes on from here")
    return code


def _converse(talk: Talk, history: Path, *, verbose: bool) -> int:
    """The exit code after the last line: of a terminal 0, of a pipe that of its first failure."""
    from longctx.cli.chat_commands import COMMANDS, obey
    from longctx.cli.chat_input import piped_lines, typed_lines
    from longctx.cli.chat_stop import Stop

    typed = sys.stdin is not None and sys.stdin.isatty()
    lines = typed_lines(history, [*COMMANDS, "/quit"]) if typed else piped_lines()
    code = 0
    for line in lines:
        try:
            if line.startswith("/"):
                if not obey(talk, line):
                    break
            else:
                with Stop() if typed else nullcontext() as stop:
                    talk.ask(line.strip(), stop.check if stop else lambda: None)
        except KeyboardInterrupt:
            if not typed:
                raise
            talk.run.screen.note("stopped")
        except BrokenPipeError:
            raise
        except Exception as error:
            if not isinstance(error, OSError) and not hasattr(error, "exit_code"):
                raise
            talk.run.progress.pause()
            told = tell_failure(error, verbose=verbose)
            code = code or told
    return 0 if typed else code


def _free_name(root: Path) -> str:
    """A name of the time that no conversation has, also where two begin in one second."""
    from longctx.cli.chat_record import record_path

    now = time.strftime("%Y-%m-%d-%H%M%S")
    names = (now if number == 1 else f"{now}-{number}" for number in count(1))
    return next(name for name in names if not record_path(root, name).exists())


def _new(root: Path, paths: Sequence[str] | None, sources: SourceOptions, name: str) -> Record:
    """The beginning of a conversation."""
    from longctx.cli.chat_record import Record, record_path

    if not paths or "-" in paths:
        raise UsageFault(
            "longctx chat needs paths to read; stdin is where the questions come from",
            "longctx chat --continue goes on with the last conversation",
        )
    if sources.split:
        raise UsageFault("chat reads everything at once: --split is not for it", "use --fit")
    name = name or _free_name(root)
    if record_path(root, name).exists():
        raise UsageFault(
            f"there is a conversation {name!r} already",
            "--continue goes on with it; another --session NAME begins a new one",
        )
    return Record(name, os.getcwd(), (tuple(paths),), sources)


def _continued(
    root: Path, paths: Sequence[str] | None, sources: SourceOptions, name: str
) -> Record:
    """The conversation to go on with."""
    from longctx.cli.chat_record import latest, load_record

    record = load_record(root, name or latest(root))
    if paths or replace(sources, password="", window=None) != SourceOptions():
        raise UsageFault(
            f"{record.name} has its own paths, and what to include of them",
            "leave them out; /add reads more",
        )
    if os.path.realpath(record.directory) != os.path.realpath(os.getcwd()):
        raise UsageFault(
            f"{record.name} was begun in {record.directory}, and its paths count from there",
            f"cd {record.directory}",
        )
    return record
