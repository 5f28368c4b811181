"""The texts that a measurement reads: files that the user names, or Python's own library."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from longctx.cli.failure import UsageFault


def read_texts(paths: Sequence[Path], purpose: str) -> list[str]:
    """The texts of the files, in order.

    Raises:
        UsageFault: none is named for the `purpose`, or one of them is no file.
    """
    if not paths:
        raise UsageFault(purpose, "name one or more: --text book.txt")
    if missing := [path for path in paths if not path.is_file()]:
        raise UsageFault(f"--text {str(missing[0])!r} is no file", "name one that is there")
    return [path.read_text(encoding="utf-8", errors="replace") for path in paths]


def library_text() -> str:
    """The modules of Python's own library, in order: real text that every machine has."""
    folder = Path(statistics.__file__).parent
    return "".join(read_texts(sorted(folder.glob("*.py")), "Python's library has no modules"))
