"""The characters of PDF pages as one would type them: ligatures, hyphens, lost encodings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

# How pdfium writes a hyphen at the end of a line, after which the word goes on.
LINE_HYPHENS = "\x02\ufffe\u00ad"

_PARTED = re.compile(rf"(?<!\w)(\w*)[{LINE_HYPHENS}]\n*(\w*)(\S*)[ \n]?")
# pdfium does not look over the end of a page, or of a column.
_PLAIN_HYPHEN = re.compile(r"(?<=[^\W\d_]{2})-\n+(?=[^\W\d_A-Z]{2})")
_WORD = re.compile(r"\w+(?:-\w+)*")
_LIGATURES = {
    0xFB00: "ff",
    0xFB01: "fi",
    0xFB02: "fl",
    0xFB03: "ffi",
    0xFB04: "ffl",
    0xFB05: "st",
    0xFB06: "st",
}
# Old TeX fonts give ligatures no Unicode name: their codes in the T1 encoding come through.
_TEX_LIGATURES = {"\x1b": "ff", "\x1c": "fi", "\x1d": "fl", "\x1e": "ffi", "\x1f": "ffl"}
_TEX_LIGATURE = re.compile(r"[\x1b-\x1f](?=[a-z])|(?<=[a-z])[\x1b-\x1f]")
_LEADERS = re.compile(r"(?: ?\. ?){5,}")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_SYMBOLS = re.compile(r"[\u2600-\u27bf\ue000-\uf8ff\ufffd]")

# TeX's bitmap fonts call the character of code 97 "a97", and so does ITC Zapf Dingbats call one of
# its ornaments: here are those of the codes from 16 in order, a space where there is none.
_DINGBATS = (
    "✏✑✒✓✔✕✖✗✘✙✚✛✜✢✣✤✥✦✧★✩✪✫✬✭✮✯✰✱✲✳✴✵✶✷✸✹✺✻✼✽✾✿❀❁❂❃❄❅❆❇❈❉❊❋●❍■❏❑▲▼◆❖ ◗❘❙❚❯❱❲❳❨❩❬❭❪❫❴❵❛❜❝❞❡"
    "❢❣❤✐❥❦❧♠♥♦♣    ✉✈✇①②③④⑤⑥⑦"
)
_T1 = {21: "–", 22: "—", 16: "“", 17: "”", 27: "ff", 28: "fi", 29: "fl", 30: "ffi", 31: "ffl"}
_FROM_DINGBATS = {
    **{
        ord(ornament): _T1.get(code, chr(code))
        for code, ornament in enumerate(_DINGBATS, 16)
        if ornament != " " and (code in _T1 or code > 32)
    },
    **dict(zip(map(ord, "☛☞✌✍✎"), ("ff", "fi", "fl", "ffi", "ffl"), strict=True)),
}


def restored(texts: Sequence[str]) -> Sequence[str]:
    """The texts of a page, its letters in place of the ornaments whose names they bear.

    A page is restored where a tenth of it is ornaments: a real one stands alone.
    """
    ornaments = sum(len(_SYMBOLS.findall(text)) for text in texts)
    if ornaments * 10 <= sum(map(len, texts)):
        return texts
    return [text.translate(_FROM_DINGBATS) for text in texts]


def is_garbled(text: str) -> bool:
    """Whether a fifth of the text is symbols: a font without a usable encoding."""
    return len(_SYMBOLS.findall(text)) * 5 > len(text)


def without_line_hyphens(texts: Sequence[str]) -> list[str]:
    """The pages with words joined that a line end had parted, and compounds left hyphenated.

    A word that goes on over the end of a page stands on the page where it begins.
    """
    marked = [_PLAIN_HYPHEN.sub("\ufffe\n", text) for text in texts]
    for index, (page, following) in enumerate(zip(marked, marked[1:], strict=False)):
        if _PLAIN_HYPHEN.search(page[-4:] + following[:2]):
            word, space, rest = re.split(r"(\s|$)", following, maxsplit=1)
            marked[index] = f"{page[:-2]}\ufffe\n{word}\n"
            marked[index + 1] = rest
    known: Counter[str] = Counter()
    for page in marked:
        for word in _WORD.findall(_PARTED.sub(" ", page).lower()):
            known[word] += 1
            if "-" in word:
                known.update(word.split("-"))
    return [_PARTED.sub(lambda match: _whole(match, known), page) for page in marked]


def _whole(match: re.Match[str], known: Counter[str]) -> str:
    """The word that a line end had parted, and the rest of what it is part of.

    A compound keeps its hyphen: what stands with it elsewhere, goes on with a capital
    (`Build-Depends`), or is made of two words of the text and stands nowhere as one.
    """
    first, second, rest = match.groups()
    as_one, hyphened = known[f"{first}{second}".lower()], known[f"{first}-{second}".lower()]
    if as_one or hyphened:
        compound = hyphened > as_one
    else:
        parts = first.lower(), second.lower()
        compound = all(len(part) > 2 and known[part] for part in parts)
    capital = second[:1].isupper() and not first.isupper()
    joined = f"{first}-{second}" if compound or capital else f"{first}{second}"
    return f"{joined}{rest}\n"


def clean(text: str) -> str:
    """The text of a page as one would type it, ended by a newline where there is any."""
    text = _TEX_LIGATURE.sub(lambda match: _TEX_LIGATURES[match[0]], text.translate(_LIGATURES))
    text = _CONTROLS.sub("", _LEADERS.sub(" ... ", text))
    text = "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")
    return text + "\n" if text.strip() else ""


def single_line(text: str) -> str:
    """The text without controls, its white space made single."""
    return " ".join(_CONTROLS.sub(" ", text).split())
