"""What a conversation can be told beside a question: the lines that begin with a slash."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from longctx.cli.chat_place import edit, editor_command, passage
from longctx.cli.chat_record import Exchange
from longctx.cli.chat_talk import Talk
from longctx.cli.failure import UsageFault
from longctx.cli.output_file import check_writable, write_whole
from longctx.cli.render import citation_as_markdown, citation_as_text
from longctx.cli.screen import clean


class Command(NamedTuple):
    """What a line may begin with, what follows, what it does, and the code that does it."""

    argument: str
    summary: str
    act: Callable[[Talk, str], None]


def obey(talk: Talk, line: str) -> bool:
    """Whether the conversation goes on after the line, which begins with a slash.

    Raises:
        UsageFault: there is no such command, or it was told too little.
    """
    name, _, rest = line.strip().partition(" ")
    if name in ("/quit", "/exit"):
        return False
    command = COMMANDS.get(name)
    if command is None:
        raise UsageFault(
            f"there is no command {name!r}",
            "/help lists them; a question may begin with a slash after a space",
        )
    rest = rest.strip()
    if command.argument and not rest:
        raise UsageFault(f"{name} takes {command.argument}")
    command.act(talk, rest)
    return True


def as_markdown(talk: Talk) -> str:
    """The whole conversation as Markdown."""
    lines = [f"# {talk.record.name}", ""]
    lines += [f"- `{document.name}`" for document in talk.pack.documents]
    for exchange in talk.record.exchanges:
        lines += ["", f"## {' '.join(exchange.question.split())}", "", exchange.answer.strip()]
        for citation in exchange.citations:
            lines += ["", citation_as_markdown(citation)]
    return "\n".join(lines) + "\n"


def _as_text(exchange: Exchange) -> str:
    sources = [f"    {citation_as_text(citation)}\n" for citation in exchange.citations]
    return "".join([exchange.answer.strip(), "\n", *(["\nSources\n"] if sources else []), *sources])


def _add(talk: Talk, rest: str) -> None:
    try:
        paths = shlex.split(rest)
    except ValueError as error:
        raise UsageFault(f"/add {rest!r} has {error}".replace("No ", "no ")) from None
    if "-" in paths:
        raise UsageFault("/add takes paths; stdin is where the questions come from")
    talk.add(paths)


def _files(talk: Talk, rest: str) -> None:
    for part in talk.pack.parts:
        cut = "" if part.whole else ", cut"
        talk.run.screen.write(f"{part.document.name}  ({part.num_tokens:,} tokens{cut})\n")


def _open(talk: Talk, rest: str) -> None:
    citations = talk.citations
    if not rest.isascii() or not rest.isdigit() or not 1 <= int(rest) <= len(citations):
        known = f"the number of a source, 1 to {len(citations)}" if citations else "sources first"
        raise UsageFault(f"/open {rest!r}: expected {known}")
    span = citations[int(rest) - 1].span
    if span is None:
        raise UsageFault(f"/open {rest}: the documents no longer hold this quote")
    document, screen = talk.document(span.name), talk.run.screen
    editor = talk.run.settings.editor if screen.out.isatty() else ""
    command = editor_command(editor, talk.files.get(span.name), document, span)
    if command is None:
        screen.write(passage(document, span))
    elif trouble := edit(command):
        screen.note(trouble)
        screen.write(passage(document, span))


def _save(talk: Talk, rest: str) -> None:
    if not talk.record.exchanges:
        raise UsageFault("/save: nothing was answered yet")
    _write(talk, rest, _as_text(talk.record.exchanges[-1]))


def _export(talk: Talk, rest: str) -> None:
    _write(talk, rest, as_markdown(talk))


def _write(talk: Talk, name: str, text: str) -> None:
    """Put text into a new file: it might be one of the Documents that is there."""
    path = Path(name).expanduser()
    if path.exists():
        raise UsageFault(f"{name!r} exists already", "name another file")
    check_writable(path)
    write_whole(path, clean(text))
    talk.run.screen.note(f"wrote {name}")


def _help(talk: Talk, rest: str) -> None:
    rows = [(f"{name} {command.argument}", command.summary) for name, command in COMMANDS.items()]
    rows += [("/quit", "Leave, as Ctrl-D does; `longctx chat --continue` goes on.")]
    width = max(len(usage) for usage, _ in rows)
    for usage, summary in rows:
        talk.run.screen.write(f"{usage:<{width}}  {summary}\n")
    talk.run.screen.write("\nAlt-Enter begins another line. Ctrl-C stops an answer.\n")


COMMANDS: Mapping[str, Command] = {
    "/add": Command("PATH...", "Read more, after what is read.", _add),
    "/files": Command("", "List what is read.", _files),
    "/open": Command("N", "Show the place of source N, in $EDITOR where there is one.", _open),
    "/save": Command("FILE", "Write the last answer and its sources.", _save),
    "/export": Command("FILE", "Write the whole conversation as Markdown.", _export),
    "/help": Command("", "List these.", _help),
}
