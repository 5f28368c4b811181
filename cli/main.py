"""Builds the command line, runs the command, returns its exit code."""

from __future__ import annotations

import gc
import inspect
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from typing import Annotated, Any

import typer

from longctx.cli.settings import let_threads_rest

HELP = """Reads whole books, codebases, contracts and papers into one prompt and answers with a
local model. Nothing leaves this machine; only `longctx models pull` uses the network.

\b
longctx ask ./papers -q "Which of them measure memory?"
longctx chat contract.pdf
longctx review ./repo
git diff | longctx review -
longctx summarize book.txt
longctx compare old.pdf new.pdf
"""
EPILOG = """\b
Exit codes: 0 done; 1 findings at or above --fail-on; 2 wrong usage; 3 input that cannot be
read; 4 more text than the window holds; 5 no such model, or too little memory; 70 a fault in
longctx; 130 stopped with Ctrl-C; 141 the reader of stdout went away.
"""
NAMES = {"help_option_names": ["-h", "--help"]}

COMMANDS: Mapping[str, str] = {
    "ask": "Answer one question, with the sentences that prove it.",
    "chat": "Talk about documents that are read once.",
    "review": "List the defects of every file, each with its line.",
    "summarize": "Summarize every part and its place, then the whole.",
    "compare": "Compare documents passage by passage: what changed.",
    "pack": "Print the prompt that the other commands read.",
    "plan": "Show the tokens, memory and time of a run, and its cuts.",
    "models": "List, pull, show and verify the models in the store.",
    "cache": "List, show, shrink, remove and verify what was read and is kept.",
    "bench": "Measure prefill, decoding, memory or fidelity on this machine.",
    "tune": "Find how much each head of a model must attend to at a length.",
    "doctor": "Show what this machine has, and what longctx makes of it.",
}
"""Every command and what it does; its code is imported when it is called."""

ACTIONS: Mapping[str, tuple[str, ...]] = {
    "models": ("list", "pull", "show", "verify"),
    "cache": ("ls", "show", "shrink", "rm", "gc", "verify"),
}
"""The commands that are a noun, and what can be done with it."""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command line `argv`, that of this process unless given."""
    # most objects of a run live to its end: looking for garbage among them took a fifth of `pack`
    gc.set_threshold(50_000, 20, 50)
    let_threads_rest()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if argv is None else argv)
    called = next((word for word in arguments if not word.startswith("-")), "")
    try:
        typer.main.get_command(application(called))(args=arguments, prog_name="longctx")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        from longctx.cli.failure import CLOSED_PIPE, mute_stdout

        mute_stdout()
        return CLOSED_PIPE
    return code


def application(called: str) -> typer.Typer:
    """The commands; the options of the one that is called, only the names of the others."""
    app = _group(HELP, epilog=EPILOG)
    app.callback(invoke_without_command=True)(_root)
    for name, summary in COMMANDS.items():
        if name != called:
            app.command(name, help=summary)(lambda: None)
            continue
        module = import_module(f"longctx.cli.{name}")
        if name in ACTIONS:
            group = _group(summary)
            for action in ACTIONS[name]:
                _add(group, action, getattr(module, f"{action}_{name}"))
            app.add_typer(group, name=name)
        else:
            _add(app, name, getattr(module, name))
    return app


def _group(text: str, epilog: str = "") -> typer.Typer:
    """A typer application whose help is plain text, and which leaves exceptions alone."""
    return typer.Typer(
        help=text,
        epilog=epilog,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=NAMES,
    )


def _add(app: typer.Typer, name: str, command: Callable[..., int]) -> None:
    """Put a command behind the gate and into the application."""
    from longctx.cli.failure import run_guarded
    from longctx.cli.options import spread

    flat = spread(command)

    @wraps(flat)
    def gated(**values: Any) -> None:
        """The command, with its failures turned into text and an exit code."""
        raise typer.Exit(run_guarded(flat, **values))

    app.command(name, help=help_text(command), context_settings=NAMES)(gated)


def help_text(command: Callable[..., int]) -> str:
    """The command's docstring, its indented paragraphs marked to be left as they are."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(f"\b\n{text}" if "\n    " in text else text for text in paragraphs)


def _root(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True)
    ] = False,
) -> None:
    """The options before any command."""
    if show_version:
        from importlib.metadata import version

        print(f"longctx {version('longctx-cli')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)
