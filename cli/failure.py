"""The one gate where exceptions become text on stderr and an exit code."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from longctx.cli.screen import clean

INTERRUPTED = 130
CLOSED_PIPE = 141
FAULT = 70


class UsageFault(Exception):
    """A command line that asks for something that cannot be, with the next step in `hint`."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep the message (what, which value, what was expected) and the hint (what to do)."""
        super().__init__(message)
        self.hint = hint


def run_guarded(command: Callable[..., int], *, verbose: bool, **values: Any) -> int:
    """The exit code of the command, whatever happens in it."""
    try:
        return command(verbose=verbose, **values)
    except KeyboardInterrupt:
        _tell("longctx: stopped")
        return INTERRUPTED
    except BrokenPipeError:
        mute_stdout()
        return CLOSED_PIPE
    except Exception as error:
        return tell_failure(error, verbose=verbose)


def tell_failure(error: Exception, *, verbose: bool) -> int:
    """The exit code that stands for the error, after its message and hint went to stderr."""
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        _tell(f"longctx: {error}")
        if hint := getattr(error, "hint", ""):
            _tell(f"  {hint}")
        return code
    if isinstance(error, OSError) and error.strerror:
        named = f"{error.filename}: " if error.filename is not None else ""
        _tell(f"longctx: {named}{error.strerror}")
    else:
        _tell(f"longctx: a fault in longctx itself: {type(error).__name__}: {error}")
    if verbose:
        _tell("".join(traceback.format_exception(error)).rstrip())
    else:
        _tell("  -v shows where it happened")
    return FAULT


def mute_stdout() -> None:
    """Let what is still buffered for a closed pipe go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (io.UnsupportedOperation, ValueError):
        sys.stdout = io.StringIO()
    finally:
        os.close(nowhere)


def _tell(line: str) -> None:
    """Put a line on stderr; a closed stderr is nobody to tell."""
    try:
        print(clean(line), file=sys.stderr, flush=True)
    except BrokenPipeError:
        return
