"""Numbers as lists and headings print them: 3, c, C, iii, III."""

from __future__ import annotations

_ROMAN = (
    (1000, "M"),
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (9, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
)


def numeral(number: int, style: str) -> str:
    """The number in the style "1", "a", "A", "i" or "I" of a list; in digits past its end."""
    if style in ("a", "A") and 0 < number:
        return _letters(number, style)
    if style in ("i", "I") and 0 < number < 4000:
        return _roman(number) if style == "I" else _roman(number).lower()
    return str(number)


def _letters(number: int, first: str) -> str:
    letters = ""
    while number:
        number, place = divmod(number - 1, 26)
        letters = chr(ord(first) + place) + letters
    return letters


def _roman(number: int) -> str:
    digits = []
    for value, digit in _ROMAN:
        count, number = divmod(number, value)
        digits.append(digit * count)
    return "".join(digits)
