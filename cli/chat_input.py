"""Where the lines of a conversation come from: a terminal with history, or a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path


def piped_lines() -> Iterator[str]:
    """Yields the lines of stdin that hold something, as they come."""
    for line in sys.stdin.buffer:
        text = line.decode("utf-8", errors="replace").rstrip("\r\n")
        if text.strip():
            yield text


def typed_lines(history: Path, commands: Sequence[str]) -> Iterator[str]:
    """Yields what the user types, until Ctrl-D; Ctrl-C empties the line.

    Enter sends, Alt-Enter or Ctrl-J begins another line, and so does a newline in a paste.
    """
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.output import create_output

    keys = KeyBindings()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def newline(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(history, os.O_WRONLY | os.O_CREAT, 0o600))
    session: PromptSession[str] = PromptSession(
        "> ",
        history=FileHistory(history),
        completer=WordCompleter(list(commands), sentence=True),
        complete_while_typing=False,
        key_bindings=keys,
        prompt_continuation="  ",
        # stdout may be a file: then the prompt goes to stderr
        output=create_output(always_prefer_tty=True),
    )
    while True:
        try:
            text = session.prompt()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if text.strip():
            yield text
