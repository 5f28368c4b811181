"""HTML, XHTML and XML as tags and text in their order, whatever is wrong with them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

# Elements that have no content and so no end tag.
VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())

# Every loop is possessive or runs to the end of the text: no input takes more than linear time.
_TOKEN = re.compile(
    r"""
    <!--(?s:.*?)(?:-->|\Z)
    | <!\[CDATA\[(?P<cdata>(?s:.*?))(?:\]\]>|\Z)
    | <![^>\[]*+(?:\[[^\]]*+\]?)?[^>]*+>?
    | <\?[^>]*+>?
    | <(?P<raw>(?i:script|style))\b[^<>]*+(?<!/)>(?s:.*?)(?:</(?i:(?P=raw))\b[^<>]*+>|\Z)
    | </(?P<end>[a-zA-Z][^\s/<>]*+)[^<>]*+>
    | <(?P<start>[a-zA-Z][^\s/<>]*+)
      (?P<rest>(?:[^<>=]++|=\s*+(?:"[^"]*+"|'[^']*+')|=)*+)>
    """,
    re.X,
)
_ATTRIBUTE = re.compile(r"""([^\s=/"'<>]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+)))?""")


def tokens(markup: str) -> Iterator[tuple[int, str, str]]:
    """What the markup holds, each as (offset, tag, rest).

    Text has the tag "" and its characters as the rest, references resolved; a start tag has its
    name in lower case, without a namespace prefix, and its attributes unparsed; an end tag has its
    name after a slash. Comments, scripts and style sheets are passed over.
    """
    position = 0
    for match in _TOKEN.finditer(markup):
        start = match.start()
        if position < start:
            yield position, "", unescape(markup[position:start])
        position = match.end()
        if match["start"]:
            name, rest = local_name(match["start"]), match["rest"]
            yield start, name, rest
            if rest.endswith("/") and name not in VOID:
                yield position, f"/{name}", ""
        elif match["end"]:
            yield start, f"/{local_name(match['end'])}", ""
        elif match["cdata"]:
            yield match.start("cdata"), "", match["cdata"]
    if position < len(markup):
        yield position, "", unescape(markup[position:])


def attributes(rest: str) -> dict[str, str]:
    """The attributes of a start tag, names in lower case; of two with one name the first."""
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(rest):
        found.setdefault(name.lower(), unescape(double or single or bare))
    return found


def local_name(name: str) -> str:
    """The name in lower case and without its namespace prefix."""
    return name[name.rfind(":") + 1 :].lower()


def unescape(text: str) -> str:
    """The text with its character references resolved."""
    return html.unescape(text) if "&" in text else text
