"""Web pages: their main text, with headings and tables; pages that are code stay code."""

from __future__ import annotations

import codecs
import hashlib
import re
from contextlib import suppress

from longctx.ingest.document import Document, Heading, Skipped, Source
from longctx.ingest.page_text import PageText, page_text
from longctx.ingest.read_text import decode, read_text

# A page with less text than this, and less than a fifth of it text, is a skeleton for programs.
MIN_TEXT = 1000

_TEMPLATE = re.compile(r"\{%[-+ ]|\{\{|<%|<\?(?:php|=)|\bv-(?:if|for|bind)\b|\*ng(?:If|For)\b")
_CHARSET = re.compile(
    rb"""<meta\b[^>]*?\bcharset\s*=\s*["']?\s*([\w.:-]+)|<\?xml\b[^>]*?\bencoding\s*=\s*["']([\w.:-]+)""",
    re.I,
)
# Browsers read the smaller sets as the larger ones that hold them (WHATWG Encoding Standard, 4.2).
_LARGER = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "tis-620": "cp874",
}


def read_html(source: Source, data: bytes) -> Document | Skipped:
    """The Document in a web page; templates and skeletons are read as the code that they are."""
    decoded = decode_markup(data)
    if decoded is None or _TEMPLATE.search(decoded[0]):
        return read_text(source, data)
    markup, notes = decoded
    page = page_text(markup, lines=True)
    if len(page.text) < MIN_TEXT and len(page.text) * 5 < len(markup):
        return read_text(source, data)
    if page.left_out:
        unit = "word" if page.left_out == 1 else "words"
        notes = (*notes, f"left out: {page.left_out:,} {unit} of navigation and hidden parts")
    text, headings, lines = _titled(page)
    return Document(
        name=source.name,
        text=text,
        kind="prose",
        digest=hashlib.sha256(data).hexdigest(),
        notes=notes,
        headings=headings,
        line_marks=lines,
    )


def decode_markup(data: bytes) -> tuple[str, tuple[str, ...]] | None:
    """The markup and what to say about its encoding; None for bytes that are no text.

    In order: a byte order mark, UTF-8, what the markup says of itself, and the most likely one.
    """
    declared = _CHARSET.search(data[:4096])
    if declared and b"\0" not in data and b"\x1b" not in data:
        with suppress(UnicodeDecodeError):
            return data.removeprefix(codecs.BOM_UTF8).decode("utf-8"), ()
        with suppress(LookupError, UnicodeDecodeError):
            encoding = codecs.lookup((declared[1] or declared[2]).decode("ascii")).name
            encoding = _LARGER.get(encoding, encoding)
            # cp1252 leaves five bytes undefined that browsers pass through.
            errors = "replace" if encoding == "cp1252" else "strict"
            return data.decode(encoding, errors), (f"read as {encoding}, as the page says",)
    return decode(data)


def _titled(page: PageText) -> tuple[str, tuple[Heading, ...], tuple[tuple[int, int], ...]]:
    """The text of the page, below its title where no heading of the first level is in it."""
    if not page.title or any(heading.level == 1 for heading in page.headings):
        return page.text, page.headings, page.lines
    text = f"{page.title}\n\n{page.text}"
    shift = len(text) - len(page.text)
    headings = (Heading(item.start + shift, item.title, item.level) for item in page.headings)
    lines = ((offset + shift, line) for offset, line in page.lines)
    return text, (Heading(0, page.title, 1), *headings), ((0, page.title_line), *lines)
