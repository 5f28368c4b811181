"""The characters of PDF pages as one would type them: ligatures, hyphens, lost encodings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

# How pdfium writes a hyphen at the end of a line, after which the word goes on.
LINE_HYPHENS = "\x02\ufffe\u00ad"

_PARTED = re.compile(rf"[{LINE_HYPHENS}]\n*(\w*)(\S*)[ \n]?")
_LAST_WORD = re.compile(r"\w*\Z")
_LONGEST_WORD = 100
# pdfium does not look over the end of a page, or of a column.
_PLAIN_HYPHEN = re.compile(r"-(?<=[^\W\d_]{2}-)\n+(?=[^\W\d_A-Z]{2})")
_WORD = re.compile(r"\w+(?:-\w+)*")
_LIGATURE = re.compile("[\ufb00-\ufb06]")
_LIGATURES = dict(
    zip("\ufb00\ufb01\ufb02\ufb03\ufb04\ufb05\ufb06", "ff fi fl ffi ffl st st".split(), strict=True)
)
# Old TeX fonts give ligatures no Unicode name: their codes in the T1 encoding come through.
_TEX_LIGATURES = {"\x1b": "ff", "\x1c": "fi", "\x1d": "fl", "\x1e": "ffi", "\x1f": "ffl"}
_TEX_LIGATURE = re.compile(r"[\x1b-\x1f](?:(?=[a-z])|(?<=[a-z].))")
_LEADERS = re.compile(r" ?\.(?: {0,2}\.){4,} ?")
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
    joined = "".join(texts)
    if len(_SYMBOLS.findall(joined)) * 10 <= len(joined):
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
    split = [list(_split(page)) for page in marked]
    whole = "\n".join(stretch for page in split for stretch, _ in page)
    known: Counter[str] = Counter()
    # Most of what stands between spaces stands there many times.
    for token, times in Counter(whole.lower().split()).items():
        for word in _WORD.findall(token):
            known[word] += times
    for word, times in list(known.items()):
        if "-" in word:
            for part in word.split("-"):
                known[part] += times
    return [
        "".join(stretch + (_whole(*parted, known) if parted else "") for stretch, parted in page)
        for page in split
    ]


def _split(page: str) -> Iterator[tuple[str, tuple[str, str, str] | None]]:
    """Stretches of a page, each with the parted word behind it: both its parts and what follows."""
    position = 0
    is_parted = any(hyphen in page for hyphen in LINE_HYPHENS)
    for match in _PARTED.finditer(page) if is_parted else ():
        start = max(position, match.start() - _LONGEST_WORD)
        before = _LAST_WORD.search(page, start, match.start())
        assert before is not None
        yield page[position : before.start()], (before[0], match[1], match[2])
        position = match.end()
    yield page[position:], None


def _whole(first: str, second: str, rest: str, known: Counter[str]) -> str:
    """The word that a line end had parted, and the rest of what it is part of.

    A compound keeps its hyphen: what stands with it elsewhere, goes on with a capital
    (`Build-Depends`), or is made of two words of the text and stands nowhere as one.
    """
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
    text = _TEX_LIGATURE.sub(lambda match: _TEX_LIGATURES[match[0]], text)
    if not text.isascii():
        text = _LIGATURE.sub(lambda match: _LIGATURES[match[0]], text)
    if any(dots in text for dots in ("..", ". .", ".  .")):
        text = _LEADERS.sub(" ... ", text)
    text = _CONTROLS.sub("", text)
    text = "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")
    return text + "\n" if text.strip() else ""


def single_line(text: str) -> str:
    """The text without controls, its white space made single."""
    return " ".join(_CONTROLS.sub(" ", text).split())
