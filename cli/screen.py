"""The only place that writes to the terminal; nothing gets past it with control characters in."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from longctx.cli.settings import Settings

# C0 but newline and tab, DEL, C1, and the marks that reorder text (Unicode TR 36, section 2.6).
_CONTROLS = (
    set(range(0x20)) - {0x09, 0x0A}
    | set(range(0x7F, 0xA0))
    | {0x061C, 0x200E, 0x200F}
    | set(range(0x202A, 0x202F))
    | set(range(0x2066, 0x206A))
)
# A byte of a file name that is no text (PEP 383) is shown as that byte.
_BYTES = {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}
_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "�") | _BYTES
_CLEAN: dict[int, str | None] = {**dict.fromkeys(_CONTROLS), **_SURROGATES}
# nearly all text is clean, and a search is much faster than a translation
_UNCLEAN = re.compile(f"[{re.escape(''.join(map(chr, sorted(_CONTROLS))))}\ud800-\udfff]")
_ESCAPED = {code: f"\\u{code:04x}" for code in _CONTROLS | set(range(0xD800, 0xE000))}
_STYLES = {"high": "1;31", "medium": "33", "low": "36", "added": "32", "removed": "31"}


def clean(text: str) -> str:
    """The text without what could steer a terminal; character by character, so it can stream."""
    return text.translate(_CLEAN) if _UNCLEAN.search(text) else text


def clean_json(text: str) -> str:
    """JSON text with the same characters written as escapes."""
    return text.translate(_ESCAPED) if _UNCLEAN.search(text) else text


class Screen:
    """The two streams of one run: the result goes to stdout, everything else to stderr."""

    def __init__(self, settings: Settings, *, quiet: bool = False, verbose: bool = False) -> None:
        """Look at the streams as they are now."""
        self.out: TextIO = sys.stdout
        self.err: TextIO = sys.stderr
        self.quiet = quiet
        self.verbose = verbose
        self.live = settings.live and self.err.isatty()
        self.colors = settings.color is not False
        self.colored = self.out.isatty() if settings.color is None else settings.color
        self.before_write: Callable[[], None] = lambda: None

    def write(self, text: str, *, style: str = "") -> None:
        """Put text on stdout now, in the colour of `style` where stdout shows colour."""
        text = clean(text)
        if self.colored and style in _STYLES:
            text = f"\x1b[{_STYLES[style]}m{text}\x1b[0m"
        self._put(self.out, text)

    def write_json(self, text: str) -> None:
        """Put JSON on stdout."""
        self._put(self.out, clean_json(text))

    def note(self, text: str) -> None:
        """Put one line on stderr, unless the run is quiet."""
        if not self.quiet:
            self._put(self.err, clean(text) + "\n")

    def detail(self, text: str) -> None:
        """Put one line on stderr if the run is verbose."""
        if self.verbose:
            self.note(text)

    def _put(self, stream: TextIO, text: str) -> None:
        """Write text at once, past the progress."""
        self.before_write()
        stream.write(text)
        stream.flush()
