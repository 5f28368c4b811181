"""RTF files (Rich Text Format 1.9.1): the text as printed, with lists, notes and tables."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.draft import Block, Draft
from longctx.ingest.read_settings import Changes, ReadSettings
from longctx.ingest.rtf_words import (
    CHARACTERS,
    CHARSETS,
    FOOTERS,
    HEADERS,
    PASSED_OVER,
    STARRED,
    SYMBOL_CHARSET,
)
from longctx.ingest.symbol_fonts import readable, symbol

_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|([^\\{}\r\n]+)"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_HEADING = re.compile(r"heading ([1-9])")
_BODY_LEVEL = 9


@dataclass(slots=True)
class _Target:
    """Where text goes: the body, a note, a header; `done` are its blocks, `row` its open cells."""

    pieces: list[str] = field(default_factory=list)
    label: list[str] = field(default_factory=list)
    row: list[str] = field(default_factory=list)
    done: list[Block] = field(default_factory=list)
    after: list[Block] = field(default_factory=list)
    dropped: bool = False


@dataclass(slots=True)
class _State:
    """What a group inherits from the one around it and forgets at its end."""

    target: _Target | None
    kind: str = ""
    font: int = -1
    skip: int = 1
    hidden: bool = False
    added: bool = False
    removed: bool = False
    style: int = 0
    outline: int = _BODY_LEVEL
    in_table: bool = False


def read_rtf(source: Source, data: bytes, settings: ReadSettings) -> Document | Skipped:
    """The Document in an RTF file; tracked changes as the settings say."""
    if not data.startswith(b"{\\rtf"):
        return Skipped(source.name, "damaged, or not an RTF file")
    reader = _Reader(settings.changes)
    draft = Draft()
    for block in reader.read(data):
        draft.write(block)
    if not draft.text:
        return Skipped(source.name, "no text in it")
    return draft.document(source, data, reader.notes())


class _Reader:
    """Follows the groups of one file."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._body = _Target()
        self._headers, self._footers = _Target(), _Target()
        self._state = _State(self._body)
        self._stack: list[_State] = []
        self._codec = "cp1252"
        self._charsets: dict[int, int] = {}
        self._outlines: dict[int, int] = {}
        self._style_name = ""
        self._bytes = bytearray()
        self._to_skip = 0
        self._star = False
        self._num_notes = 0
        self._author = ""
        self._num_changed = 0

    def read(self, data: bytes) -> Iterator[Block]:
        """The blocks of the file, headers first and footers last."""
        position = 0
        while match := _TOKEN.search(data, position):
            position = match.end()
            word, number, code, sign, brace, text = match.groups()
            if code is not None:
                self._put_bytes(bytes([int(code, 16)]))
                continue
            if text is not None:
                self._put_bytes(text)
                continue
            self._flush()
            if brace == b"{":
                self._stack.append(self._state)
                self._state = replace(self._state)
                self._star, self._to_skip = False, 0
            elif brace == b"}":
                self._close()
                if not self._stack:
                    break
            elif word is not None:
                if word == b"bin":
                    position += max(0, int(number or 0))
                self._word(word.decode(), None if number is None else int(number))
            elif sign == b"*":
                self._star = True
            elif sign in b"\r\n":
                self._end_paragraph()
            else:
                self._put(CHARACTERS.get(sign.decode("latin-1"), ""))
        self._flush()
        self._end_paragraph()
        for target, name in ((self._headers, "Header"), (self._footers, "Footer")):
            joined = "\n".join(dict.fromkeys(block.text for block in target.done))
            target.done = [Block(f"[{name}: {joined}]")] if joined else []
        yield from (*self._headers.done, *self._body.done, *self._footers.done)

    def notes(self) -> Iterator[str]:
        """What is to be said about the text."""
        if self._num_changed:
            done = {"accept": "accepted", "reject": "rejected", "show": "shown as {+ +} [- -]"}
            yield f"tracked changes {done[self._changes]}: {self._num_changed:,} stretches"

    def _word(self, word: str, number: int | None) -> None:
        star, self._star = self._star, False
        if word == "u" and number is not None:
            self._put(_character(number))
            self._to_skip = self._state.skip
        elif word in CHARACTERS:
            self._put(CHARACTERS[word])
        elif word in ("par", "sect", "page"):
            self._end_paragraph()
        elif word in ("cell", "nestcell"):
            self._end_cell()
        elif word in ("row", "nestrow"):
            self._end_row()
        elif word in HEADERS or word in FOOTERS:
            self._state.target = self._headers if word in HEADERS else self._footers
        elif word == "footnote":
            self._begin_note()
        elif word in ("annotation", "atnauthor"):
            self._state.target, self._state.kind = _Target(), word
        elif word in ("listtext", "pntext"):
            self._state.kind = "label"
        elif word == "shptxt":
            self._state.target, self._state.kind = _Target(), "box"
        elif word in PASSED_OVER or (star and word not in STARRED):
            self._state.target, self._state.kind = None, word
        else:
            self._property(word, number)

    def _property(self, word: str, number: int | None) -> None:
        state, on = self._state, number != 0
        if word == "uc":
            state.skip = max(0, min(number or 0, 16))
        elif word == "f" and number is not None:
            state.font = number
        elif word == "fcharset" and state.kind == "fonttbl":
            self._charsets[state.font] = number or 0
        elif word == "ansicpg" and number:
            self._codec = _known(f"cp{number}")
        elif word in ("mac", "pc", "pca"):
            self._codec = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850"}[word]
        elif word == "v":
            state.hidden = on
        elif word == "revised":
            state.added = on
        elif word == "deleted":
            state.removed = on
        elif word == "plain":
            state.hidden = state.added = state.removed = False
        elif word == "pard":
            state.style, state.outline, state.in_table = 0, _BODY_LEVEL, False
        elif word == "s" and number is not None:
            state.style = number
        elif word == "outlinelevel" and number is not None:
            state.outline = number
            if state.kind == "stylesheet":
                self._outlines[state.style] = number
        elif word == "intbl":
            state.in_table = True

    def _begin_note(self) -> None:
        target = self._state.target
        if target is not None:
            self._num_notes += 1
            target.pieces.append(f"[^{self._num_notes}]")
            self._state.target, self._state.kind = _Target(), f"note {self._num_notes}"

    def _close(self) -> None:
        """The end of a group; a note, a comment or a box that ends comes after its paragraph."""
        inner = self._state
        self._state = self._stack.pop() if self._stack else inner
        self._to_skip = 0
        outer = self._state
        if inner.target is outer.target or inner.target is None:
            if inner.kind == "stylesheet" and self._style_name:
                named = _HEADING.match(self._style_name.strip().lower())
                if named:
                    self._outlines.setdefault(inner.style, int(named[1]) - 1)
                self._style_name = ""
            return
        if inner.target in (self._headers, self._footers):
            self._end_paragraph(inner.target)
            return
        _finish(inner.target)
        text = "\n".join(block.text for block in inner.target.done).strip()
        if inner.kind == "atnauthor":
            self._author = text
        elif text and (outer.target is not None or inner.kind == "box"):
            forms = {
                "annotation": f"[Comment{f' by {self._author}' if self._author else ''}: {text}]",
                "box": text,
            }
            note = f"[^{inner.kind.removeprefix('note ')}]: {text}"
            place = self._body if outer.target is None else outer.target
            place.after.append(Block(forms.get(inner.kind, note), "beside"))

    def _put_bytes(self, data: bytes) -> None:
        """Bytes in the code page of the font; what replaces a Unicode character is passed over."""
        skipped = min(self._to_skip, len(data))
        self._to_skip -= skipped
        self._bytes += data[skipped:]

    def _flush(self) -> None:
        if not self._bytes:
            return
        data, state = bytes(self._bytes), self._state
        self._bytes.clear()
        if state.kind == "stylesheet":
            self._style_name += data.decode("latin-1")
            return
        charset = self._charsets.get(state.font, 0)
        if charset == SYMBOL_CHARSET:
            self._put("".join(symbol("Symbol", 0xF000 + byte) for byte in data))
        else:
            self._put(data.decode(CHARSETS.get(charset, self._codec), "replace"))

    def _put(self, text: str) -> None:
        state = self._state
        if state.target is None or state.hidden or not text:
            return
        if state.kind == "label":
            state.target.label.append(text)
            return
        self._num_changed += state.added or state.removed
        undone = state.added and self._changes is Changes.reject
        if undone or (state.removed and self._changes is Changes.accept):
            state.target.dropped = True
            return
        if self._changes is Changes.show and (state.added or state.removed):
            text = f"[-{text}-]" if state.removed else f"{{+{text}+}}"
        state.target.pieces.append(text)

    def _end_paragraph(self, target: _Target | None = None) -> None:
        target = target or self._state.target
        if target is None:
            return
        if self._state.in_table and target is self._body:
            target.pieces.append(" ")
            return
        state = self._state
        outline = min(state.outline, self._outlines.get(state.style, _BODY_LEVEL))
        _finish(target, outline if target is self._body else _BODY_LEVEL)

    def _end_cell(self) -> None:
        if (target := self._state.target) is not None:
            target.row.append(" ".join(_taken(target).split()))

    def _end_row(self) -> None:
        if (target := self._state.target) is not None:
            if any(target.row):
                target.done.append(Block(f"| {' | '.join(target.row)} |", "row"))
            target.row.clear()
            target.done += target.after
            target.after.clear()


def _taken(target: _Target) -> str:
    """The text gathered since the last paragraph, its number before it."""
    text = "".join(target.pieces).replace("+}{+", "").replace("-][-", "")
    if _SURROGATE.search(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    # Of a paragraph that was removed whole, the number goes too.
    gone = target.dropped and not text.strip()
    label = "" if gone else readable("".join(target.label)).strip()
    target.dropped = False
    target.pieces.clear()
    target.label.clear()
    text = "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")
    return f"{label} {text.lstrip()}".rstrip() if label else text


def _finish(target: _Target, outline: int = _BODY_LEVEL) -> None:
    """End the paragraph; it is a heading at an outline level above body text."""
    text = _taken(target)
    if text.strip():
        title, level = (" ".join(text.split()), outline + 1) if 0 <= outline < 9 else ("", 0)
        target.done.append(Block(text, "", title, level))
    target.done += target.after
    target.after.clear()


def _character(number: int) -> str:
    """The character of a signed 16-bit number; the halves of a pair are joined later."""
    code = number + 0x10000 if number < 0 else number
    return chr(code) if 0x20 <= code < 0x110000 else ""


def _known(codec: str) -> str:
    try:
        return codecs.lookup(codec).name
    except LookupError:
        return "cp1252"
