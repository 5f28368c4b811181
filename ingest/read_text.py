"""Plain text, Markdown, source code and data, whatever the encoding."""

from __future__ import annotations

import codecs
import hashlib
import re
import unicodedata
from contextlib import suppress
from pathlib import PurePath

from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.legacy_encoding import legacy_encoding

_SUFFIXES = {
    "markdown": "md markdown mdx rst adoc asciidoc org",
    "prose": "txt text tex log eml srt vtt",
    "data": "csv tsv json jsonl ndjson json5 xml svg lock sum po pot plist geojson ipynb map",
    "diff": "diff patch",
    "code": (
        "py pyi pyx ipy js mjs cjs jsx ts tsx mts cts c h cc cpp cxx hh hpp hxx m mm cs java kt"
        " kts scala groovy gradle go rs rb php pl pm lua r jl swift dart ex exs erl hrl hs ml mli"
        " fs fsx clj cljs lisp el scm vim sh bash zsh fish ps1 bat cmd sql html htm css scss sass"
        " less vue svelte toml yaml yml ini cfg conf env mk cmake dockerfile tf hcl proto thrift"
        " graphql gql asm s v vhd sv nix zig sol cu cuh ld bzl j2 jinja properties service in am"
    ),
}
KINDS = {f".{suffix}": kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
_CODE_NAMES = re.compile(r"(?:.*make|docker|jenkins|vagrant|gem|rake|pip|proc)file", re.I)

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_PRINTABLE = bytes(range(0x20, 0x7F))
_CONTROLS = re.compile(r"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]")
_DIFF = re.compile(
    r"^(?:diff --git \"?a/|Index: .+\n=+\n|--- .+\n\+\+\+ .+\n@@ -\d+(?:,\d+)? \+\d+)", re.M
)


def read_text(source: Source, data: bytes) -> Document | Skipped:
    """The Document in bytes that are text in some encoding; binary and empty ones are skipped."""
    if not data.strip():
        return Skipped(source.name, "empty")
    decoded = decode(data)
    if decoded is None:
        return Skipped(source.name, "binary")
    text, notes = decoded
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        return Skipped(source.name, "empty")
    digest = hashlib.sha256(data).hexdigest()
    return Document(source.name, text, kind_of(source.name, text), digest, notes=notes)


def decode(data: bytes) -> tuple[str, tuple[str, ...]] | None:
    """The text and what to say about its encoding; None for bytes that are no text.

    In order: a byte order mark, UTF-8, UTF-16 told by its NUL bytes, UTF-8 with a few broken
    bytes, and last the most likely legacy encoding.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            try:
                text = data[len(bom) :].decode(encoding)
            except UnicodeDecodeError:
                continue
            return text, () if encoding == "utf-8" else (f"read as {encoding.upper()}",)
    if b"\0" in data:
        return _decode_utf16(data)
    if b"\x1b$B" in data:
        # Seven-bit Japanese mail: ASCII to a decoder that does not know its escapes.
        with suppress(UnicodeDecodeError):
            return data.decode("iso2022_jp"), ("read as iso2022_jp",)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _decode_broken_utf8(data) or _decode_legacy(data)
    return None if _is_noise(text) else (text, ())


def kind_of(name: str, text: str) -> str:
    """The kind of a Document, by its name, and by its text where the name says nothing."""
    path = PurePath(name)
    known = KINDS.get(path.suffix.lower())
    if known is not None:
        return known
    if _CODE_NAMES.fullmatch(path.name) or text.startswith("#!"):
        return "code"
    head = text[:20_000]
    if _DIFF.search(head):
        return "diff"
    if re.search(r"^#{2,4} \w", head, re.M):
        return "markdown"
    return "data" if re.match(r"\s*(?:\{\s*\"|\[\s*[\[{\"]|<\?xml)", head) else "prose"


def _decode_utf16(data: bytes) -> tuple[str, tuple[str, ...]] | None:
    """Text with line ends or spaces has NUL bytes, all at odd places or all at even ones."""
    head = data[: 1 << 16]
    if len(head.translate(None, _PRINTABLE)) * 4 < len(head):
        return None
    even, odd = head[::2].count(0), head[1::2].count(0)
    encoding = "utf-16-le" if odd > even else "utf-16-be"
    if len(data) % 2 or min(even, odd) * 50 > max(even, odd):
        return None
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    # Bytes that are no text soon hit a code point that no character has.
    strange = any(unicodedata.category(character) in ("Cn", "Co") for character in text[:4096])
    return (
        None if strange or _is_noise(text) else (text, (f"read as {encoding.upper()} (no mark)",))
    )


def _decode_broken_utf8(data: bytes) -> tuple[str, tuple[str, ...]] | None:
    """UTF-8 in which only a few characters are damaged, the bad bytes shown as escapes."""
    text = data.decode("utf-8", "backslashreplace")
    loose = data.decode("utf-8", "replace")
    num_bad = loose.count("\ufffd")
    num_good = len(re.findall(r"[^\x00-\x7f\ufffd]", loose))
    if num_good < 10 * num_bad or _is_noise(text):
        return None
    return text, (f"UTF-8 with {num_bad} broken bytes, shown as \\xNN",)


def _decode_legacy(data: bytes) -> tuple[str, tuple[str, ...]] | None:
    """Text in an encoding from before Unicode: told by its letters, or guessed."""
    encoding = legacy_encoding(data)
    if encoding is not None:
        text = data.decode(encoding)
    else:
        from charset_normalizer import from_bytes

        best = from_bytes(data).best()
        if best is None:
            return None
        encoding, text = best.encoding, str(best)
    return None if _is_noise(text) else (text, (f"read as {encoding} (a guess)",))


def _is_noise(text: str) -> bool:
    """Whether control characters are too many for text (terminal escapes do not count)."""
    head = text[: 1 << 16]
    return len(_CONTROLS.findall(head)) * 100 > len(head)
