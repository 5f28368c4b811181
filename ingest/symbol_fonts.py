"""Characters of the fonts Symbol, Wingdings and Wingdings 2 as what they show."""

from __future__ import annotations

import re

# From 0x41 on, in the order of the letters: what the font Symbol draws.
_SYMBOL_CAPITALS = "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ"
_SYMBOL_SMALL = "αβχδεφγηιϕκλμνοπθρστυϖωξψζ"
_SYMBOL_SIGNS = "ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪"
_SYMBOL = (
    dict(zip(range(0x41, 0x5B), _SYMBOL_CAPITALS, strict=True))
    | dict(zip(range(0x61, 0x7B), _SYMBOL_SMALL, strict=True))
    | dict(
        zip(
            (0x22, 0x24, 0x27, 0x2A, 0x2D, 0x40, 0x5C, 0x5E),
            "∀∃∋∗−≅∴⊥",
            strict=True,
        )
    )
    | dict(zip(range(0xA1, 0xF0), _SYMBOL_SIGNS, strict=True))
    | {0xF2: "∫", 0xA0: "€"}
)
_WINGDINGS = {
    0x21: "✏",
    0x22: "✂",
    0x28: "☎",
    0x2A: "✉",
    0x46: "☞",
    0x4A: "☺",
    0x4C: "☹",
    0x6C: "●",
    0x6D: "❍",
    0x6E: "■",
    0x6F: "□",
    0x70: "❐",
    0x71: "❑",
    0x72: "❒",
    0x73: "⬧",
    0x74: "⧫",
    0x75: "◆",
    0x76: "❖",
    0x77: "⬥",
    0x78: "⌧",
    0x9E: "·",
    0x9F: "•",
    0xA1: "○",
    0xA7: "▪",
    0xA8: "☐",
    0xAB: "★",
    0xD8: "➢",
    0xDF: "←",
    0xE0: "→",
    0xE1: "↑",
    0xE2: "↓",
    0xE8: "➔",
    0xF0: "⇨",
    0xFB: "✗",
    0xFC: "✓",
    0xFD: "☒",
    0xFE: "☑",
}
_WINGDINGS_2 = {0x4F: "✗", 0x50: "✓", 0x51: "☒", 0x52: "☑", 0x54: "☒", 0x97: "●", 0xA3: "☐"}
_FONTS = {"symbol": _SYMBOL, "wingdings": _WINGDINGS, "wingdings 2": _WINGDINGS_2}
_PRIVATE = re.compile("[\uf020-\uf0ff]")


def symbol(font: str, code: int) -> str:
    """What the character shows; a bullet for one of a symbol font that is not known here."""
    table = _FONTS.get(font.lower())
    low = code - 0xF000 if 0xF000 <= code <= 0xF0FF else code
    if table is None:
        if low == code:
            return chr(code) if 0x20 <= code < 0xD800 or 0xE000 <= code <= 0xFFFD else ""
        # An unnamed font with private characters is one of these two, as bullets mostly are.
        return _WINGDINGS.get(low) or _SYMBOL.get(low) or "•"
    return table.get(low) or (chr(low) if font.lower() == "symbol" and 0x20 <= low < 0x7F else "•")


def readable(text: str, font: str = "") -> str:
    """The text with the private characters of symbol fonts replaced by what they show."""
    if text.isascii():
        return text
    return _PRIVATE.sub(lambda match: symbol(font, ord(match[0])), text)
