"""Writes a result to a file, whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from longctx.cli.failure import UsageFault


def check_writable(path: Path) -> None:
    """Return if a file can be put at `path`: asked before the work, not after it.

    Raises:
        UsageFault: `path` is a directory, or lies in none that can be written.
    """
    folder = path.absolute().parent
    if path.is_dir():
        raise UsageFault(f"{str(path)!r} is a directory, expected a file name to write to")
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageFault(
            f"{str(path)!r} cannot be written", f"make the directory first: mkdir -p {folder}"
        )


def write_whole(path: Path, text: str) -> None:
    """Put the text at `path`, replacing what is there at once."""
    path = path.resolve()
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        draft.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
